"""Standardised tensors of all rows, their parts in time, and windows by index arithmetic. Lightning-free.

Shapes: T rows of all series, one series after the other; S series; N samples; L look-back; F inputs per day; D = L * F;
H horizon; O outputs (H for values, 2 H for classes, 3 H for quantiles).

The *origin* of a sample is the row of its window's last day. Its inputs are the rows origin - L + 1 .. origin, its
targets the rows origin + 1 .. origin + H. (Plain rows have L = H = 1, and their target is in the origin's row.)
Windows are gathered from the tensor of rows when they are used, so memory grows with T, not with T * L.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from steepest.data.calendar import row_unit, season

PARTS = ("train", "val", "test")
CHUNK = 2**20  # numbers gathered in one step when code iterates over a whole part: 4 MiB of float32


class Batch(NamedTuple):
    """One batch: inputs x (N, D), targets y (N, H), and the weight of this device's mean in the update."""

    x_ND: Float[Tensor, "N D"]
    y_NH: Shaped[Tensor, "N H"]
    share: float = 1.0


class Order(NamedTuple):
    """Origins of the samples of several batches in sequence. Each batch has `size` samples; the last may have fewer."""

    origin_N: Int[Tensor, " N"]
    size: int


@dataclass(frozen=True)
class Part:
    """The samples of train, val or test. Series s has `count_S[s]` origins, and the first is row `first_S[s]`.

    If some days are not targets, `kept_N` contains the other origins, and `count_S` counts them.
    """

    first_S: Tensor
    count_S: Tensor
    kept_N: Tensor | None = None

    @cached_property
    def size(self) -> int:
        """The number of samples."""
        return int(self.count_S.sum())

    def __len__(self) -> int:
        return self.size

    def keep(self, keep_N: Tensor) -> Part:
        """Return a part with only the samples whose entry in `keep_N` is true."""
        origin_N = self.origins(torch.arange(len(self)))
        series_N = torch.arange(len(self.count_S)).repeat_interleave(self.count_S)
        return Part(self.first_S, series_N[keep_N].bincount(minlength=len(self.count_S)), origin_N[keep_N])

    def to(self, device: torch.device | str) -> Part:
        """Return the part on `device`."""
        kept_N = None if self.kept_N is None else self.kept_N.to(device)
        return Part(self.first_S.to(device), self.count_S.to(device), kept_N)

    def origins(self, index_N: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
        """The origins (N,) of the samples with these indices (N,), which count one series after the other."""
        if self.kept_N is not None:
            return self.kept_N[index_N]
        if len(self.count_S) == 1:
            return self.first_S + index_N
        end_S = self.count_S.cumsum(0)
        series_N = torch.bucketize(index_N, end_S, right=True)
        return self.first_S[series_N] + index_N - (end_S - self.count_S)[series_N]


class Pricing(NamedTuple):
    """Converts the predictions for some samples into prices.

    Attributes:
        scale_N1, center_N1: a prediction p is the value p * scale + center.
        last_N1: the last known prices.
        transform: how the value relates to prices: ``level``, ``return`` or ``log_return``.
    """

    scale_N1: Float[Tensor, "N 1"]
    center_N1: Float[Tensor, "N 1"]
    last_N1: Float[Tensor, "N 1"]
    transform: str

    def __call__(self, prediction_NH: Float[Tensor, "*R N H"]) -> Float[Tensor, "*R N H"]:
        """Prices, float64, for predictions in model space."""
        value_NH = (prediction_NH * self.scale_N1).add_(self.center_N1)  # float64, like the scale
        if self.transform == "return":
            return value_NH.add_(1).cumprod(-1).mul_(self.last_N1)
        if self.transform == "log_return":
            total_NH = value_NH if value_NH.shape[-1] == 1 else value_NH.cumsum(-1)
            return total_NH.exp_().mul_(self.last_N1)
        return value_NH


@dataclass(frozen=True)
class Windows:
    """All rows of a data set as tensors on one device, its parts, and the scaler that converts predictions to prices.

    Attributes:
        inputs_TF: standardised inputs, the price (or its return) first, in the training precision.
        target_T: the standardised target, in the training precision.
        price_T: prices in the data's units, float64; for plain rows, their targets.
        series_T: the index of each row's series.
        input_mean_SF, input_scale_SF: the mean and scale of each column of `inputs_TF`, float64.
        mean_S, scale_S: a prediction p is the value p * scale + mean (if relative, + the last value), float64.
        unit_S: standard deviation of the training rows' prices, the unit of ``mse_scaled``, float64.
        change_S, change_rms_S, slope_S: the mean absolute change, the root mean squared change and the mean change of a
            training row's price, float64.
        start_S, train_stop_S: each series' first row, and the row after its training rows. The windows of a trained
            model on new prices have no training rows.
        names: the series' names.
        input_names: the columns of `inputs_TF`.
        parts: train, val and test; a part with share 0 has no samples.
        index: each row's label in the data: series and date, or row number.
        relative: whether the window's last value is subtracted from inputs and targets.
        classes: whether the target is a class, 0 or 1: for prices, whether they rise; for plain rows, the target.
            Days whose price equals the last one are not targets.
        ordered: whether the rows are a time series, so that targets come after the origin.
        recognised: the description of the file that `prices.account` makes, or None.
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
    change_S: Tensor
    change_rms_S: Tensor
    slope_S: Tensor
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
    ordered: bool = True
    recognised: dict[str, Any] | None = None

    @property
    def inputs(self) -> int:
        """D, the number of inputs of a sample."""
        return self.window * self.inputs_TF.shape[1]

    @cached_property
    def unit(self) -> str:
        """The unit of a row of a time series: day, week, month, quarter or year; "row" if rows are closer."""
        return row_unit(self._first_dates.to_numpy()) if self.ordered else "row"

    @cached_property
    def season(self) -> int | None:
        """The number of rows per season of a time series; see `calendar.season`."""
        return season(self._first_dates) if self.ordered else None

    @property
    def _first_dates(self) -> pd.DatetimeIndex:
        """The dates of the first series."""
        rows = int(self.start_S[1]) if len(self.start_S) > 1 else len(self.index)
        return pd.DatetimeIndex(self.index[:rows].get_level_values("date"))

    @property
    def chunk(self) -> int:
        """The number of samples whose inputs and targets fit in one chunk of memory."""
        return max(1, CHUNK // max(self.inputs, self.horizon, 64))

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Windows:
        """The same windows on `device`, with inputs and targets in `dtype`. Prices stay float64."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        moved["inputs_TF"] = self.inputs_TF.to(device, dtype)
        moved["target_T"] = self.target_T.to(device, dtype)
        parts = {name: part.to(device) for name, part in self.parts.items()}
        return replace(self, **moved, parts=parts)

    def gather(self, origin_N: Int[Tensor, " N"]) -> Batch:
        """Inputs (N, D) and targets (N, H) of these samples. D holds F inputs per day, oldest day first."""
        x_NFL = self.inputs_TF.unfold(0, self.window, 1)[origin_N - (self.window - 1)]
        if self.relative:
            x_NFL[:, 0] -= self.target_T[origin_N].unsqueeze(-1)
        return Batch(x_NFL.transpose(1, 2).flatten(1), self.targets(origin_N))

    def targets(self, origin_N: Int[Tensor, " N"]) -> Shaped[Tensor, "N H"]:
        """The outputs that a model is trained to give for these samples."""
        if self.classes:
            actual_NH = self.actual(origin_N)
            return (actual_NH > self.last(origin_N)).long() if self.ordered else actual_NH.long()
        y_NH = self._after(self.target_T, origin_N)
        return y_NH - self.target_T[origin_N].unsqueeze(-1) if self.relative else y_NH

    def walk(self, part: str) -> Iterator[tuple[Tensor, Batch]]:
        """Yield every sample of a part once, in order, as (origins, batch) of up to `chunk` samples."""
        size, count = self.chunk, len(self.parts[part])
        for start in range(0, count, size):
            index_N = torch.arange(start, min(start + size, count), device=self.price_T.device)
            origin_N = self.parts[part].origins(index_N)
            yield origin_N, self.gather(origin_N)

    def spread(self, part: str, count: int) -> Batch:
        """At most `count` samples of a part, evenly spaced."""
        size = len(self.parts[part])
        index_N = torch.arange(min(count, size), device=self.price_T.device) * size // min(count, size)
        return self.gather(self.parts[part].origins(index_N))

    def actual(self, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
        """The actual prices (N, H) of these samples' target days, float64."""
        return self._after(self.price_T, origin_N)

    def last(self, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N 1"]:
        """The last price (N, 1) in each sample's window, float64."""
        return self.price_T[origin_N].unsqueeze(-1)

    def to_price(self, outputs_NO: Float[Tensor, "*R N O"], origin_N: Int[Tensor, " N"]) -> Float[Tensor, "*R N H"]:
        """Outputs in model space (R, N, O) -> predicted prices, float64: undoes relative, scaling and transform.

        The first H outputs are the predictions; a model of quantiles has more.
        """
        return self.pricing(origin_N)(outputs_NO[..., : self.horizon])

    def pricing(self, origin_N: Int[Tensor, " N"]) -> Pricing:
        """`to_price` for these samples, as an object that can be reused."""
        series_N = self.series_T[origin_N]
        center_N, scale_N = self.mean_S[series_N], self.scale_S[series_N]
        if self.relative and self.transform == "level":
            center_N = self.price_T[origin_N]
        elif self.relative:
            center_N = self.target_T[origin_N].double() * scale_N + center_N  # the last return
        return Pricing(scale_N.unsqueeze(-1), center_N.unsqueeze(-1), self.last(origin_N), self.transform)

    def no_change(self, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
        """The model output (N, H) that predicts tomorrow = today; for plain rows, the training mean."""
        pricing = self.pricing(origin_N)
        zero_N1 = torch.zeros_like(pricing.last_N1)
        if self.ordered:
            value_N1 = pricing.last_N1 if self.transform == "level" else zero_N1  # a return of 0
            output_N1 = (value_N1 - pricing.center_N1) / pricing.scale_N1
        else:
            output_N1 = zero_N1  # standardised targets have mean 0
        return output_N1.expand(-1, self.horizon)

    def _after(self, rows_T: Tensor, origin_N: Tensor) -> Tensor:
        return rows_T.unfold(0, self.horizon, 1)[origin_N + (1 if self.ordered else 0)]


def generator(seed: int, *key: int | str) -> torch.Generator:
    """A random generator that is a pure function of the seed and a key such as the epoch."""
    words = [seed, *(int.from_bytes(k.encode(), "big") if isinstance(k, str) else k for k in key)]
    return torch.Generator().manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1))
