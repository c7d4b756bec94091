"""Finds the one date format that fits all entries of a column, by elimination.

A format is a candidate if every entry fits it. If two candidates give different dates, and only one of them gives
dates in strict order, that one is used. Otherwise the column is refused, and the message shows both readings. Times
are read as written. A UTC offset is used only to sort the rows of the hour that occurs twice when daylight saving
time ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.calendar import day_text
from steepest.data.faults import shortened
from steepest.data.prices.date_entries import order_in_zone, parsed
from steepest.data.prices.formats import (
    FORMATS,
    NO_BREAK,
    NO_YEAR,
    NUMERIC,
    matches,
    pattern,
    pattern_without_year,
)

FIRST = np.datetime64("1800-01-01")
ENOUGH = 8  # the order of fewer different dates does not decide between formats
# The earliest date for a number without a given unit. Smaller numbers are counters, years or prices.
_FIRST_OF = {unit: np.datetime64("1950-01-01" if unit == "excel" else "1971-01-01") for unit in NUMERIC}

_FROM_1960 = np.datetime64("1960-01-01") - np.datetime64("1899-12-30")  # SAS and Stata
_FROM_1970 = np.datetime64("1970-01-01") - np.datetime64("1899-12-30")  # R and Unix


@dataclass(frozen=True)
class Dates:
    """A column of dates.

    Attributes:
        wall_T: the time of each row as written, or NaT if it is missing or does not fit.
        order_T: integers by which the rows are sorted. With offsets, they are UTC times.
        format: the recognised format.
        fault: why the column is refused, or None.
        bad_T: rows that do not fit.
    """

    wall_T: np.ndarray
    order_T: np.ndarray
    format: str
    fault: str | None
    bad_T: np.ndarray


def tomorrow() -> np.datetime64:
    """Return the latest time that a price can have."""
    return (pd.Timestamp.now("UTC").tz_localize(None).normalize() + pd.Timedelta(days=2)).to_datetime64()


def read_dates(
    column: pa.ChunkedArray,
    name: str,
    date_format: str | None,
    century: int | None,
    in_order: Callable[[np.ndarray], bool],
    allow_bad: bool,
    any_date: bool = False,
) -> Dates:
    """Read the dates of a column.

    Args:
        column: text, numbers, dates or times.
        name: the column's name, for messages.
        date_format: as in ``strptime``, or ``epoch_s``, ..., ``excel``. None: detected.
        century: 1900 or 2000, the century of all two-digit years.
        in_order: a function that returns whether the rows of every series are in strict order by the given dates.
        allow_bad: whether entries that do not fit may be left out. They then eliminate no format.
        any_date: whether dates before 1800 and after tomorrow are allowed, as in generated data.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _from_typed(column, any_date)
    if not pa.types.is_string(kind):
        column = as_text(column)
    if date_format is not None and date_format not in NUMERIC:
        pattern(date_format)
    codes = pc.dictionary_encode(pc.utf8_trim_whitespace(column)).combine_chunks()
    entries = pc.replace_substring_regex(codes.dictionary, f"[{NO_BREAK}]", " ")
    if pc.all(pc.match_substring_regex(entries, r"^(\d+\.0)?$")).as_py():  # whole numbers written as floats
        entries = pc.replace_substring_regex(entries, r"\.0$", "")
    index = pc.fill_null(codes.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    blank = pc.equal(entries, "").to_numpy(zero_copy_only=False)
    known = pc.filter(entries, pa.array(~blank))

    readings = _readings(known, date_format, century)
    share = {f: (~np.isnat(wall)).mean() if len(wall) else 0.0 for f, (wall, _) in readings.items()}
    best = max(share.values(), default=0.0)
    stay = {f: r for f, r in readings.items() if share[f] == best and best > 0}

    def spread(part: np.ndarray, empty: object) -> np.ndarray:
        """Return an array with these values in the rows of known entries, and `empty` in all other rows."""
        full = np.full(len(entries) + 1, empty, dtype=part.dtype)
        full[np.flatnonzero(~blank)] = part
        return full[index]

    def rows(f: str) -> np.ndarray:
        return spread(stay[f][0], np.datetime64("NaT"))

    fault = None
    if not stay:
        nothing = np.full(len(index), np.datetime64("NaT"), dtype="datetime64[ns]")
        fault = _decimal_year(known, name) or _day_number(known, name) if date_format is None else None
        bad_T = np.full(len(index), fault is None)
        return Dates(nothing, np.zeros(len(index), np.int64), date_format or "", fault, bad_T)
    names = _different(stay) if best == 1 or allow_bad else list(stay)[:1]
    if len(names) > 1:
        fitting = [f for f in names if f not in NO_YEAR and "%y" not in f and not _outside(stay[f][0]).any()]
        names = [f for f in names if f in fitting or "%y" in f or f in NO_YEAR] if fitting else names
    if len(names) > 1:
        ordered = [f for f in names if in_order(rows(f)) and _without_repeats(rows(f)) >= ENOUGH]
        names = ordered if len(ordered) == 1 else names
    chosen = names[0]
    if len(names) > 1 or (chosen in NO_YEAR and date_format is None):
        fault = _ambiguous(known, stay, names, name)
    elif date_format is None:
        fault = _fiscal_year(known, name)
    wall_T = rows(chosen)
    offset_T = spread(stay[chosen][1].astype(np.int64), 0)
    outside = _outside(wall_T)
    if fault is None and outside.any():
        fixes = "correct it"
        if "%y" in chosen and century is None:
            old = spread(parsed(known, chosen, century=1900)[0], np.datetime64("NaT"))
            works = not _outside(old).any() and (np.isnat(old) == np.isnat(wall_T)).all() and in_order(old)
            fixes = "give data.century=1900" if works else "write years with four digits"
        fault = _beyond(column, wall_T, outside, name, chosen, fixes)
    order_T = order_in_zone(known, wall_T)
    if order_T is None:
        order_T = wall_T.astype(np.int64) - offset_T * 60 * 10**9
    return Dates(wall_T, order_T, chosen, fault, np.isnat(wall_T))


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert a column to text. Whole floats are written without ``.0``."""
    if pa.types.is_floating(column.type):
        number = column.to_numpy()
        finite = np.isfinite(number)
        if finite.any() and (np.abs(number[finite]) < 2**63).all() and (number[finite] % 1 == 0).all():
            whole = pa.array(np.where(finite, number, 0).astype(np.int64), mask=~finite)
            return pa.chunked_array([pc.cast(whole, pa.string())])
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return pc.cast(column, pa.string())


def _readings(known: pa.Array, date_format: str | None, century: int | None) -> dict[str, tuple]:
    """Parse the entries in each format that could fit."""
    if date_format is not None:
        return {date_format: parsed(known, date_format, with_time=False, century=century)}
    if not len(known):
        return {}
    probes = [known[i].as_py() for i in {0, len(known) // 2, len(known) - 1}]
    likely = [f for f in FORMATS if any(matches(f, probe) for probe in probes)]
    likely += [f for f in NO_YEAR if any(re.match(pattern_without_year(f), probe) for probe in probes)]
    found = {f: _parsed_without_year(known, f) if f in NO_YEAR else parsed(known, f, century=century) for f in likely}
    calendar = any(not np.isnat(wall).any() for wall, _ in found.values())
    if not calendar and any(re.fullmatch(r"-?\d+(\.\d+)?", probe) for probe in probes):
        end = tomorrow()
        for unit in NUMERIC:
            wall, zero = parsed(known, unit)
            if np.isnat(wall).all() or np.nanmin(wall) < _FIRST_OF[unit] or np.nanmax(wall) >= end:
                continue
            if unit != "excel" or np.nanmax(wall) + _FROM_1960 >= end:  # else see `_day_number`
                found[unit] = (wall, zero)
    return found


def only_format(column: pa.ChunkedArray, date_format: str | None) -> str | None:
    """Return the format that all entries of a text column fit, or None if there are several or none."""
    entries = pc.unique(pc.utf8_trim_whitespace(column)).drop_null()
    readings = _readings(pc.filter(entries, pc.not_equal(entries, "")), date_format, None)
    fitting = {f: r for f, r in readings.items() if len(r[0]) and not np.isnat(r[0]).any()}
    return next(iter(fitting)) if len(_different(fitting)) == 1 else None


def _decimal_year(known: pa.Array, name: str) -> str | None:
    """Return a fault if the entries look like ``1990.01``, which can be a month or a decimal year."""
    if not len(known) or not pc.all(pc.match_substring_regex(known, r"^\d{4}\.\d+$")).as_py():
        return None
    months = not np.isnat(parsed(known, "%Y.%m")[0]).any()
    fix = "give data.date_format='%Y.%m' for months, or write" if months else "write"
    return (
        f"date column '{name}': {shortened(repr(known[0].as_py()))} can be a month or a decimal year: {fix} "
        "dates such as 1990-01-31"
    )


def _fiscal_year(known: pa.Array, name: str) -> str | None:
    """Return a fault if the entries look like ``2000/01``, ``2001/02``, ..., which can be months or fiscal years."""
    entries = known.to_pylist() if 2 <= len(known) <= 12 else []
    parts = [re.fullmatch(r"(\d{4})([-/])(\d{2})", entry) for entry in entries]
    if not parts or not all(p and int(p[3]) == (int(p[1]) + 1) % 100 for p in parts):
        return None
    sign = parts[0][2] if parts[0] else ""
    return (
        f"date column '{name}': {entries[0]!r} can be a month or a fiscal year: set "
        f"data.date_format='%Y{sign}%m' for months, or write dates such as 2000-07-01"
    )


def _day_number(known: pa.Array, name: str) -> str | None:
    """Return a fault if the entries are day numbers that can count from 1899 (Excel), 1960 or 1970."""
    wall = parsed(known, "excel")[0]
    if not len(wall) or np.isnat(wall).any() or wall.min() < _FIRST_OF["excel"] or wall.max() >= tomorrow():
        return None
    excel, from_1960, from_1970 = (_day(wall[0] + shift) for shift in (np.timedelta64(0), _FROM_1960, _FROM_1970))
    return (
        f"date column '{name}': {shortened(repr(known[0].as_py()))} can be {excel} (Excel), {from_1960} (days since "
        f"1960) or {from_1970} (days since 1970): set data.date_format=excel, or write dates such as 1990-01-31"
    )


def _parsed_without_year(known: pa.Array, date_format: str) -> tuple:
    """Parse entries without a year as days of the year 2000."""
    if "%y" in date_format:
        return parsed(known, date_format, with_time=False)
    return parsed(pc.binary_join_element_wise(known, "2000", " "), f"{date_format} %Y", with_time=False)


def _different(readings: dict[str, tuple]) -> list[str]:
    """Return one format for each different reading. Formats with a year come first."""
    kept: list[str] = []
    for f in readings:
        if not any(np.array_equal(readings[f][0], readings[k][0], equal_nan=True) for k in kept):
            kept.append(f)
    return kept


def _without_repeats(wall_T: np.ndarray) -> int:
    return len(np.unique(wall_T))


def _outside(wall: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return ~np.isnat(wall) & ((wall < FIRST) | (wall >= tomorrow()))


def _day(moment: np.datetime64, without_year: bool = False) -> str:
    text = day_text(moment)
    return f"{text[5:]} of an unknown year" if without_year else text


def _ambiguous(known: pa.Array, stay: dict[str, tuple], names: Iterable[str], name: str) -> str:
    """Describe an ambiguous column by the first entries and their dates in each format."""
    first = known[: min(3, len(known))].to_pylist()
    shown = []
    for f in list(names)[:3]:
        days = ", ".join(_day(d, f in NO_YEAR and "%y" not in f) for d in stay[f][0][: len(first)])
        shown.append(f"{f} reads {days}")
    keys = " or ".join(f"data.date_format='{f}'" for f in list(names)[:3] if f not in NO_YEAR or "%y" in f)
    entries = ", ".join(shortened(repr(e)) for e in first)
    if not keys:
        return f"date column '{name}': {entries} have no year: write dates with a year, such as 2023-01-31"
    return f"date column '{name}' can be read in several ways, {entries}: {'; '.join(shown)}: give {keys}"


def _beyond(
    column: pa.ChunkedArray, wall_T: np.ndarray, outside: np.ndarray, name: str, chosen: str, fixes: str
) -> str:
    row = int(np.flatnonzero(outside)[0])
    return (
        f"date column '{name}': {shortened(repr(column[row].as_py()))} in row {row + 1} reads {_day(wall_T[row])} with "
        f"{chosen}, which is {'before 1800' if wall_T[row] < FIRST else 'after tomorrow'}: {fixes}"
    )


def _from_typed(column: pa.ChunkedArray, any_date: bool) -> Dates:
    zone = getattr(column.type, "tz", None)
    try:
        series = pd.Series(pc.cast(column, pa.timestamp("ns", zone)).to_pandas())
    except (pa.ArrowException, ValueError, OverflowError):
        nothing = np.full(len(column), np.datetime64("NaT"), dtype="datetime64[ns]")
        return Dates(
            nothing, nothing.astype(np.int64), "dates", "the dates are outside of 1678 to 2262", np.isnat(nothing)
        )
    wall = pd.DatetimeIndex(series)
    order = wall.asi8
    wall_T = (wall.tz_localize(None) if zone else wall).to_numpy().astype("datetime64[ns]")
    outside = _outside(wall_T)
    fault = None
    if outside.any() and not any_date:
        row = int(np.flatnonzero(outside)[0])
        when = "before 1800" if wall_T[row] < FIRST else "after tomorrow"
        fault = f"the date in row {row + 1} is {_day(wall_T[row])}, which is {when}: correct it"
    return Dates(wall_T, order, f"times in {zone}" if zone else "dates", fault, np.isnat(wall_T))
