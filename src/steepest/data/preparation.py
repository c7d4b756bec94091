"""A checked frame -> `Windows`: transformed, split in time, standardised by the training rows. Lightning-free.

Shapes: T rows of one series; S series; F inputs a day; H horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.faults import Faults
from steepest.data.sources import RowData, SeriesData
from steepest.data.windows import PARTS, Part, Windows, generator


@dataclass(frozen=True)
class Standardizer:
    """Mean and scale (F,) of each column, fitted on training rows only, float64."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, rows_TF: Tensor) -> Standardizer:
        """Fit on training rows (T, F): the mean and the population standard deviation of each column."""
        return cls(rows_TF.mean(0), rows_TF.std(0, correction=0))

    def transform(self, rows_TF: Tensor) -> Tensor:
        """(rows - mean) / scale for each column: row t of the result depends only on row t and on the fit."""
        return (rows_TF - self.mean) / self.scale


def series_windows(
    frame: pd.DataFrame,
    spec: SeriesData,
    where: str,
    first_days: tuple[pd.Timestamp | None, pd.Timestamp | None] | None = None,
) -> Windows:
    """Windows over a checked frame of series (index: series, date; columns: value, additional inputs).

    All series are split at the same dates, and each is scaled by its training rows. No target of one part is an input
    of an earlier part. The parts share no rows unless val and test borrow their first inputs from the rows before
    them (`SeriesData.history`). Filled days, and for directions days on which the price does not move, are not targets.

    Args:
        frame: the checked frame.
        spec: how to cut it into samples.
        where: the file, for messages.
        first_days: the first days of val and of test, as `boundaries` returns them; None: those of `spec.split`.

    Raises:
        ValueError: with every fault: a part with too few rows, prices without returns, constant inputs.
    """
    faults = Faults(where)
    names = [str(n) for n in frame.index.unique("series")]
    tables = [frame.loc[name] for name in names]
    first_days = first_days or boundaries(pd.DatetimeIndex(frame.index.get_level_values("date")), spec.split)
    rows: list[Tensor] = []
    prices: list[np.ndarray] = []
    fits: list[Standardizer] = []
    units: list[float] = []
    changes: list[Tensor] = []
    slopes: list[Tensor] = []
    lengths: list[int] = []
    trained: list[int] = []
    spans: dict[str, list[tuple[int, int]]] = {part: [] for part in PARTS}
    for name, table in zip(names, tables, strict=True):
        values, price = transformed(table, spec.transform, name, faults)
        days = pd.DatetimeIndex(table.index)[len(table) - len(price) :]
        cuts = [int(np.searchsorted(days, day)) if day is not None else len(days) for day in first_days]
        span = {
            "train": (0, cuts[0]),
            "val": (cuts[0] + spec.rows_between, cuts[1]),
            "test": (cuts[1] + spec.rows_between, len(days)),
        }
        for part in PARTS:
            spans[part].append(span[part])
        inputs = torch.from_numpy(values)
        fitted = (
            Standardizer.fit(inputs[: cuts[0]]) if cuts[0] else Standardizer(inputs.new_zeros(1), inputs.new_ones(1))
        )
        _check_variation(fitted, [str(c) for c in table.columns], name, cuts[0], faults)
        if spec.relative_to_last:
            fitted.scale[0] = _typical_change(inputs[: cuts[0], 0], spec.window)
        fits.append(fitted)
        rows.append(fitted.transform(inputs))
        prices.append(price)
        units.append(float(price[: cuts[0]].std()) if cuts[0] else 1.0)
        changes.append(torch.from_numpy(price[: cuts[0]]).diff())
        slopes.append(_slope(price[: cuts[0]]))
        lengths.append(len(days))
        trained.append(cuts[0])
    faults.raise_if_any()

    length_S = torch.tensor(lengths)
    start_S = length_S.cumsum(0) - length_S
    lead = max(spec.window, spec.longest_window or 0)
    parts = {}
    for part in PARTS:
        span_S2 = torch.tensor(spans[part])
        first_S = span_S2[:, 0] + lead - 1
        if spec.history == "borrow" and part != "train":
            first_S = (span_S2[:, 0] - 1).clamp(min=lead - 1)
        parts[part] = Part(start_S + first_S, (span_S2[:, 1] - first_S - spec.horizon).clamp(min=0))
    _check_counts(parts, spans, spec, names, where, faults)
    faults.raise_if_any()
    inputs_TF = torch.cat(rows)
    input_mean_SF = torch.stack([fit.mean for fit in fits])
    input_scale_SF = torch.stack([fit.scale for fit in fits])
    kept = (frame.groupby(level="series", sort=False).cumcount() >= (0 if spec.transform == "level" else 1)).to_numpy()
    price_T = torch.from_numpy(np.concatenate(prices))
    filled_T = torch.from_numpy(filled_rows(frame)[kept])
    if filled_T.any() or spec.target == "direction":
        parts = {
            name: part.keep(are_targets(part, price_T, filled_T, spec.horizon, spec.target == "direction"))
            for name, part in parts.items()
        }
    return Windows(
        inputs_TF=inputs_TF,
        target_T=inputs_TF[:, 0],
        price_T=price_T,
        series_T=torch.arange(len(names)).repeat_interleave(length_S),
        input_mean_SF=input_mean_SF,
        input_scale_SF=input_scale_SF,
        mean_S=input_mean_SF[:, 0].clone(),
        scale_S=input_scale_SF[:, 0].clone(),
        unit_S=torch.tensor(units, dtype=torch.float64),
        change_S=torch.stack([change_T.abs().mean() for change_T in changes]),
        change_rms_S=torch.stack([change_T.square().mean().sqrt() for change_T in changes]),
        slope_S=torch.stack(slopes),
        start_S=start_S,
        train_stop_S=start_S + torch.tensor(trained),
        names=names,
        input_names=[str(c) for c in frame.columns],
        parts=parts,
        index=frame.index[kept],
        window=spec.window,
        horizon=spec.horizon,
        transform=spec.transform,
        relative=spec.relative_to_last,
        classes=spec.target == "direction",
        recognised=frame.attrs.get("recognised"),
    )


