"""Files of prices or plain rows -> a checked pandas frame.

Everything that can be wrong with a file is found here, once, and reported together; what leaves this file is finite,
sorted and complete. It does no scaling and knows no tensors.
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

VALUE = "value"  # the name of the value column in every checked frame

_DATE_NAMES = ("date", "datetime", "timestamp", "time", "day")
_VALUE_NAMES = ("adj close", "adj_close", "adjclose", "close", "price", "value")
_MENDS = "data.missing=drop or data.missing=forward_fill"
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
    """Read a CSV (also gzipped) or Parquet file of prices, wide or long, and check it.

    Args:
        path: the file. ``.parquet``/``.pq`` is read as Parquet, anything else as CSV (``,``, ``;``, tab or ``|``).
        date: the date column; found by its name (date, time, ...) when None.
        value: the price column; found by its name (close, price, ...) when None. With neither, every numeric
            column is a series of its own (a wide file).
        id: the column that names the series of a long file; found by its name (ticker, symbol, ...) when None.
        series: the series to keep, in this order; None keeps all.
        features: further numeric input columns, such as volume.
        date_format: how dates are written, as in ``strptime``; inferred when None.
        missing: what happens to rows whose numbers are missing, infinite or text, or whose date does not parse.
        duplicates: which of several rows of one date is kept.

    Returns:
        A frame indexed by (series, date), sorted, with the columns ``value`` and then `features`, all finite floats.

    Raises:
        ValueError: with every fault of the file, each naming column and row (the first row after the header is row 1).
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
    """Check a frame of prices as `read_prices` does; `where` names it in messages."""
    faults = Faults(where)
    raw = dates_to_column(raw)
    columns = list(raw.columns)
    for key, name in [("data.date", date), ("data.value", value), ("data.id", id)]:
        if name is not None and name not in columns:
            faults.add(_no_column(key, name, columns))
    for name in features:
        if name not in columns:
            faults.add(_no_column("data.features", name, columns))
    faults.raise_if_any()

    date = date or _find(columns, _DATE_NAMES) or _first_dates(raw)
    if date is None:
        faults.add(f"has no date column among {columns}: name it with data.date=COLUMN")
        faults.raise_if_any()
        raise AssertionError("unreachable: a fault was added")
    id = id or _find([c for c in columns if c != date and not pd.api.types.is_numeric_dtype(raw[c])], _ID_NAMES)
    taken = {date, id, *features}
    value = value or _find([c for c in columns if c not in taken], _VALUE_NAMES)
    if value is not None:
        value_columns = [value]
    else:
        value_columns = [c for c in columns if c not in taken and _has_numbers(raw[c])]
        if not value_columns or id is not None:
            faults.add(f"has no value column among {columns}: name it with data.value=COLUMN")
            faults.raise_if_any()
    names = _series_names(raw, id, value, value_columns)
    if series is not None:
        for name in series:
            if name not in names:
                faults.add(f"has no series '{name}' (data.series){did_you_mean(name, names) or '.'} It has {names}")
        faults.raise_if_any()
    chosen = list(series) if series is not None else names
    log.info(
        "%s: dates from '%s', values from %s",
        where,
        date,
        value_columns if id is None else f"'{value}' by '{id}'",
    )

    dates = _parse_dates(raw[date], date, date_format, missing, faults)
    if id is not None and raw[id].isna().any() and missing != "drop":
        bad = np.flatnonzero(raw[id].isna())
        faults.add(
            f"column '{id}' names no series in {len(bad)} rows, first in row {bad[0] + 1}: "
            "name it, or data.missing=drop"
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
        parts[name] = _fill(part, missing, name, faults)  # after the sorting: forward in time, not in the file
        if len(parts[name]) and parts[name][VALUE].nunique() == 1:
            faults.add(
                f"value column {label} is constant ({parts[name][VALUE].iloc[0]:g}): nothing can be learnt from it"
            )
    faults.raise_if_any()
    return pd.concat(parts, names=["series", "date"])


def read_table(path: str | Path, inputs: Sequence[str], target: str, missing: Missing = "error") -> pd.DataFrame:
    """Read a CSV or Parquet file of plain rows (no time) and check it.

    Returns:
        A frame indexed by row number (the first row after the header is 1), columns `inputs` and then `target`.

    Raises:
        ValueError: with every fault of the file: columns not there, a target that is also an input, text, constants.
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
        faults.add(f"data.target={target} is also in data.inputs: a model would read the answer; take it out of one")
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
    return f"{key}={name}: there is no such column{did_you_mean(name, columns) or '.'} It has {columns}"


def _find(columns: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {c.lower(): c for c in columns}
    return next((lower[n] for n in names if n in lower), None)


def _has_numbers(column: pd.Series) -> bool:
    """Whether any entry is a number: one cell of text must be reported, not make its series vanish."""
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


def _series_names(raw: pd.DataFrame, id: str | None, value: str | None, columns: list[str]) -> list[str]:
    if id is not None:
        return [str(n) for n in raw[id].dropna().unique()]
    if value is not None and len(columns) == 1:
        return [value]
    return columns


def _parse_dates(column: pd.Series, name: str, date_format: str | None, missing: Missing, faults: Faults) -> pd.Series:
    text = column
    if pd.api.types.is_numeric_dtype(column):  # 20200131, not nanoseconds since 1970
        text = column.astype("Int64").astype(str) if (column.dropna() % 1 == 0).all() else column.astype(str)
        date_format = date_format or "%Y%m%d"
    with warnings.catch_warnings():
        for guess in ("Parsing dates in", "Could not infer format"):
            warnings.filterwarnings("ignore", message=guess)  # what does not parse is reported below
        try:
            dates = pd.to_datetime(text, errors="coerce", format=date_format)
        except ValueError:  # offsets that change with daylight saving: only instants are comparable
            dates = pd.to_datetime(text, errors="coerce", format=date_format, utc=True)
    if getattr(dates.dt, "tz", None) is not None:
        dates = dates.dt.tz_localize(None)  # the calendar days of its own zone; mixed offsets are in UTC by now
    bad = np.flatnonzero(dates.isna())
    if len(bad) and missing != "drop":
        faults.add(
            f"date column '{name}': {len(bad)} of {len(dates)} do not parse as dates, first in row {bad[0] + 1} "
            f"({_shown(column, bad[0])}): mend them, say how they are written with data.date_format='%d.%m.%Y', "
            "or data.missing=drop"
        )
    return dates


def _numbers(column: pd.Series, label: str, missing: Missing, faults: Faults, mend: str = _MENDS) -> np.ndarray:
    """Floats of a column; what is missing, infinite or text becomes NaN, and a fault under ``missing=error``."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan, copy=True)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        infinite = int(np.isinf(numbers).sum())
        text = sum(isinstance(v, str) for v in column.iloc[bad[np.isnan(numbers[bad])]])
        kinds = {"text": text, "infinite": infinite, "missing": len(bad) - infinite - text}
        what = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)
        said = (
            f"{label}: {len(bad)} of {len(numbers)} are no numbers ({what}), "
            f"first in row {int(column.index[bad[0]]) + 1} ({_shown(column, bad[0])})"
        )
        if missing == "error":
            faults.add(f"{said}: mend them, or {mend}")
        else:
            log.warning("%s: data.missing=%s applied", said, missing)
            numbers[bad] = np.nan
    return numbers


