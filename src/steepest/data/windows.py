"""A checked frame -> standardised tensors, parts in time, and windows by index arithmetic. No Lightning here.

Shapes: T rows of all series, one under the other; S series; N samples; L look-back; F inputs a day; D = L * F;
H horizon; O outputs (H for values, 2 H for directions: two classes a day).

A sample is named by its *origin*, the row of its window's last day: its inputs are rows origin - L + 1 .. origin, its
targets rows origin + 1 .. origin + H. (Plain rows have L = H = 1 and their target in the origin's own row.) Windows are
gathered from the one tensor of rows when they are asked for, so memory grows with T, not with T * L.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.faults import Faults
from steepest.data.sources import RowData, SeriesData

PARTS = ("train", "val", "test")
CHUNK = 2**22  # numbers gathered at once where a whole part is walked through: 16 MiB of float32


class Batch(NamedTuple):
    """One batch: inputs x (N, D), targets y (N, H), and the weight of its mean among the devices of an update."""

    x_ND: Tensor
    y_NH: Tensor
    share: float = 1.0


@dataclass(frozen=True)
class Standardizer:
    """Mean and scale per series (S,) or per input (S, F), fitted on training rows only, float64."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, rows_TF: Tensor) -> Standardizer:
        """Fit on training rows (T, F): mean and population standard deviation, one of each per column."""
        return cls(rows_TF.mean(0), rows_TF.std(0, correction=0))

    def transform(self, rows_TF: Tensor) -> Tensor:
        """(rows - mean) / scale, elementwise per column: row t depends on row t and the fit alone."""
        return (rows_TF - self.mean) / self.scale


