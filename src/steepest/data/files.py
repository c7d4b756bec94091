"""Files of prices or plain rows -> a checked pandas frame.

This file finds the faults of a data file and reports them all together. The frames it returns are finite, sorted and
complete. It does not scale, and it does not use tensors.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from steepest.data.faults import Faults, did_you_mean
from steepest.data.raw import dates_to_column, read_raw

log = logging.getLogger(__name__)

Missing = Literal["error", "drop", "forward_fill"]
Duplicates = Literal["error", "first", "last"]

VALUE = "value"  # the value column's name in every checked frame

_DATE_NAMES = ("date", "datetime", "timestamp", "time", "day")
_VALUE_NAMES = ("adj close", "adj_close", "adjclose", "close", "price", "value")
_ID_NAMES = ("ticker", "symbol", "series", "asset", "name", "id")


def read_prices(
    path: str | Path,
    *,
    date: str | None = None,
    value: str | None = None,
    id: str | None = None,
    series: Sequence[str] | None = None,
    features: Sequence[str] = (),
    date_format: str | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "error",
) -> pd.DataFrame:
    """Read a CSV or Parquet file of prices, wide or long, and check it.

    Args:
        path: the file. ``.parquet`` and ``.pq`` are read as Parquet, anything else as CSV, gzipped or not, separated
            by ``,``, ``;``, tab or ``|``.
        date: the date column. None: detected by its name (date, time, ...) or by its contents.
        value: the price column. None: detected by its name (close, price, ...). If no column has such a name, each
            numeric column is a series (a wide file).
        id: the column that names the series in a long file. None: detected by its name (ticker, symbol, ...).
        series: the series to keep, in this order; None keeps all.
        features: additional numeric input columns, such as volume.
        date_format: the format of the dates, as in ``strptime``; inferred when None.
        missing: what to do with rows whose numbers are missing, infinite or text, or whose date does not parse.
        duplicates: which row to keep when several have the same date.

    Returns:
        A frame indexed by (series, date), sorted, with the columns ``value`` and then `features`, all finite floats.

    Raises:
        ValueError: with every fault, each with its column and row (the first row after the header is row 1).
    """
    raw = read_raw(Path(path))
    return check_prices(
        raw, Path(path).name, date=date, value=value, id=id, series=series, features=features,
        date_format=date_format, missing=missing, duplicates=duplicates,
    )  # fmt: skip


def check_prices(
    raw: pd.DataFrame,
    where: str,
    *,
    date: str | None = None,
    value: str | None = None,
    id: str | None = None,
    series: Sequence[str] | None = None,
    features: Sequence[str] = (),
    date_format: str | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "error",
) -> pd.DataFrame:
    """Check a frame of prices as `read_prices` does. Error messages call it `where`."""
    faults = Faults(where)
    raw = dates_to_column(raw)
    columns = list(raw.columns)
    named = [("data.date", date), ("data.value", value), ("data.id", id)]
    for key, name in [*named, *(("data.features", feature) for feature in features)]:
        if name is not None and name not in columns:
            faults.add(_no_column(key, name, columns))
    faults.raise_if_any()

    date = date or _find(columns, _DATE_NAMES) or _first_dates(raw)
    if date is None:
        faults.fail(f"has no date column among {columns}: name it with data.date=COLUMN")
    id = id or _find([c for c in columns if c != date and not pd.api.types.is_numeric_dtype(raw[c])], _ID_NAMES)
    taken = {date, id, *features}
    value = value or _find([c for c in columns if c not in taken], _VALUE_NAMES)
    values = [value] if value is not None else [c for c in columns if c not in taken and _has_numbers(raw[c])]
    if value is None and (id is not None or not values):
        faults.fail(f"has no value column among {columns}: name it with data.value=COLUMN")
    names = values if id is None else [str(n) for n in raw[id].dropna().unique()]
    chosen = names if series is None else list(series)
    for name in chosen:
        if name not in names:
            hint = did_you_mean(name, names) or "."
            faults.add(f"has no series '{name}' (data.series){hint} The file has {names}")
    faults.raise_if_any()
    source = values if id is None else f"'{value}' by '{id}'"
    log.info("%s: dates from '%s', values from %s", where, date, source)

    dates = _parse_dates(raw[date], date, date_format, missing, faults)
    if id is not None and raw[id].isna().any() and missing != "drop":
        bad = np.flatnonzero(raw[id].isna())
        faults.add(
            f"column '{id}' is empty in {len(bad)} rows, first in row {bad[0] + 1}: "
            "fill in the series' name, or use data.missing=drop"
        )
    parts: dict[str, pd.DataFrame] = {}
    for name in chosen:
        rows = raw[raw[id].astype(str) == name] if id is not None else raw
        column = name if value is None else value
        label = f"'{column}'" + (f" of {name}" if id is not None else "")
        numbers = {VALUE: _numbers(rows[column], f"value column {label}", missing, faults)}
        for feature in features:
            numbers[feature] = _numbers(rows[feature], f"input column '{feature}'", missing, faults)
        part = pd.DataFrame(numbers).set_index(dates.loc[rows.index])
        if missing == "drop":
            part = part[~pd.isna(part.index)]
        part = _order(part, name, duplicates, where, faults)
        parts[name] = _fill(part, missing, name, faults)  # after sorting: forward in time, not in file order
        if len(parts[name]) and parts[name][VALUE].nunique() == 1:
            faults.add(
                f"value column {label} is constant ({parts[name][VALUE].iloc[0]:g}): a model cannot learn from it"
            )
    faults.raise_if_any()
    return pd.concat(parts, names=["series", "date"])


def read_table(path: str | Path, inputs: Sequence[str], target: str, missing: Missing = "error") -> pd.DataFrame:
    """Read a CSV or Parquet file of plain rows, without dates, and check it.

    Returns:
        A frame indexed by row number (the first row after the header is 1), columns `inputs` and then `target`.

    Raises:
        ValueError: with every fault: columns that do not exist, a target that is also an input, text, constants.
    """
    path = Path(path)
    raw = read_raw(path)
    faults = Faults(path.name)
    for key, name in [*(("data.inputs", name) for name in inputs), ("data.target", target)]:
        if name not in raw.columns:
            faults.add(_no_column(key, name, list(raw.columns)))
    if not inputs:
        faults.add("data.inputs is empty: name at least one input column, as data.inputs=[x1,x2]")
    if len(set(inputs)) < len(inputs):
        faults.add(f"data.inputs={list(inputs)} names a column twice: name each once")
    if target in inputs:
        faults.add(f"data.target={target} is also in data.inputs, so the model would see the answer: remove it there")
    faults.raise_if_any()
    numbers = {c: _numbers(raw[c], f"column '{c}'", missing, faults, "data.missing=drop") for c in [*inputs, target]}
    frame = pd.DataFrame(numbers)
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    frame = _fill(frame, missing, target, faults)
    for column in frame:
        if len(frame) and frame[column].nunique() == 1:
            faults.add(f"column '{column}' is constant ({frame[column].iloc[0]:g}): leave it out")
    faults.raise_if_any()
    return frame


def _no_column(key: str, name: str, columns: list[str]) -> str:
    return f"{key}={name}: there is no such column{did_you_mean(name, columns) or '.'} The file has {columns}"


def _find(columns: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {c.lower(): c for c in columns}
    return next((lower[n] for n in names if n in lower), None)


def _has_numbers(column: pd.Series) -> bool:
    """Whether any entry is a number. (One cell of text is a fault to report; it must not hide the whole series.)"""
    if pd.api.types.is_datetime64_any_dtype(column):
        return False
    return bool(pd.to_numeric(column, errors="coerce").notna().any())


def _first_dates(raw: pd.DataFrame) -> str | None:
    """The first text or datetime column whose first entries all parse as dates."""
    for column in raw.columns:
        if pd.api.types.is_datetime64_any_dtype(raw[column]):
            return column
        if not pd.api.types.is_numeric_dtype(raw[column]):
            head = raw[column].head(5)
            if pd.to_datetime(head, errors="coerce", format="mixed").notna().all():
                return column
    return None


def _parse_dates(column: pd.Series, name: str, date_format: str | None, missing: Missing, faults: Faults) -> pd.Series:
    text = column
    if pd.api.types.is_numeric_dtype(column):  # 20200131, not nanoseconds since 1970
        text = column.astype("Int64").astype(str) if (column.dropna() % 1 == 0).all() else column.astype(str)
        date_format = date_format or "%Y%m%d"
    with warnings.catch_warnings():
        for guess in ("Parsing dates in", "Could not infer format"):
            warnings.filterwarnings("ignore", message=guess)  # dates that do not parse are reported below
        try:
            dates = pd.to_datetime(text, errors="coerce", format=date_format)
        except ValueError:  # UTC offsets that change with daylight saving: compare instants
            dates = pd.to_datetime(text, errors="coerce", format=date_format, utc=True)
    if getattr(dates.dt, "tz", None) is not None:
        dates = dates.dt.tz_localize(None)  # calendar days in the column's time zone; mixed offsets are UTC already
    bad = np.flatnonzero(dates.isna())
    if len(bad) and missing != "drop":
        faults.add(
            f"date column '{name}': {len(bad)} of {len(dates)} do not parse as dates, first in row {bad[0] + 1} "
            f"({_shown(column, bad[0])}): fix them, give their format as in data.date_format='%d.%m.%Y', "
            "or use data.missing=drop"
        )
    return dates


def _numbers(
    column: pd.Series,
    label: str,
    missing: Missing,
    faults: Faults,
    fix: str = "data.missing=drop or data.missing=forward_fill",
) -> np.ndarray:
    """A column as floats. Missing, infinite and text entries become NaN; ``missing=error`` reports them as a fault."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan, copy=True)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        infinite = int(np.isinf(numbers).sum())
        text = sum(isinstance(v, str) for v in column.iloc[bad[np.isnan(numbers[bad])]])
        kinds = {"text": text, "infinite": infinite, "missing": len(bad) - infinite - text}
        what = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)
        problem = (
            f"{label}: {len(bad)} of {len(numbers)} are not numbers ({what}), "
            f"first in row {int(column.index[bad[0]]) + 1} ({_shown(column, bad[0])})"
        )
        if missing == "error":
            faults.add(f"{problem}: fix them, or use {fix}")
        else:
            log.warning("%s: data.missing=%s applied", problem, missing)
            numbers[bad] = np.nan
    return numbers