def are_targets(part: Part, price_T: Tensor, filled_T: Tensor, horizon: int, directions: bool) -> Tensor:
    """Return a mask (N,) of the samples whose targets count.

    Filled days are not targets. For directions, days with an unchanged price are not targets either.
    """
    origin_N1 = part.origins(torch.arange(len(part))).unsqueeze(-1)
    target_NH = origin_N1 + torch.arange(1, horizon + 1)
    keep_N = ~filled_T[target_NH].any(-1)
    if directions:
        keep_N &= (price_T[target_NH] != price_T[origin_N1]).all(-1)
    return keep_N


def kept_rows(frame: pd.DataFrame, keep_T: np.ndarray) -> pd.DataFrame:
    """Return the rows of a checked frame where the mask is true. `attrs` records which of them are filled."""
    kept = frame[keep_T].copy()
    kept.attrs["filled"] = tuple(np.flatnonzero(filled_rows(frame)[keep_T]).tolist())
    return kept


def filled_rows(frame: pd.DataFrame) -> np.ndarray:
    """Return a mask of the rows that were filled from the previous day. They are inputs, but not targets."""
    filled_T = np.zeros(len(frame), bool)
    filled_T[list(frame.attrs.get("filled", ()))] = True
    return filled_T


def row_windows(frame: pd.DataFrame, spec: RowData, where: str, seed: int) -> Windows:
    """Samples over a checked frame of plain rows (columns: inputs, then the target), assigned to parts by `seed`.

    Raises:
        ValueError: if a part with a share above 0 gets no row, a column is constant in the training rows, or the
            target of a classification is neither 0 nor 1.
    """
    faults = Faults(where)
    target = frame.iloc[:, -1]
    other = target[~target.isin([0, 1])]
    if spec.classes and len(other):
        faults.add(
            f"'{target.name}' is neither 0 nor 1 in {len(other)} of {len(frame)} rows, first {other.iloc[0]:g} in row "
            f"{other.index[0]}: data.classes=true predicts class 0 or 1; leave it out to predict numbers"
        )
    order = torch.randperm(len(frame), generator=generator(seed, "split")).numpy()
    if spec.split[0] != 1:
        frame = frame.iloc[order]
    stops = [round(sum(spec.split[: i + 1]) * len(frame)) for i in range(3)]
    values = torch.from_numpy(frame.to_numpy(dtype=float, copy=True))
    for part, share, start, stop in zip(PARTS, spec.split, [0, *stops], stops, strict=False):
        if share > 0 and start == stop:
            faults.add(
                f"data.split={list(spec.split)} leaves no row of {len(frame)} for {part}: add rows or change data.split"
            )
    fitted = Standardizer.fit(values[: stops[0]])
    _check_variation(fitted, [str(c) for c in frame.columns], where, stops[0], faults)
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
        change_S=torch.zeros(1, dtype=torch.float64),  # plain rows have no order, so no change
        change_rms_S=torch.zeros(1, dtype=torch.float64),
        slope_S=torch.zeros(1, dtype=torch.float64),
        start_S=zero,
        train_stop_S=zero + stops[0],
        names=[str(frame.columns[-1])],
        input_names=[str(c) for c in frame.columns[:-1]],
        parts={p: Part(zero + a, zero + b - a) for p, a, b in zip(PARTS, [0, *stops], stops, strict=False)},
        index=frame.index,
        classes=spec.classes,
        ordered=False,
    )


def within(frame: pd.DataFrame, spec: SeriesData, where: str) -> pd.DataFrame:
    """Return the rows of a frame up to the last day that `spec` uses.

    Raises:
        ValueError: if no rows are left, or if there are fewer days than `spec.split` needs.
    """
    if spec.until is not None:
        end = pd.Timestamp(spec.until)
        end += pd.Timedelta(days=1) - pd.Timedelta(1) if end == end.normalize() else pd.Timedelta(0)
        frame = up_to(frame, end)
        if frame.empty:
            raise ValueError(f"{where}: data.until={spec.until} leaves no rows: use a later day")
    if spec.days is None:
        return frame
    days = pd.DatetimeIndex(frame.index.get_level_values("date")).unique().sort_values()
    if sum(spec.days) > len(days):
        raise ValueError(
            f"{where}: data.split={list(spec.split)} needs {sum(spec.days)} days, but there are {len(days)}: lower them"
        )
    return up_to(frame, days[sum(spec.days) - 1])