@dataclass(frozen=True)
class Part:
    """The samples of train, val or test: for each series s, `count_S[s]` origins that begin at row `first_S[s]`."""

    first_S: Tensor
    count_S: Tensor

    def __len__(self) -> int:
        return int(self.count_S.sum())

    def origins(self, index_N: Tensor) -> Tensor:
        """Rows of the windows' last days (N,) for sample numbers (N,), series after series."""
        if len(self.count_S) == 1:
            return self.first_S + index_N
        end_S = self.count_S.cumsum(0)
        series_N = torch.bucketize(index_N, end_S, right=True)
        return self.first_S[series_N] + index_N - (end_S - self.count_S)[series_N]


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
    direction: bool = False
    ordered: bool = True  # rows follow each other in time: targets lie after the origin

    @property
    def inputs(self) -> int:
        """D, the inputs of a sample."""
        return self.window * self.inputs_TF.shape[1]

    @property
    def outputs(self) -> int:
        """O, what a model has to put out for a sample."""
        return self.horizon * (2 if self.direction else 1)

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Windows:
        """The same windows with the model's tensors on `device` in `dtype` (prices stay float64)."""
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        moved["inputs_TF"] = self.inputs_TF.to(device, dtype)
        moved["target_T"] = self.target_T.to(device, dtype)
        parts = {k: Part(p.first_S.to(device), p.count_S.to(device)) for k, p in self.parts.items()}
        return replace(self, **moved, parts=parts)

    def gather(self, origin_N: Tensor) -> Batch:
        """Inputs (N, D) and targets (N, H) of the samples with these origins; D runs over days, then over inputs."""
        x_NFL = self.inputs_TF.unfold(0, self.window, 1)[origin_N - (self.window - 1)]
        y_NH = self._after(self.target_T, origin_N)
        if self.direction:
            y_NH = (self._after(self.price_T, origin_N) > self.price_T[origin_N].unsqueeze(-1)).long()
        if self.relative:
            last_N1 = self.target_T[origin_N].unsqueeze(-1)
            x_NFL[:, 0] -= last_N1
            if not self.direction:
                y_NH = y_NH - last_N1
        return Batch(x_NFL.transpose(1, 2).flatten(1), y_NH)

    def walk(self, part: str) -> Iterator[tuple[Tensor, Batch]]:
        """Every sample of a part once, in order, as (origins, batch) of as many samples as are cheap to hold."""
        size = max(1, CHUNK // max(self.inputs, 64))
        count = len(self.parts[part])
        for start in range(0, count, size):
            index_N = torch.arange(start, min(start + size, count), device=self.price_T.device)
            origin_N = self.parts[part].origins(index_N)
            yield origin_N, self.gather(origin_N)

    def actual(self, origin_N: Tensor) -> Tensor:
        """The true prices (N, H) that these samples predict, float64."""
        return self._after(self.price_T, origin_N)

    def last(self, origin_N: Tensor) -> Tensor:
        """The last price (N, 1) that these samples know, float64."""
        return self.price_T[origin_N].unsqueeze(-1)

    def to_price(self, prediction_NH: Tensor, origin_N: Tensor) -> Tensor:
        """Predictions in model space (N, H) -> prices (N, H), float64: undo relative, standardising, transform."""
        series_N = self.series_T[origin_N]
        value_NH = prediction_NH.double() * self.scale_S[series_N].unsqueeze(-1)
        if self.relative:
            value_NH = value_NH + self._value(origin_N).unsqueeze(-1)
        else:
            value_NH = value_NH + self.mean_S[series_N].unsqueeze(-1)
        if self.transform == "return":
            return self.last(origin_N) * (1 + value_NH).cumprod(-1)
        if self.transform == "log_return":
            return self.last(origin_N) * value_NH.cumsum(-1).exp()
        return value_NH

    def _value(self, origin_N: Tensor) -> Tensor:
        """The transformed, unscaled value (N,) at these rows, float64."""
        if self.transform == "level":
            return self.price_T[origin_N]
        series_N = self.series_T[origin_N]
        return self.target_T[origin_N].double() * self.scale_S[series_N] + self.mean_S[series_N]

    def _after(self, rows_T: Tensor, origin_N: Tensor) -> Tensor:
        return rows_T.unfold(0, self.horizon, 1)[origin_N + (1 if self.ordered else 0)]


def series_windows(frame: pd.DataFrame, spec: SeriesData, where: str) -> Windows:
    """Windows over a checked frame of series (index: series, date; columns: value, further inputs).

    Each series is split at the same dates and scaled by its own training rows. The rows of the parts are disjoint, and
    a gap of `horizon` rows stands before val and before test, so no target of one part lies in another's inputs.

    Raises:
        ValueError: with every fault: too few rows for a part, prices that have no return, inputs that stand still.
    """
    faults = Faults(where)
    names = [str(n) for n in frame.index.unique("series")]
    tables = [frame.loc[name] for name in names]
    first_days = _boundaries(pd.DatetimeIndex(frame.index.get_level_values("date")), spec.split)
    rows, prices, fits, columns = [], [], [], {k: [] for k in ("mean", "scale", "unit", "length", "train")}
    spans: dict[str, list[tuple[int, int]]] = {part: [] for part in PARTS}
    for name, table in zip(names, tables, strict=True):
        values, price = _transformed(table, spec.transform, name, faults)
        days = pd.DatetimeIndex(table.index)[len(table) - len(price) :]
        cuts = [int(np.searchsorted(days, day)) if day is not None else len(days) for day in first_days]
        span = {"train": (0, cuts[0]), "val": (cuts[0] + spec.horizon, cuts[1]), "test": (cuts[1] + spec.horizon, len(days))}
        for part in PARTS:
            spans[part].append(span[part])
        inputs = torch.from_numpy(values)
        fitted = Standardizer.fit(inputs[: cuts[0]]) if cuts[0] else Standardizer(inputs.new_zeros(1), inputs.new_ones(1))
        _check_moves(fitted, [str(c) for c in table.columns], name, cuts[0], faults)
        scale = _usual_change(inputs[: cuts[0], 0], spec.window) if spec.relative_to_last else fitted.scale[0].item()
        unit = float(price[: cuts[0]].std()) if cuts[0] else 1.0
        fitted.scale[0] = scale
        fits.append(fitted)
        rows.append(fitted.transform(inputs))
        prices.append(price)
        for key, number in zip(columns, (fitted.mean[0].item(), scale, unit, len(days), cuts[0]), strict=True):
            columns[key].append(number)
    faults.raise_if_any()

    length_S = torch.tensor(columns["length"])
    start_S = length_S.cumsum(0) - length_S
    lead = max(spec.window, spec.longest_window or 0)
    parts = {}
    for part in PARTS:
        span_S2 = torch.tensor(spans[part])
        count_S = (span_S2[:, 1] - span_S2[:, 0] - (lead - 1) - spec.horizon).clamp(min=0)
        parts[part] = Part(start_S + span_S2[:, 0] + lead - 1, count_S)
    _check_counts(parts, spans, spec, names, where, faults)
    faults.raise_if_any()
    inputs_TF = torch.cat(rows)
    dropped = frame.groupby(level="series", sort=False).cumcount() >= (0 if spec.transform == "level" else 1)
    return Windows(
        inputs_TF=inputs_TF,
        target_T=inputs_TF[:, 0],
        price_T=torch.from_numpy(np.concatenate(prices)),
        series_T=torch.arange(len(names)).repeat_interleave(length_S),
        input_mean_SF=torch.stack([fit.mean for fit in fits]),
        input_scale_SF=torch.stack([fit.scale for fit in fits]),
        mean_S=torch.tensor(columns["mean"], dtype=torch.float64),
        scale_S=torch.tensor(columns["scale"], dtype=torch.float64),
        unit_S=torch.tensor(columns["unit"], dtype=torch.float64),
        start_S=start_S,
        train_stop_S=start_S + torch.tensor(columns["train"]),
        names=names,
        input_names=[str(c) for c in frame.columns],
        parts=parts,
        index=frame.index[dropped.to_numpy()],
        window=spec.window,
        horizon=spec.horizon,
        transform=spec.transform,
        relative=spec.relative_to_last,
        direction=spec.target == "direction",
    )


def row_windows(frame: pd.DataFrame, spec: RowData, where: str, seed: int) -> Windows:
    """Samples over a checked frame of plain rows (columns: inputs, then the target), dealt out to the parts by `seed`.

    Raises:
        ValueError: when a part with a share gets no row, or a column stands still among the training rows.
    """
    faults = Faults(where)
    order = torch.randperm(len(frame), generator=generator(seed, "split")).numpy()
    whole = spec.split[0] == 1
    frame = frame if whole else frame.iloc[order]
    stops = [round(sum(spec.split[: i + 1]) * len(frame)) for i in range(3)]
    values = torch.from_numpy(frame.to_numpy(dtype=float, copy=True))
    for part, share, start, stop in zip(PARTS, spec.split, [0, *stops], stops, strict=False):
        if share > 0 and start == stop:
            faults.add(f"data.split={list(spec.split)} leaves no row for {part} of {len(frame)} rows: add rows or change data.split")
    fitted = Standardizer.fit(values[: stops[0]])
    _check_moves(fitted, [str(c) for c in frame.columns], where, stops[0], faults)
    faults.raise_if_any()
    rows = fitted.transform(values)
    zero = torch.zeros(1, dtype=torch.long)
    return Windows(
        inputs_TF=rows[:, :-1].contiguous(),
        target_T=rows[:, -1].contiguous(),
        price_T=values[:, -1].contiguous(),
        series_T=torch.zeros(len(frame), dtype=torch.long),
        input_mean_SF=fitted.mean[None, :-1],
        input_scale_SF=fitted.scale[None, :-1],
        mean_S=fitted.mean[-1:],
        scale_S=fitted.scale[-1:],
        unit_S=fitted.scale[-1:],
        start_S=zero,
        train_stop_S=zero + stops[0],
        names=[str(frame.columns[-1])],
        input_names=[str(c) for c in frame.columns[:-1]],
        parts={p: Part(zero + a, zero + b - a) for p, a, b in zip(PARTS, [0, *stops], stops, strict=False)},
        index=frame.index,
        ordered=False,
    )


def generator(seed: int, *key: int | str) -> torch.Generator:
    """A generator whose numbers are a pure function of the seed and a key such as the epoch."""
    words = [seed, *(int.from_bytes(k.encode(), "big") if isinstance(k, str) else k for k in key)]
    return torch.Generator().manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1))