def _shown(column: pd.Series, row: int) -> str:
    """The repr of an entry as a plain Python value."""
    return repr(column.iloc[[row]].tolist()[0])


def _fill(frame: pd.DataFrame, missing: Missing, name: str, faults: Faults) -> pd.DataFrame:
    assert missing in get_args(Missing), missing
    if missing == "error":
        return frame
    if missing == "forward_fill":
        frame = frame.ffill()  # from earlier rows only: a backward fill would look ahead
        if len(frame) and frame.iloc[0].isna().any():
            faults.add(f"{name}: row 1 has missing values and no earlier row to fill from: use data.missing=drop")
        return frame
    keep = frame.notna().all(axis=1).to_numpy()
    if not keep.any():
        faults.add(f"{name}: data.missing=drop leaves no rows")
    return frame[keep]


def _order(frame: pd.DataFrame, name: str, duplicates: Duplicates, where: str, faults: Faults) -> pd.DataFrame:
    """Sort by date, with a warning, and apply `duplicates` to dates that occur more than once."""
    dates = pd.DatetimeIndex(frame.index)
    if dates.hasnans:  # already a fault; check the other dates anyway
        frame = frame[dates.notna()]
        dates = pd.DatetimeIndex(frame.index)
    if not dates.is_monotonic_increasing:
        back = int(np.flatnonzero(np.diff(dates.asi8) < 0)[0]) + 2
        day = dates[back - 1].date()
        log.warning("%s: dates of %s go backwards, first in row %d (%s): sorted", where, name, back, day)
        frame = frame.sort_index(kind="stable")
        dates = pd.DatetimeIndex(frame.index)
    repeated = dates.duplicated(keep="first")
    if repeated.any():
        first = dates[repeated][0]
        count = int(repeated.sum())
        occur = "date occurs" if count == 1 else "dates occur"
        problem = f"{name}: {count} {occur} more than once, first {first:%Y-%m-%d}"
        if duplicates == "error":
            faults.add(
                f"{problem}: keep one of each with data.duplicates=first or data.duplicates=last, "
                "or name the column that identifies the series with data.id=COLUMN"
            )
        else:
            log.warning("%s: data.duplicates=%s applied", problem, duplicates)
            frame = frame[~dates.duplicated(keep=duplicates)]
    return frame
