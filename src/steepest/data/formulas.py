"""Data sets of plain rows generated from a known formula, to test whether a model recovers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from steepest.data.files import VALUE
from steepest.data.ranges import Rows, Seed
from steepest.data.sources import RowData


def made_rows(x_ND: np.ndarray, y_N: np.ndarray, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Build the frame that `RowData.read` must return.

    Args:
        x_ND: the inputs.
        y_N: the targets, or the classes 0 and 1.
        names: the names of the inputs. None: x1, x2, ...

    Raises:
        ValueError: if a number is not finite.
    """
    frame = pd.DataFrame(
        np.column_stack([x_ND, y_N]).astype(float),
        columns=[*(names or [f"x{d}" for d in range(1, x_ND.shape[1] + 1)]), VALUE],
        index=pd.RangeIndex(1, len(x_ND) + 1, name="row"),
    )
    bad = ~np.isfinite(frame.to_numpy())
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"row {row + 1}: {frame.columns[column]} is {frame.iat[row, column]}: all numbers must be finite"
        )
    return frame


@dataclass(kw_only=True)
class Line(RowData):
    """Points on a line, y = a x + b + noise e, with x uniform on [low, high] and e standard normal."""

    a: float = 2.0
    b: float = 1.0
    noise: float = 0.1
    low: float = -1.0
    high: float = 1.0
    rows: Rows = 200
    seed: Seed = 0

    def read(self) -> pd.DataFrame:
        return _points(lambda x: self.a * x + self.b, self.low, self.high, self.noise, self.rows, self.seed)


@dataclass(kw_only=True)
class Sigmoid(RowData):
    """Points on one sigmoid, y = c / (1 + exp(-(b + w x))) + noise e, with x uniform on [low, high]."""

    c: float = 2.0
    b: float = -1.0
    w: float = 2.0
    noise: float = 0.0
    low: float = -3.0
    high: float = 4.0
    rows: Rows = 200
    seed: Seed = 0

    def read(self) -> pd.DataFrame:
        def value(x: np.ndarray) -> np.ndarray:
            return self.c / (1 + np.exp(-(self.b + self.w * x)))

        return _points(value, self.low, self.high, self.noise, self.rows, self.seed)


_CURVES: dict[str, Callable] = {
    "sine": np.sin,
    "square": np.square,
    "step": lambda x: np.where(x > 0, 1.0, 0.0),
    "absolute": np.abs,
    "piecewise": lambda x: np.interp(x, [-3, -1, 0, 1.5, 3], [0, 2, -1, 1, 0]),
}


@dataclass(kw_only=True)
class Curve(RowData):
    """Points on a function of one variable, y = f(x) + noise e, with x uniform on [low, high].

    Attributes:
        function: ``sine``, ``square``, ``step`` (1 above 0), ``absolute``, or ``piecewise`` (straight lines through
            (-3, 0), (-1, 2), (0, -1), (1.5, 1), (3, 0)).
        noise: standard deviation of the noise.
        low, high: the range of x.
        rows: number of points.
        seed: the seed of the points, independent of the run's.
    """

    function: Literal["sine", "square", "step", "absolute", "piecewise"] = "sine"
    noise: float = 0.0
    low: float = -3.0
    high: float = 3.0
    rows: Rows = 500
    seed: Seed = 0

    def read(self) -> pd.DataFrame:
        return _points(_CURVES[self.function], self.low, self.high, self.noise, self.rows, self.seed)


@dataclass(kw_only=True)
class Rings(RowData):
    """Two classes that no line separates: a disc of class 0 at the origin, and a ring of class 1 around it.

    Each class has half of the rows. Points are uniform over the area of their class.

    Attributes:
        radius: the radius of the disc.
        inner, outer: the radii of the ring.
        rows: number of points, both classes together.
        seed: the seed of the points, independent of the run's.
    """

    radius: float = 1.0
    inner: float = 1.5
    outer: float = 2.0
    rows: Rows = 2000
    seed: Seed = 0
    classes: bool = True

    def read(self) -> pd.DataFrame:
        if not 0 < self.radius <= self.inner < self.outer:
            raise ValueError(
                f"data.radius={self.radius:g}, data.inner={self.inner:g}, data.outer={self.outer:g}: "
                "0 < radius <= inner < outer must hold, or the classes overlap"
            )
        if self.rows < 6:
            raise ValueError(f"data.rows={self.rows} must be 6 or more: each part needs both classes")
        random = np.random.default_rng(self.seed)
        kind = np.arange(self.rows) % 2
        angle = random.uniform(0, 2 * np.pi, self.rows)
        low, high = np.where(kind, self.inner, 0.0), np.where(kind, self.outer, self.radius)
        distance = np.sqrt(random.uniform(low**2, high**2))  # uniform over the area
        return made_rows(np.stack([distance * np.cos(angle), distance * np.sin(angle)], 1), kind)


def _points(function: Callable, low: float, high: float, noise: float, rows: int, seed: int) -> pd.DataFrame:
    if not low < high:
        raise ValueError(f"data.low={low:g} must be below data.high={high:g}")
    if rows < 3:
        raise ValueError(f"data.rows={rows} must be 3 or more")
    random = np.random.default_rng(seed)
    x = random.uniform(low, high, rows)
    with np.errstate(over="ignore", invalid="ignore"):
        y = function(x) + noise * random.normal(size=rows)
    if not np.isfinite(y).all():
        raise ValueError(f"data.low={low:g}, data.high={high:g}, data.noise={noise:g}: numbers overflow; lower them")
    return made_rows(x[:, None], y, ["x"])
