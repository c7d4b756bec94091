"""A seasonal series with planted shocks, and a net that rebuilds a window from a narrow code.

Shapes: T rows, N samples, L days of a window, D = L inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from steepest.data.files import check_prices
from steepest.data.ranges import Count, NotNegative, Rows, Seed
from steepest.data.sources import SeriesData

MEAN = 100.0
SPIKE, DISPLACED = 1, 2  # kinds of shocks
HEIGHT = (1.5, 2.0)  # of a spike, as multiples of the season's largest value


class Made(NamedTuple):
    """The rows of `Shocks`.

    Attributes:
        value_T: the values of the series.
        season_T: the values without noise and shocks.
        kind_T: 0, or the kind of a shock: `SPIKE` or `DISPLACED`.
    """

    value_T: np.ndarray
    season_T: np.ndarray
    kind_T: np.ndarray


@dataclass(kw_only=True)
class Shocks(SeriesData):
    """A season with noise. Its test part has shocks of one day: spikes, and values of half a season later.

    Attributes:
        rows: number of days.
        period: days of a season.
        noise: standard deviation of the noise.
        every: days from one shock to the next, about.
        seed: the seed of the noise and of the shocks.
    """

    rows: Rows = 4000
    period: Count = 20
    noise: NotNegative = 1.5
    every: Count = 40
    seed: Seed = 0

    def made(self) -> Made:
        """The series and its shocks, which alternate between the two kinds."""
        random = np.random.default_rng(self.seed)
        angle_T = 2 * np.pi * np.arange(self.rows) / self.period
        season_T = 10 * np.sin(angle_T) + 3 * np.sin(3 * angle_T)  # half a season later, it has the opposite sign
        value_T, kind_T = MEAN + season_T + self.noise * random.standard_normal(self.rows), np.zeros(self.rows, int)
        largest = np.abs(season_T).max()
        first = int(sum(map(float, self.split[:2])) * self.rows) + self.every
        for number, start in enumerate(range(first, self.rows - self.every, self.every)):
            days = np.arange(start, start + self.every // 2)
            if number % 2:
                day, kind = random.choice(days), SPIKE
                value = random.choice([-1, 1]) * random.uniform(*HEIGHT) * largest
            else:
                day, kind = random.choice(days[np.abs(season_T[days]) > largest / 2]), DISPLACED
                value = -season_T[day] + self.noise * random.standard_normal()
            value_T[day], kind_T[day] = MEAN + value, kind
        return Made(value_T, MEAN + season_T, kind_T)

    def read(self) -> pd.DataFrame:
        date = pd.date_range("2000-01-01", periods=self.rows, freq="D")
        return check_prices(pd.DataFrame({"date": date, "season": self.made().value_T}), "data=course/shocks")


class Autoencoder(LightningModule):
    """A net that describes a window by a few numbers, the code, and rebuilds it and the next day from them."""

    def __init__(self, inputs: int, code: Count = 2, hidden: Count = 32) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, code))
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.Tanh(), nn.Linear(hidden, inputs + 1))

    def rebuilt(self, x_ND: Tensor) -> Tensor:
        """The window and the next day (N, D + 1), by the code."""
        return self.decoder(self.encoder(x_ND))

    def forward(self, x_ND: Tensor) -> Tensor:
        """The next day (N, 1)."""
        return self.rebuilt(x_ND)[:, -1:]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean squared error of the window and of the next day."""
        x_ND, y_N1 = batch
        return mse_loss(self.rebuilt(x_ND), torch.cat([x_ND, y_N1], 1))
