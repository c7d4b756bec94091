"""How much a stock moves in each week, as a series; and the predictions of a model for another stock.

Shapes: S stocks, N windows of each, D weeks of a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import bootstrap
from torch import Tensor, nn

from steepest.data.files import check_prices
from steepest.data.sources import ShippedPrices

RESAMPLES = 1000  # of the stocks, for an interval


@dataclass(kw_only=True)
class Moves(ShippedPrices):
    """The mean absolute daily log return of each week, in percent: how much a stock moves.

    Attributes:
        since: the first day to use.
    """

    since: str = "1990-01-01"

    def read(self) -> pd.DataFrame:
        weeks = _weeks(self.file)[self.series or slice(None)].loc[self.since :]
        return check_prices(weeks.reset_index(), f"data.file={self.file}")


@cache
def _weeks(file: str) -> pd.DataFrame:
    """The moves of all stocks; kept in memory, because the lesson reads them for each of its many runs."""
    price = ShippedPrices(file=file).read()["value"].unstack("series")
    return (100 * np.log(price).diff().iloc[1:].abs()).resample("W-FRI").mean().rename_axis("date")


class Scaling(NamedTuple):
    """The mean and the deviation of a stock's training weeks, by which a model's inputs and outputs are scaled."""

    mean: Tensor
    scale: Tensor


def transferred(network: nn.Module, scaling: Scaling, x_SND: Tensor) -> Tensor:
    """Predictions (S, N, 1) for windows (S, N, D), both in percent, with a scaling of the inputs and the outputs.

    With the scaling of the stock on which the model was trained, it predicts as it is. With that of each test stock (S,
    1, 1), it is aligned: its inputs have mean 0 and deviation 1, as in training. That needs no targets.
    """
    scaled_SND = (x_SND - scaling.mean) / scaling.scale
    with torch.no_grad():
        p_SN1 = network(scaled_SND.flatten(0, 1)).view(*x_SND.shape[:2], 1)
    return p_SN1 * scaling.scale + scaling.mean


def interval(growth: np.ndarray) -> tuple[float, float, float]:
    """The geometric mean of a factor over stocks or pairs of them, and its 95 % bootstrap interval (Efron 1979).

    It resamples the stocks, in both roles at once, because pairs that share a stock depend on each other.

    Args:
        growth: the logarithm of the factor of each stock (S,), or of each pair (S, S); the diagonal is left out.
    """

    def mean(chosen: np.ndarray) -> float:
        if growth.ndim == 1:
            return float(growth[chosen].mean())
        return float(growth[np.ix_(chosen, chosen)][chosen[:, None] != chosen].mean())

    stocks = np.arange(len(growth))
    low, high = bootstrap(
        (stocks,), mean, vectorized=False, n_resamples=RESAMPLES, method="percentile", rng=0
    ).confidence_interval
    return float(np.exp(mean(stocks))), float(np.exp(low)), float(np.exp(high))