def up_to(frame: pd.DataFrame, last: pd.Timestamp) -> pd.DataFrame:
    """Return the rows of a frame up to and including this time."""
    return kept_rows(frame, np.asarray(frame.index.get_level_values("date") <= last))


def boundaries(dates: pd.DatetimeIndex, split: list) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    """Return the first days of val and of test, or None if the data end before that day."""
    if len(split) == 2:
        return pd.Timestamp(str(split[0])), pd.Timestamp(str(split[1]))
    days = dates if dates.is_monotonic_increasing and dates.is_unique else dates.unique().sort_values()
    days_each = 1 if max(split) > 1 else len(days)  # numbers of days, or fractions
    val, test = (math.floor(sum(split[: i + 1]) * days_each + 1e-6) for i in range(2))
    return days[val] if val < len(days) else None, days[test] if test < len(days) else None


def transformed(table: pd.DataFrame, transform: str, name: str, faults: Faults) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (T, F) with the value transformed, and prices (T,). A return drops the first row."""
    values = table.to_numpy(dtype=float, copy=True)
    price = values[:, 0].copy()
    if transform == "level":
        return values, price
    bad = np.flatnonzero(price <= 0)
    if len(bad):
        faults.add(
            f"{name}: data.transform={transform} needs prices above 0, {len(bad)} are not, first {price[bad[0]]:g} on "
            f"{table.index[bad[0]]:%Y-%m-%d}: use data.transform=level, or remove these rows",
            "not above 0",
            f"{name} ({table.index[bad[0]]:%Y-%m-%d})",
        )
        return values[1:], price[1:]
    ratio = price[1:] / price[:-1]
    values[1:, 0] = np.log(ratio) if transform == "log_return" else ratio - 1
    return values[1:], price[1:]


def _typical_change(value_T: Tensor, longest: int) -> float:
    """Root mean square of the training rows' changes over 1 .. `longest` days: the scale of a relative model.

    With the one-day change as the scale, a long window's inputs would be far above 1 and gradient descent would need
    tiny steps.
    """
    steps = range(1, min(longest, len(value_T) - 1) + 1)
    squares = [(value_T[k:] - value_T[:-k]).square().mean() for k in steps]
    return torch.stack(squares).mean().sqrt().item() if squares else 1.0


def _slope(price_T: np.ndarray) -> Tensor:
    """The mean change of a price per row, 0 for fewer than two rows."""
    change = price_T[-1] - price_T[0] if len(price_T) else 0.0
    return torch.tensor(change / max(len(price_T) - 1, 1), dtype=torch.float64)


def _check_variation(fitted: Standardizer, columns: list[str], name: str, rows: int, faults: Faults) -> None:
    if rows == 0:
        return  # `_check_counts` reports that there are too few rows
    for column, mean, scale in zip(columns, fitted.mean.tolist(), fitted.scale.tolist(), strict=True):
        if not scale > 1e-12 * abs(mean):  # rounding: the deviation of equal numbers need not be exactly 0
            faults.add(
                f"{name}: '{column}' does not change within the {rows} training rows, so it cannot be scaled: "
                "leave it out or enlarge the training part (data.split)",
                "does not change",
                f"'{column}' of {name}",
            )


def _check_counts(
    parts: dict[str, Part],
    spans: dict[str, list[tuple[int, int]]],
    spec: SeriesData,
    names: list[str],
    where: str,
    faults: Faults,
) -> None:
    """Each part with a share above 0 needs a sample, and each series needs a training sample."""
    lead = max(spec.window, spec.longest_window or 0)
    shares = spec.split if len(spec.split) == 3 else [1, 1, 1]
    for part, share in zip(PARTS, shares, strict=True):
        if share == 0:
            continue
        short = [s for s in range(len(names)) if parts[part].count_S[s] == 0]
        if short and (part == "train" or len(short) == len(names)):
            start, stop = spans[part][short[0]]
            after_gap = f" after its gap of {spec.rows_between}" if part != "train" and spec.rows_between else ""
            found = f"the {part} part of {names[short[0]]} has {max(stop - start, 0)}{after_gap}"
            if part != "train" and spec.history == "borrow":
                faults.add(
                    f"data.horizon={spec.horizon} needs at least {spec.horizon} rows in each part, {found}: lower "
                    f"data.horizon or change data.split={list(spec.split)}"
                )
                continue
            key = "data.window" if spec.longest_window in (None, spec.window) else "data.longest_window"
            most = stop - start - spec.horizon
            lower = f"{key} to {most}" if most > 0 else key
            faults.add(
                f"{key}={lead} needs at least {lead + spec.horizon} rows in each part (data.horizon={spec.horizon}), "
                f"{found}: lower {lower} or change data.split={list(spec.split)}"
            )
