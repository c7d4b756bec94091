"""A noisy wave as a price series, the errors of the best linear functions of its last days, and three ways to predict.

Shapes: T days, N samples, L look-back, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from steepest.data.files import check_prices
from steepest.data.ranges import NotNegative, Positive, Rows, Seed
from steepest.data.sources import SeriesData


@dataclass(kw_only=True)
class Swing(SeriesData):
    """A wave under noise, v_t = 100 + amplitude sin(2 pi t / period) + noise e_t, e_t standard normal.

    Attributes:
        amplitude: half the distance from the lowest to the highest point of the wave.
        period: days from one highest point to the next.
        noise: standard deviation of the noise of a day.
        rows: number of prices.
        seed: the seed of the noise.
    """

    amplitude: NotNegative = 10.0
    period: Positive = 20.0
    noise: NotNegative = 5.0
    rows: Rows = 4000
    seed: Seed = 0

    def read(self) -> pd.DataFrame:
        noise_T = self.noise * np.random.default_rng(self.seed).standard_normal(self.rows)
        wave_T = self.amplitude * np.sin(2 * np.pi * np.arange(self.rows) / self.period)
        date = pd.date_range("1990-01-01", periods=self.rows, freq="D")
        return check_prices(pd.DataFrame({"date": date, "swing": 100 + wave_T + noise_T}), "data=course/swing")


def best_errors(swing: Swing, window: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared errors (H,) of the best linear functions of the last `window` differences from today's price.

    First those of H functions, the best for each day; then those of the best function for one day, fed back. The
    covariance of days i and j is amplitude^2 / 2 cos(2 pi (i - j) / period), plus noise^2 if i = j. The best weights
    solve the normal equations. What is fed back is a linear function of the window again.
    """
    day_T = np.arange(window + horizon)
    wave_TT = swing.amplitude**2 / 2 * np.cos(2 * np.pi * np.subtract.outer(day_T, day_T) / swing.period)
    covariance_TT = wave_TT + swing.noise**2 * np.eye(len(day_T))
    from_today_TT = np.eye(len(day_T)) - np.eye(len(day_T))[window - 1]  # subtracts today's price from each
    covariance_TT = from_today_TT @ covariance_TT @ from_today_TT.T
    within_LL, ahead_LH = covariance_TT[:window, :window], covariance_TT[:window, window:]
    direct_LH = np.linalg.pinv(within_LL) @ ahead_LH

    days = list(np.eye(window))  # each day as a function of the window
    days[-1] = np.zeros(window)  # today's difference from today
    for _ in range(horizon):
        days.append(days[-1] + direct_LH[:, 0] @ (np.array(days[-window:]) - days[-1]))
    fed_LH = np.array(days[window:]).T

    def errors(weights_LH: np.ndarray) -> np.ndarray:
        """Var(y - w x) = Var y - 2 w Cov(x, y) + w Cov(x) w, for each day."""
        explained_H = np.einsum("lh,lh->h", weights_LH, 2 * ahead_LH - within_LL @ weights_LH)
        return np.diag(covariance_TT)[window:] - explained_H

    return errors(direct_LH), errors(fed_LH)


def ways(direct: nn.Module, one_day: nn.Module, x_NL: Tensor, days: int) -> Tensor:
    """Differences from today (3, N, days): predicted at once; by the one-day model, fed back; and tomorrow = today."""
    with torch.no_grad():
        fed_NH = fed_back(one_day, x_NL, days)
        return torch.stack([direct(x_NL), fed_NH, torch.zeros_like(fed_NH)])


def fed_back(module: nn.Module, x_NL: Tensor, days: int) -> Tensor:
    """Predictions (N, days) of a model for one day, which sees its own predictions as if they were prices.

    Inputs and outputs are differences from the last day of the window, so each step subtracts a new last day.
    """
    path_NT = x_NL
    for _ in range(days):
        window_NL, today_N1 = path_NT[:, -x_NL.shape[1] :], path_NT[:, -1:]
        path_NT = torch.cat([path_NT, today_N1 + module(window_NL - today_N1)], 1)
    return path_NT[:, x_NL.shape[1] :]