def _boundaries(dates: pd.DatetimeIndex, split: list) -> list[pd.Timestamp | None]:
    """The first days of val and of test; None where nothing follows."""
    if len(split) == 2:
        return [pd.Timestamp(str(s)) for s in split]
    days = dates if dates.is_monotonic_increasing and dates.is_unique else dates.unique().sort_values()
    cuts = [math.floor(sum(split[: i + 1]) * len(days) + 1e-6) for i in range(2)]
    return [days[cut] if cut < len(days) else None for cut in cuts]


def _transformed(table: pd.DataFrame, transform: str, name: str, faults: Faults) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (T, F) with the value transformed, and prices (T,); a return costs the first row."""
    values = table.to_numpy(dtype=float, copy=True)
    price = values[:, 0].copy()
    if transform == "level":
        return values, price
    bad = np.flatnonzero(price <= 0)
    if len(bad):
        faults.add(
            f"{name}: data.transform={transform} needs prices above 0, {len(bad)} are not, first {price[bad[0]]:g} on "
            f"{table.index[bad[0]]:%Y-%m-%d}: use data.transform=level or drop them"
        )
        return values[1:], price[1:]
    ratio = price[1:] / price[:-1]
    values[1:, 0] = np.log(ratio) if transform == "log_return" else ratio - 1
    return values[1:], price[1:]


def _usual_change(value_T: Tensor, longest: int) -> float:
    """Root mean square of the training rows' changes over 1 .. `longest` days: the unit of a relative model.

    Of the one-day change alone, a long window's inputs would be far above 1 and gradient descent would need tiny steps.
    """
    steps = range(1, min(longest, len(value_T) - 1) + 1)
    squares = [(value_T[k:] - value_T[:-k]).square().mean() for k in steps]
    return torch.stack(squares).mean().sqrt().item() if squares else 1.0


def _check_moves(fitted: Standardizer, columns: list[str], name: str, rows: int, faults: Faults) -> None:
    if rows == 0:
        return  # too few rows: said once, by the count
    for column, scale in zip(columns, fitted.scale.tolist(), strict=True):
        if not scale > 0:
            faults.add(
                f"{name}: '{column}' does not change within the {rows} training rows, so it cannot be scaled: "
                "leave it out or enlarge the training part (data.split)"
            )


def _check_counts(
    parts: dict[str, Part], spans: dict[str, list[tuple[int, int]]], spec: SeriesData, names: list[str], where: str, faults: Faults
) -> None:
    """Every part with a share needs a sample; every series needs one to train on."""
    lead = max(spec.window, spec.longest_window or 0)
    shares = spec.split if len(spec.split) == 3 else [1, 1, 1]
    for part, share in zip(PARTS, shares, strict=True):
        if share == 0:
            continue
        short = [s for s in range(len(names)) if parts[part].count_S[s] == 0]
        if short and (part == "train" or len(short) == len(names)):
            start, stop = spans[part][short[0]]
            key = "data.window" if spec.longest_window in (None, spec.window) else "data.longest_window"
            faults.add(
                f"{key}={lead} needs at least {lead + spec.horizon} rows in each part (data.horizon={spec.horizon}), "
                f"the {part} part of {names[short[0]]} has {max(stop - start, 0)}"
                f"{'' if part == 'train' else f' after its gap of {spec.horizon}'}: lower {key} or change "
                f"data.split={list(spec.split)}"
            )
