"""Standardised tensors of all rows, their parts in time, and windows of them by index arithmetic. No Lightning here.

Shapes: T rows of all series, one under the other; S series; N samples; L look-back; F inputs a day; D = L * F;
H horizon; O outputs (H for values, 2 H for classes: two a day).

A sample is named by its *origin*, the row of its window's last day: its inputs are rows origin - L + 1 .. origin, its
targets rows origin + 1 .. origin + H. (Plain rows have L = H = 1 and their target in the origin's own row.) Windows are
gathered from the one tensor of rows when they are asked for, so memory grows with T, not with T * L.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

PARTS = ("train", "val", "test")
CHUNK = 2**20  # numbers gathered at once where a whole part is walked through: 4 MiB of float32


class Batch(NamedTuple):
    """One batch: inputs x (N, D), targets y (N, H), and the weight of its mean among the devices of an update."""

    x_ND: Float[Tensor, "N D"]
    y_NH: Shaped[Tensor, "N H"]
    share: float = 1.0


class Order(NamedTuple):
    """Origins of the samples of several batches, one batch after the other; all have `size`, the last perhaps fewer."""

    origin_N: Int[Tensor, " N"]
    size: int


@dataclass(frozen=True)
class Part:
    """The samples of train, val or test: for each series s, `count_S[s]` origins that begin at row `first_S[s]`."""

    first_S: Tensor
    count_S: Tensor

    def __len__(self) -> int:
        return int(self.count_S.sum())

    def origins(self, index_N: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
        """Rows of the windows' last days (N,) for sample numbers (N,), series after series."""
        if len(self.count_S) == 1:
            return self.first_S + index_N
        end_S = self.count_S.cumsum(0)
        series_N = torch.bucketize(index_N, end_S, right=True)
        return self.first_S[series_N] + index_N - (end_S - self.count_S)[series_N]


class Pricing(NamedTuple):
    """What turns predictions of some samples into prices.

    Attributes:
        scale_N1, center_N1: a prediction p means the value p * scale + center.
        last_N1: the last prices known.
        transform: what the value is of prices.
    """

    scale_N1: Float[Tensor, "N 1"]
    center_N1: Float[Tensor, "N 1"]
    last_N1: Float[Tensor, "N 1"]
    transform: str

    def __call__(self, prediction_NH: Float[Tensor, "*R N H"]) -> Float[Tensor, "*R N H"]:
        """Prices, float64, for predictions in model space."""
        value_NH = (prediction_NH * self.scale_N1).add_(self.center_N1)  # float64, as the scale is
        if self.transform == "return":
            return value_NH.add_(1).cumprod(-1).mul_(self.last_N1)
        if self.transform == "log_return":
            total_NH = value_NH if value_NH.shape[-1] == 1 else value_NH.cumsum(-1)
            return total_NH.exp_().mul_(self.last_N1)
        return value_NH


