"""A folded curve, and nets of relus with weights set by hand: one layer for any curve, and a layer for each fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from steepest.data.formulas import made_rows
from steepest.data.ranges import Count, Rows, Seed
from steepest.data.sources import RowData
from steepest.nets.networks import MLP


def folded(x: np.ndarray, folds: int) -> np.ndarray:
    """The zigzag with 2^folds pieces between 0 and 1: the distance of 2^folds x from the nearest even number."""
    return np.abs((2.0**folds * x + 1) % 2 - 1)


@dataclass(kw_only=True)
class Folds(RowData):
    """Points on the zigzag `folded`, with x uniform on [0, 1].

    Attributes:
        folds: how often the curve is folded.
        rows: number of points.
        seed: the seed of the points, independent of the run's.
    """

    folds: Count = 3
    rows: Rows = 512
    seed: Seed = 0

    def read(self) -> pd.DataFrame:
        x = np.random.default_rng(self.seed).uniform(0, 1, self.rows)
        return made_rows(x[:, None], folded(x, self.folds), ["x"])


def one_layer(x_K: np.ndarray, y_K: np.ndarray) -> MLP:
    """The net with one layer of K - 1 relus that joins K points by straight lines, from the first to the last.

    Each relu starts at a point, and its weight in the output is the change of the slope there.
    """
    slopes = np.diff(y_K) / np.diff(x_K)
    changes = np.diff(slopes, prepend=0.0)
    ones = np.ones((len(slopes), 1))
    return _net([(ones, -x_K[:-1]), (changes[None], y_K[:1])])


def layer_for_each_fold(folds: int) -> MLP:
    """The net with `folds` layers of two relus that equals `folded` on [0, 1].

    One fold is 2 relu(x) - 4 relu(x - 1/2): up to the middle, then down (Telgarsky 2016). The next layer folds its
    result.
    """
    fold_12, starts_2 = np.array([[2.0, -4.0]]), np.array([0.0, -0.5])
    first, middle = np.ones((2, 1)), np.ones((2, 1)) @ fold_12
    return _net([(first, starts_2), *[(middle, starts_2)] * (folds - 1), (fold_12, np.zeros(1))])


def sine_error(pieces: int, high: float) -> float:
    """The largest error of `one_layer` through pieces + 1 equally spaced points of a sine on [-high, high]."""
    x_K, x_M = np.linspace(-high, high, pieces + 1), np.linspace(-high, high, 5001)
    return float(np.abs(outputs(one_layer(x_K, np.sin(x_K)), x_M) - np.sin(x_M)).max())


def outputs(net: MLP, x_M: np.ndarray) -> np.ndarray:
    """The outputs (M,) of a net with one input."""
    return net(torch.tensor(x_M)[:, None]).detach().numpy()[:, 0]


def _net(layers: list[tuple[np.ndarray, np.ndarray]]) -> MLP:
    """The net of relus with these weights and constants, in double precision."""
    net = MLP(1, [len(b) for _, b in layers[:-1]], 1, activation="relu").double()
    for (W, b), (W_set, b_set) in zip(net.layers(), layers, strict=True):
        W.data, b.data = torch.tensor(W_set).double(), torch.tensor(b_set).double()
    return net
