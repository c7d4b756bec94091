"""Parses entries in one given date format. `dates.py` finds the format."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.prices.formats import MONTH_OF, NUMERIC, pattern, tail

_EXCEL_ZERO = np.datetime64("1899-12-30", "ns").astype(np.int64)


def parsed(entries: pa.Array, date_format: str, with_time: bool = True, century: int | None = None) -> tuple:
    """Parse text entries in one format.

    Returns:
        The times as datetime64[ns], NaT where an entry does not fit, and the UTC offsets in minutes.
    """
    if date_format in NUMERIC:
        return _from_numbers(entries, date_format), np.zeros(len(entries))
    regex = pattern(date_format) + (tail(date_format) if with_time else "") + r"$"
    found = pc.extract_regex(entries, regex)
    groups = {field.name: found.field(i) for i, field in enumerate(found.type)}
    fits = ~found.is_null().to_numpy(zero_copy_only=False)

    def number(name: str, default: int) -> np.ndarray:
        if name not in groups:
            return np.full(len(entries), default)
        text = pc.if_else(pc.equal(groups[name], ""), str(default), groups[name])
        return pc.fill_null(pc.cast(text, pa.int64()), default).to_numpy(zero_copy_only=False)

    if "Y" in groups:
        year = number("Y", 1970)
    else:
        short = number("y", 70)
        year = short + (np.where(short >= 69, 1900, 2000) if century is None else century)
    month, day = number("m", 1), number("d", 1)
    for name in ("m", "d"):
        if name in groups:  # a column with 2021-01-04 cannot have 2021-01-1
            length = pc.fill_null(pc.utf8_length(groups[name]), 0).to_numpy(zero_copy_only=False)
            padded = fits & (length == 2) & (number(name, 1) < 10)
            fits &= (length != 1) | ~padded.any()
    if "q" in groups:
        month = 3 * number("q", 1) - 2
    if "b" in groups:
        words = pc.utf8_lower(pc.fill_null(groups["b"], "jan"))
        month = np.array([MONTH_OF.get(word, 0) for word in words.to_pylist()], dtype=np.int64)
    hour, minute, second = number("H", 0), number("M", 0), number("S", 0)
    if "p" in groups:
        half = pc.fill_null(pc.utf8_lower(groups["p"]), "").to_numpy(zero_copy_only=False)
        fits &= (half == "") | ((hour >= 1) & (hour <= 12))
        hour = np.where(half == "p", hour % 12 + 12, np.where(half == "a", hour % 12, hour))
    fits &= (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60) & (year >= 1700) & (year <= 2250)
    start = ((np.where(fits, year, 1970) - 1970) * 12 + np.where(fits, month, 1) - 1).astype("datetime64[M]")
    days = start.astype("datetime64[D]") + (day - 1)
    fits &= (day >= 1) & (days.astype("datetime64[M]") == start)
    seconds = hour * 3600 + minute * 60 + second
    wall = days.astype("datetime64[ns]") + seconds.astype("timedelta64[s]")
    if "f" in groups:
        digits = pc.utf8_rpad(pc.fill_null(groups["f"], ""), 9, "0")
        wall = wall + pc.cast(digits, pa.int64()).to_numpy(zero_copy_only=False).astype("timedelta64[ns]")
    wall[~fits] = np.datetime64("NaT")
    offset = np.zeros(len(entries))
    if "z" in groups and (zones := pc.unique(groups["z"]).drop_null().to_pylist()) not in ([], [""]):
        known = {zone: _minutes(zone) for zone in zones}
        if "BST" in known and "GMT" in known:  # British summer time; alone, BST has other meanings
            known["BST"] = 60
        offset = np.array([known.get(zone, 0) for zone in groups["z"].to_pylist()])
    return wall, offset


def order_in_zone(known: pa.Array, wall_T: np.ndarray) -> np.ndarray | None:
    """Return UTC times if the entries end with the name of a zone, such as Europe/Berlin, or None.

    The order of the rows tells the first from the second time of an hour that occurs twice.
    """
    found = re.search(r" ([A-Z][A-Za-z]+/[A-Za-z_/-]+)$", known[0].as_py()) if len(known) else None
    if found is None:
        return None
    down = len(wall_T) > 1 and wall_T[0] > wall_T[-1]
    try:
        local = pd.DatetimeIndex(wall_T[::-1] if down else wall_T).tz_localize(found[1], ambiguous="infer")
    except (ValueError, KeyError):  # an unknown zone, or rows of several series
        return None
    return local.asi8[::-1] if down else local.asi8


def _minutes(zone: str | None) -> int:
    """Return the offset of a zone such as ``+01:00`` in minutes.

    Zone names such as CET and CEST get offsets that sort the hour that occurs twice.
    """
    if zone and (found := re.search(r"([+-])(\d{1,2}):?(\d{2})?$", zone)):
        return (1 if found[1] == "+" else -1) * (60 * int(found[2]) + int(found[3] or 0))
    return 60 if zone and (zone == "CEST" or (len(zone) >= 3 and zone.endswith("DT"))) else 0


def _from_numbers(entries: pa.Array, unit: str) -> np.ndarray:
    text = pc.if_else(pc.match_substring_regex(entries, r"^-?\d{1,19}(\.\d{1,15})?$"), entries, None)
    whole = pc.cast(pc.replace_substring_regex(text, r"\..*", ""), pa.float64())
    number = pc.fill_null(whole, np.nan).to_numpy(zero_copy_only=False)
    zero = _EXCEL_ZERO if unit == "excel" else 0
    with np.errstate(invalid="ignore", over="ignore"):
        fits = np.abs(number * NUMERIC[unit] + zero) < 9e18
    exact = pc.fill_null(
        pc.cast(pc.if_else(pa.array(fits), pc.replace_substring_regex(text, r"\..*", ""), "0"), pa.int64()), 0
    )
    rest = pc.fill_null(pc.cast(pc.replace_substring_regex(text, r"^-?\d+", "0"), pa.float64()), 0.0)
    part = (rest.to_numpy(zero_copy_only=False) * NUMERIC[unit]).round(-3 if unit != "excel" else -6).astype(np.int64)
    ticks = exact.to_numpy(zero_copy_only=False) * NUMERIC[unit] + part + zero
    wall = ticks.astype("datetime64[ns]")
    wall[~fits] = np.datetime64("NaT")
    return wall
