"""Compares two pipelines bit for bit up to a day: the rows read, the scaler, the inputs, the windows, the predictions.

Shapes: T rows, F inputs per day, N samples, L look-back, D = L * F, H horizon, S series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.faults import counted
from steepest.data.preparation import filled_rows
from steepest.data.windows import PARTS, Windows
from steepest.runs.lookahead.path import Prepared, predictions
from steepest.runs.lookahead.training import Fit

SCALER = {  # attributes of `Windows`
    "input_mean_SF": "the mean of input {}",
    "input_scale_SF": "the scale of input {}",
    "mean_S": "the mean of the target",
    "scale_S": "the scale of the target",
    "unit_S": "the standard deviation of the training prices",
    "change_S": "the mean absolute change of the training prices",
    "slope_S": "the mean change of the training prices",
}


@dataclass(frozen=True)
class Difference:
    """The first number that differs.

    Attributes:
        what: the number's column or name.
        before, after: the number with the real future, and with the changed future.
        series, day: the row of the number, if it has one.
    """

    what: str
    before: str
    after: str
    series: str | None = None
    day: str | None = None

    def __str__(self) -> str:
        place = "" if self.series is None else f" of {self.series} on {self.day}"
        return f"{self.what}{place} is {self.before} with the real future, but {self.after} with the changed one"


@dataclass(frozen=True)
class Comparison:
    """The comparison of one step of the pipeline: the count of compared numbers, and the first difference or None."""

    step: str
    count: int
    difference: Difference | None


def differing(one: Tensor | np.ndarray, other: Tensor | np.ndarray) -> np.ndarray:
    """Return a mask, in the shape of the arguments, of the numbers whose bits differ."""
    a, b = np.ascontiguousarray(one), np.ascontiguousarray(other)
    assert a.dtype == b.dtype, "both pipelines have the same precision"
    bits = f"u{a.dtype.itemsize}"
    return np.asarray(a.view(bits) != b.view(bits))


def first_difference(
    one: Tensor | np.ndarray, other: Tensor | np.ndarray, what: Callable[[int], str], index: pd.Index | None = None
) -> Difference | None:
    """Return the first difference of two tables.

    Args:
        one, other: tables (N, C), or columns (N,).
        what: returns the name of a column.
        index: the series and date of each row, or None.
    """
    a, b = (np.asarray(table).reshape(len(table), -1) for table in (one, other))
    if a.shape != b.shape:
        return Difference("the number of values", " x ".join(map(str, a.shape)), " x ".join(map(str, b.shape)))
    found = np.argwhere(differing(a, b))
    if not len(found):
        return None
    row, column = (int(number) for number in found[0])
    before, after = str(a[row, column]), str(b[row, column])
    if index is None:
        return Difference(what(column), before, after)
    series, day = index[row]
    return Difference(what(column), before, after, str(series), shown_day(day))


def numbered(name: str) -> Callable[[int], str]:
    """Return a function that inserts a column's number, starting at 1, into a name with ``{}``."""
    return lambda column: name.format(column + 1)


def listed(names: Sequence[str]) -> Callable[[int], str]:
    """Return a function that returns a column's name."""
    return lambda column: names[column]


def shown_day(day: pd.Timestamp) -> str:
    """Format a day, with the time of day unless it is midnight."""
    return str(day).removesuffix(" 00:00:00")


def path_comparisons(fit: Fit, real: Prepared, changed: Prepared, day: pd.Timestamp) -> Iterator[Comparison]:
    """Yield the comparison of each step of the pipeline up to a day, ending at the first difference."""
    for step in (rows_comparison, scaler_comparison, _inputs, _windows):
        comparison = step(real, changed, day)
        yield comparison
        if comparison.difference is not None:
            return
    one_N, other_N = (origins(data.windows, day) for data in (real, changed))
    known, found = (predictions(fit, data, at) for data, at in ((real, one_N), (changed, other_N)))
    index = real.windows.index[one_N.numpy()]
    of_model = {"model output": "output {} of the model", "model": "prediction {} of the model"}
    of_baselines = {name: f"prediction {{}} of {name}" for name in known if name not in of_model}
    for title, names in (("baselines", of_baselines), ("model", of_model)):
        differences = [first_difference(known[n], found[n], numbered(name), index) for n, name in names.items()]
        count = sum(known[n].numel() for n in names)
        yield Comparison(title, count, next((d for d in differences if d is not None), None))


def _until(index: pd.Index, day: pd.Timestamp) -> np.ndarray:
    """A mask of the rows up to a day."""
    return np.asarray(index.get_level_values("date") <= day)


def _rows_difference(one: pd.Index, other: pd.Index) -> Difference | None:
    """Return the first row that only one of two indexes has, or None if they are equal."""
    if one.equals(other):
        return None
    only = one.symmetric_difference(other, sort=False)
    if not len(only):
        return Difference("the order of the rows", "original", "different")
    first = min(only, key=lambda label: (label[1], str(label[0])))
    words = ("present", "missing") if first in one else ("missing", "present")
    return Difference("the row", *words, str(first[0]), shown_day(first[1]))


