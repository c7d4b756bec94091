"""Small pictures of two kinds, with a border that gives the kind away; and the attribution that finds it.

Shapes: N pictures, D pixels of a picture, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from torch import Tensor, nn

from steepest.data.formulas import made_rows
from steepest.data.ranges import NotNegative, Rows, Seed
from steepest.data.sources import RowData

SIDE, MIDDLE = 8, 4  # pixels along a side of the picture, and of the square in the middle with the line
BORDER = np.pad(np.zeros((SIDE - 2, SIDE - 2), dtype=bool), 1, constant_values=True)  # the outermost pixels


@dataclass(kw_only=True)
class Pictures(RowData):
    """Pictures with noise everywhere, and a line in the middle that falls (class 0) or rises (class 1).

    The brightness is in standard deviations of the noise. Each class has half of the rows.

    Attributes:
        contrast: how much brighter the line is.
        border: whether the outermost pixels are -1 in each picture of class 0, and 1 in each of class 1; otherwise,
            they are noise.
        rows: number of pictures, both classes together.
        seed: the seed of the pictures, independent of the run's.
    """

    contrast: NotNegative = 0.6
    border: bool = True
    rows: Rows = 8000
    seed: Seed = 0
    classes: bool = True

    def read(self) -> pd.DataFrame:
        kind = np.arange(self.rows) % 2
        pictures = np.random.default_rng(self.seed).normal(size=(self.rows, SIDE, SIDE)) + self.lines()[kind]
        if self.border:
            pictures[:, BORDER] = 2.0 * kind[:, None] - 1
        names = [f"row{i}_column{j}" for i in range(1, SIDE + 1) for j in range(1, SIDE + 1)]
        return made_rows(pictures.reshape(self.rows, -1), kind, names)

    def lines(self) -> np.ndarray:
        """The pictures of class 0 and 1 without noise and border (2, SIDE, SIDE)."""
        falling = np.pad(self.contrast * np.eye(MIDDLE), (SIDE - MIDDLE) // 2)
        return np.stack([falling, falling[:, ::-1]])

    def rule(self, pixels_ND: np.ndarray) -> np.ndarray:
        """The more probable class (N,) of pictures without border: the likelihood ratio of two normal densities."""
        falling, rising = self.lines()
        return (pixels_ND @ (rising - falling).ravel() > 0).astype(int)

    def limit(self) -> float:
        """The accuracy of `rule` on all possible pictures: Phi(d / 2) for lines at the distance d."""
        falling, rising = self.lines()
        return float(norm.cdf(np.linalg.norm(rising - falling) / 2))


def difference(network: nn.Module, x_ND: Tensor) -> Tensor:
    """The score of class 1 minus that of class 0 (N,): above 0, the network says class 1."""
    score_N2 = network(x_ND)
    return score_N2[:, 1] - score_N2[:, 0]


def gradient_times_input(network: nn.Module, x_ND: Tensor) -> Tensor:
    """The derivative of `difference` by each pixel, times the pixel (N, D) (Shrikumar et al. 2016)."""
    x_ND = x_ND.detach().requires_grad_()
    (slope_ND,) = torch.autograd.grad(difference(network, x_ND).sum(), x_ND)
    return (slope_ND * x_ND).detach()
