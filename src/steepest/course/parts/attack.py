"""Windows with one strong and many weak signs of their class, an attack on them, and a net that trains against it.

Shapes: N windows, D days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from steepest.data.formulas import made_rows
from steepest.data.ranges import Count, NotNegative, Rows, Seed
from steepest.data.sources import RowData


@dataclass(kw_only=True)
class Signs(RowData):
    """Windows of a price's changes, in which the class, 1 up or 0 down, has one strong and many weak signs.

    The last day is 1 or -1, and has the sign of the class in a share `strong` of the windows. Each other day is normal
    with deviation 1 and mean `weak` or -`weak` (Tsipras et al. 2019). Each class has half of the rows.
    """

    days: Count = 28
    strong: float = 0.9
    weak: NotNegative = 0.4
    rows: Rows = 6000
    seed: Seed = 0
    classes: bool = True

    def read(self) -> pd.DataFrame:
        if not 0.5 < self.strong < 1:
            raise ValueError(f"data.strong={self.strong:g} must be above 0.5 and below 1: it is a share of days")
        random, kind = np.random.default_rng(self.seed), np.arange(self.rows) % 2
        sign_N = 2 * kind - 1
        days = self.weak * sign_N[:, None] + random.normal(size=(self.rows, self.days))
        days[:, -1] = np.where(random.random(self.rows) < self.strong, sign_N, -sign_N)
        return made_rows(days, kind, [f"day{i}" for i in range(1, self.days + 1)])

    def limit(self) -> float:
        """The accuracy of the best rule, the likelihood ratio: it knows how likely each window is in both classes."""
        weak = self.weak * np.sqrt(self.days - 1)  # the mean of the weak days' sum, in its deviations
        worth = np.log(self.strong / (1 - self.strong)) / (2 * weak)  # of the strong sign, in the same unit
        return float(self.strong * norm.cdf(weak + worth) + (1 - self.strong) * norm.cdf(weak - worth))


def margin(score_N2: Tensor, kind_N: Tensor) -> Tensor:
    """The score of the actual class minus that of the other (N,): above 0, the call is right."""
    return (score_N2[:, 1] - score_N2[:, 0]) * (2 * kind_N - 1)


def attacked(network: Callable[[Tensor], Tensor], x_ND: Tensor, kind_N: Tensor, size: float, steps: int = 1) -> Tensor:
    """Windows in which each day is changed by at most `size`, so that the margin falls (N, D).

    One step is the fast gradient sign method (Goodfellow et al. 2015), several are projected gradient descent (Madry
    et al. 2018). On a line, one step is the worst change: the margin falls by size * sum_d |w_d|.
    """
    moved_ND = x_ND
    for _ in range(steps):
        moved_ND = moved_ND.detach().requires_grad_()
        with torch.enable_grad():
            (slope_ND,) = torch.autograd.grad(margin(network(moved_ND), kind_N).sum(), moved_ND)
        step = size if steps == 1 else 2 * size / steps
        moved_ND = (moved_ND - step * slope_ND.sign()).clamp(x_ND - size, x_ND + size)
    return moved_ND.detach()


def last_day(x_ND: Tensor) -> Tensor:
    """Scores (N, 2) of a rule: the class is the sign of the last day."""
    return torch.stack([-x_ND[:, -1], x_ND[:, -1]], 1)


class Attacked(LightningModule):
    """A line or a two-layer net for two classes that trains on windows as they are, or on attacked ones.

    Args:
        inputs, outputs: D, and 2.
        size: how much the attack may change each day of a training window, in standard deviations; 0: no attack.
        hidden: units of the hidden layer; 0 is a line.
    """

    def __init__(self, inputs: int, outputs: int, size: NotNegative = 0.0, hidden: int = 16) -> None:
        super().__init__()
        self.size, self.loss = size, "cross_entropy"
        self.net: nn.Module = nn.Linear(inputs, outputs)
        if hidden:
            self.net = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x_ND: Tensor) -> Tensor:
        """Scores (N, 2) of the classes."""
        return self.net(x_ND)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of the batch, after the attack on it with the net's current parameters."""
        x_ND, y_N1 = batch
        if self.size:
            x_ND = attacked(self.net, x_ND, y_N1[:, 0], self.size)
        return cross_entropy(self.net(x_ND), y_N1[:, 0])