def rows_comparison(real: Prepared, changed: Prepared, day: pd.Timestamp) -> Comparison:
    """Compare the rows of the checked frame up to the day."""
    one, other = (data.frame[_until(data.frame.index, day)] for data in (real, changed))
    count = one.size
    if (missing := _rows_difference(one.index, other.index)) is not None:
        return Comparison("rows read", count, missing)
    names = [str(name) for name in one.columns]
    difference = first_difference(one.to_numpy(), other.to_numpy(), listed(names), one.index)
    if difference is None:
        a, b = (filled_rows(data.frame)[_until(data.frame.index, day)] for data in (real, changed))
        difference = first_difference(a, b, listed(["the flag of a filled price"]), one.index)
    return Comparison("rows read", count, difference)


def scaler_comparison(real: Prepared, changed: Prepared, day: pd.Timestamp) -> Comparison:
    """Compare what is fitted on the training part: the scaler and the baselines."""
    series, count, difference = real.windows.names, 0, None
    for key, what in SCALER.items():
        one, other = (getattr(data.windows, key) for data in (real, changed))
        for number, name in enumerate(series):
            found = first_difference(one[None, number], other[None, number], numbered(what))
            if difference is None and found is not None:
                difference = replace(found, what=f"{found.what} of {name}")
        count += one.numel()
    for key, one in real.fitted.items():
        found = first_difference(one, changed.fitted[key], numbered(f"a parameter of {key.replace('_', ' ')}"))
        difference, count = difference or found, count + one.numel()
    return Comparison("scaler", count, difference)


def _inputs(real: Prepared, changed: Prepared, day: pd.Timestamp) -> Comparison:
    masks = [_until(data.windows.index, day) for data in (real, changed)]
    index = real.windows.index[masks[0]]
    count = len(index) * (real.placed.inputs_TF.shape[1] + 2)
    if (missing := _rows_difference(index, changed.windows.index[masks[1]])) is not None:
        return Comparison("inputs", count, missing)
    names = [f"the scaled {name}" for name in real.windows.input_names]
    for key, columns in (("inputs_TF", names), ("target_T", ["the scaled target"]), ("price_T", ["the price"])):
        one, other = (getattr(d.placed, key)[torch.from_numpy(m)] for d, m in zip((real, changed), masks, strict=True))
        if (found := first_difference(one, other, listed(columns), index)) is not None:
            return Comparison("inputs", count, found)
    return Comparison("inputs", count, None)


def origins(windows: Windows, day: pd.Timestamp) -> Tensor:
    """Return the last rows (N,) of all windows that end on or before a day, including those in gaps."""
    row_T = torch.arange(len(windows.series_T))
    start_T = windows.start_S[windows.series_T]
    stop_S = torch.cat([windows.start_S[1:], torch.tensor([len(row_T)])])
    whole_T = (row_T - start_T >= windows.window - 1) & (row_T + windows.horizon < stop_S[windows.series_T])
    return row_T[whole_T & torch.from_numpy(_until(windows.index, day))]


def _windows(real: Prepared, changed: Prepared, day: pd.Timestamp) -> Comparison:
    """Compare the inputs of all windows up to the day, and the targets known by that day."""
    one_N, other_N = (origins(data.windows, day) for data in (real, changed))
    windows, names = real.placed, real.windows.input_names
    count = len(one_N) * windows.inputs
    label = windows.index[one_N.numpy()]
    if (missing := _rows_difference(label, changed.windows.index[other_N.numpy()])) is not None:
        return Comparison("windows", count, missing)

    def column(number: int) -> str:
        lag, place = windows.window - 1 - number // len(names), number % len(names)
        return f"{names[place]} in the window, {counted(lag, 'row')} before its end,"

    known_T = torch.from_numpy(_until(windows.index, day))
    bounds = [*range(0, len(one_N), windows.chunk), len(one_N)]
    for start, stop in pairwise(bounds):
        a, b = windows.gather(one_N[start:stop]), changed.placed.gather(other_N[start:stop])
        if found := first_difference(a.x_ND, b.x_ND, column, label[start:stop]):
            return Comparison("windows", count, found)
        settled_N = known_T[one_N[start:stop] + windows.horizon]
        places = label[start:stop][settled_N.numpy()]
        if found := first_difference(a.y_NH[settled_N], b.y_NH[settled_N], numbered("target {} of the window"), places):
            return Comparison("windows", count, found)
        count += int(settled_N.sum()) * windows.horizon
    for part in PARTS:
        samples = [_settled(data.windows, part, day) for data in (real, changed)]
        if (missing := _rows_difference(*samples)) is not None:
            return Comparison("windows", count, replace(missing, what=f"the sample in the {part} part"))
    return Comparison("windows", count, None)


def _settled(windows: Windows, part: str, day: pd.Timestamp) -> pd.Index:
    """The labels of a part's samples whose targets are all known by the day."""
    origin_N = windows.parts[part].origins(torch.arange(len(windows.parts[part]))).numpy()
    known_N = _until(windows.index[origin_N + windows.horizon], day)
    return windows.index[origin_N[known_N]]