@dataclass(frozen=True)
class Windows:
    """All rows of a data set as tensors on one device, its parts, and what turns predictions into prices.

    Attributes:
        inputs_TF: standardised inputs, the price (or its return) first, in the training precision.
        target_T: what is predicted, standardised, in the training precision.
        price_T: the data's own units, float64.
        series_T: the number of each row's series.
        input_mean_SF, input_scale_SF: what was taken off and divided by in each column of `inputs_TF`, float64.
        mean_S, scale_S: a prediction p means p * scale + mean (or + the last value, if relative), float64.
        unit_S: standard deviation of the training rows' prices, the unit of ``mse_scaled``, float64.
        train_stop_S: the row after each series' training rows; they begin at `start_S`.
        names: the series' names.
        input_names: the columns of `inputs_TF`.
        parts: train, val, test; a part that was given no share has no samples.
        index: what identifies each row outside (series and date, or row number).
        classes: what is predicted is class 0 or 1: of prices whether they rise, of plain rows their target.
    """

    inputs_TF: Tensor
    target_T: Tensor
    price_T: Tensor
    series_T: Tensor
    input_mean_SF: Tensor
    input_scale_SF: Tensor
    mean_S: Tensor
    scale_S: Tensor
    unit_S: Tensor
    start_S: Tensor
    train_stop_S: Tensor
    names: list[str]
    input_names: list[str]
    parts: dict[str, Part]
    index: pd.Index
    window: int = 1
    horizon: int = 1
    transform: str = "level"
    relative: bool = False
    classes: bool = False
    ordered: bool = True  # rows follow each other in time: targets lie after the origin

    @property
    def inputs(self) -> int:
        """D, the inputs of a sample."""
        return self.window * self.inputs_TF.shape[1]

    @property
    def outputs(self) -> int:
        """O, what a model has to put out for a sample."""
        return self.horizon * (2 if self.classes else 1)

    @property
    def at_once(self) -> int:
        """How many samples' inputs are cheap to hold."""
        return max(1, CHUNK // max(self.inputs, 64))

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Windows:
        """The same windows with the model's tensors on `device` in `dtype` (prices stay float64)."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        moved["inputs_TF"] = self.inputs_TF.to(device, dtype)
        moved["target_T"] = self.target_T.to(device, dtype)
        parts = {k: Part(p.first_S.to(device), p.count_S.to(device)) for k, p in self.parts.items()}
        return replace(self, **moved, parts=parts)

    def gather(self, origin_N: Int[Tensor, " N"]) -> Batch:
        """Inputs (N, D) and targets (N, H) of the samples with these origins; D runs over days, then over inputs."""
        x_NFL = self.inputs_TF.unfold(0, self.window, 1)[origin_N - (self.window - 1)]
        y_NH = self._after(self.target_T, origin_N)
        if self.classes:
            came_NH = self._after(self.price_T, origin_N)
            y_NH = (came_NH > self.price_T[origin_N].unsqueeze(-1)).long() if self.ordered else came_NH.long()
        if self.relative:
            last_N1 = self.target_T[origin_N].unsqueeze(-1)
            x_NFL[:, 0] -= last_N1
            if not self.classes:
                y_NH = y_NH - last_N1
        return Batch(x_NFL.transpose(1, 2).flatten(1), y_NH)

    def walk(self, part: str) -> Iterator[tuple[Tensor, Batch]]:
        """Every sample of a part once, in order, as (origins, batch) of as many samples as are cheap to hold."""
        size, count = self.at_once, len(self.parts[part])
        for start in range(0, count, size):
            index_N = torch.arange(start, min(start + size, count), device=self.price_T.device)
            origin_N = self.parts[part].origins(index_N)
            yield origin_N, self.gather(origin_N)

    def spread(self, part: str, count: int) -> Batch:
        """Evenly spaced samples of a part, at most so many; all of a smaller part."""
        size = len(self.parts[part])
        index_N = torch.arange(min(count, size), device=self.price_T.device) * size // min(count, size)
        return self.gather(self.parts[part].origins(index_N))

    def actual(self, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
        """The true prices (N, H) that these samples predict, float64."""
        return self._after(self.price_T, origin_N)

    def last(self, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N 1"]:
        """The last price (N, 1) that these samples know, float64."""
        return self.price_T[origin_N].unsqueeze(-1)

    def to_price(self, prediction_NH: Float[Tensor, "*R N H"], origin_N: Int[Tensor, " N"]) -> Float[Tensor, "*R N H"]:
        """Predictions in model space (R, N, H) -> prices, float64: undo relative, standardising, transform."""
        return self.pricing(origin_N)(prediction_NH)

    def pricing(self, origin_N: Int[Tensor, " N"]) -> Pricing:
        """`to_price` for these samples."""
        series_N = self.series_T[origin_N]
        center_N = self._value(origin_N) if self.relative else self.mean_S[series_N]
        scale_N1 = self.scale_S[series_N].unsqueeze(-1)
        return Pricing(scale_N1, center_N.unsqueeze(-1), self.last(origin_N), self.transform)

    def standing_still(self, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
        """What a model would have to put out (N, H) to say tomorrow = today; for plain rows, the training mean."""
        if self.transform == "level" and self.ordered:
            value_N = self.price_T[origin_N]
        else:
            value_N = torch.zeros_like(self.price_T[origin_N])  # no return; of plain rows, see below
        series_N = self.series_T[origin_N]
        if not self.ordered:
            return value_N.unsqueeze(-1).expand(-1, self.horizon)  # targets have their mean taken off
        center_N = self._value(origin_N) if self.relative else self.mean_S[series_N]
        return ((value_N - center_N) / self.scale_S[series_N]).unsqueeze(-1).expand(-1, self.horizon)

    def _value(self, origin_N: Tensor) -> Tensor:
        """The transformed, unscaled value (N,) at these rows, float64."""
        if self.transform == "level":
            return self.price_T[origin_N]
        series_N = self.series_T[origin_N]
        return self.target_T[origin_N].double() * self.scale_S[series_N] + self.mean_S[series_N]

    def _after(self, rows_T: Tensor, origin_N: Tensor) -> Tensor:
        return rows_T.unfold(0, self.horizon, 1)[origin_N + (1 if self.ordered else 0)]


def generator(seed: int, *key: int | str) -> torch.Generator:
    """A generator whose numbers are a pure function of the seed and a key such as the epoch."""
    words = [seed, *(int.from_bytes(k.encode(), "big") if isinstance(k, str) else k for k in key)]
    return torch.Generator().manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1))