def _shown(column: pd.Series, row: int) -> str:
    """An entry as a plain Python value, as it stands in the file."""
    return repr(column.iloc[[row]].tolist()[0])


def _fill(frame: pd.DataFrame, missing: Missing, name: str, faults: Faults) -> pd.DataFrame:
    assert missing in get_args(Missing), missing
    if missing == "error":
        return frame
    if missing == "forward_fill":
        frame = frame.ffill()  # from earlier rows only: filling backwards would look ahead
        if len(frame) and frame.iloc[0].isna().any():
            faults.add(f"{name}: row 1 is missing and nothing stands before it to fill from: use data.missing=drop")
        return frame
    keep = frame.notna().all(axis=1).to_numpy()
    if not keep.any():
        faults.add(f"{name}: no row is left after data.missing=drop")
    return frame[keep]


def _order(frame: pd.DataFrame, name: str, duplicates: Duplicates, where: str, faults: Faults) -> pd.DataFrame:
    """Sort by date (with a warning) and settle dates that occur more than once."""
    dates = pd.DatetimeIndex(frame.index)
    if dates.hasnans:  # a fault already; the other dates are looked at all the same
        frame = frame[dates.notna()]
        dates = pd.DatetimeIndex(frame.index)
    if not dates.is_monotonic_increasing:
        back = int(np.flatnonzero(np.diff(dates.asi8) < 0)[0]) + 2
        log.warning(
            "%s: dates of %s go backwards, first in row %d (%s): sorted",
            where,
            name,
            back,
            dates[back - 1].date(),
        )
        frame = frame.sort_index(kind="stable")
        dates = pd.DatetimeIndex(frame.index)
    twice = dates.duplicated(keep="first")
    if twice.any():
        first = dates[twice][0]
        said = f"{name}: {int(twice.sum())} dates occur more than once, first {first:%Y-%m-%d}"
        if duplicates == "error":
            faults.add(
                f"{said}: keep one of each with data.duplicates=first or data.duplicates=last, "
                "or name the column that tells the series apart with data.id=COLUMN"
            )
        else:
            log.warning("%s: data.duplicates=%s applied", said, duplicates)
            frame = frame[~dates.duplicated(keep=duplicates)]
    return frame
