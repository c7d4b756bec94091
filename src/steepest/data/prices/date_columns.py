"""Reads the date and time columns of a table, and describes their faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.calendar import day_text
from steepest.data.faults import Faults, shortened
from steepest.data.prices.checks import OFFERED
from steepest.data.prices.dates import ENOUGH, Dates, as_text, read_dates
from steepest.data.prices.formats import looks_like_date
from steepest.data.prices.options import PriceOptions
from steepest.data.prices.roles import Roles
from steepest.data.prices.series import rows_of_kind, text_of

FOOTER = 10  # maximum number of rows at the end that a message suggests to skip


def dates_of(
    columns: pa.Table,
    roles: Roles,
    groups: dict[str, np.ndarray],
    options: PriceOptions,
    faults: Faults,
    any_date: bool,
    date_format: str | None = None,
) -> Dates:
    """Return the date of each row, from one column or several, and add the faults of the dates.

    If DuckDB has parsed the dates, `date_format` is their format in the file.
    """
    column = columns.column(roles.dates[0])
    if len(roles.dates) > 1:
        column = pc.binary_join_element_wise(*(_padded(text_of(columns, n), 2) for n in roles.dates), "-")
    if roles.clock is not None:
        day = column if pa.types.is_string(column.type) else as_text(column)
        column = pc.binary_join_element_wise(pc.utf8_trim_whitespace(day), _clock(text_of(columns, roles.clock)), " ")

    def in_order(wall_T: np.ndarray) -> bool:
        parts = [wall_T[index] for index in groups.values() or [rows_of_kind(columns, roles)]]
        steps = [np.diff(part[~np.isnat(part)].astype(np.int64)) for part in parts]
        return all((s > 0).all() for s in steps) or all((s < 0).all() for s in steps)

    dates = read_dates(
        column, roles.date, options.date_format, options.century, in_order, options.missing == "drop", any_date
    )
    dates = replace(dates, format=date_format or dates.format)
    if dates.fault is not None:
        faults.add(dates.fault)
    elif options.date_format is None:
        _check_swapped(dates, roles.date, in_order, faults)
    bad = np.flatnonzero(dates.bad_T)
    if len(bad) and not (dates.fault and dates.bad_T.all()) and (options.missing != "drop" or dates.bad_T.all()):
        entry = column[int(bad[0])].as_py()
        shown = "empty" if entry in (None, "") else shortened(repr(entry))
        few = len(bad) < OFFERED * len(column)
        fixes = ["correct them"]
        last = int(dates.bad_T[::-1].argmin()) if not dates.bad_T.all() else 0
        if last == len(bad) <= FOOTER and not any(looks_like_date(str(column[int(i)].as_py())) for i in bad):
            fixes.append(f"skip the end of the file with data.skip_footer={last + options.skip_footer}")
        if dates.bad_T.all():
            fixes.append("give their format, as in data.date_format='%d.%m.%Y'")
        if few:
            fixes.append("use data.missing=drop")
        faults.add(
            f"date column '{roles.date}': {len(bad)} of {len(column)} do not parse as dates, first in row {bad[0] + 1} "
            f"({shown}): {', or '.join(fixes)}"
        )
    return dates


def _check_swapped(dates: Dates, name: str, in_order: Callable[[np.ndarray], bool], faults: Faults) -> None:
    """Add a fault if swapping day and month in all dates that allow it puts the rows in order.

    A spreadsheet swaps them when it opens a file that has the other order of day and month.
    """
    wall_T = dates.wall_T
    if not re.match("(%a,? )?%[dm][-/. ]%[dm]", dates.format) or in_order(wall_T):
        return
    day_T, month_T = wall_T.astype("datetime64[D]"), wall_T.astype("datetime64[M]")
    day = (day_T - month_T.astype("datetime64[D]")).astype(np.int64)  # both count from 0
    month = month_T.astype(np.int64) % 12
    low = ~np.isnat(wall_T) & (day < 12)
    other = (month_T - month + np.where(low, day, month)).astype("datetime64[D]") + np.where(low, month, day)
    mixed_T = np.where(low, other.astype(wall_T.dtype) + (wall_T - day_T), wall_T)
    changed, same = np.flatnonzero(low & (day != month)), np.flatnonzero(~low & ~np.isnat(wall_T))
    if not len(changed) or not len(same) or len(np.unique(mixed_T)) < ENOUGH or not in_order(mixed_T):
        return
    one, two = changed[0], same[0]
    faults.add(
        f"date column '{name}': day and month seem to be swapped in some rows, such as row {one + 1} "
        f"({day_text(wall_T[one])}), but not in others, such as row {two + 1} ({day_text(wall_T[two])}). A spreadsheet "
        f"may have done this: export the file again, or, if the dates are right, set data.date_format='{dates.format}'"
    )


def _padded(column: pa.ChunkedArray, width: int) -> pa.ChunkedArray:
    return pc.utf8_lpad(pc.utf8_trim_whitespace(column), width, "0")


def _clock(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Rewrite times of day with colons. The longest entry decides whether 930 means 9:30 or 0:09:30."""
    text = pc.utf8_trim_whitespace(column)
    longest = pc.max(pc.utf8_length(text)).as_py() or 0
    if longest <= 2:
        return pc.replace_substring_regex(text, r"^(\d{1,2})$", r"\1:00")
    padded = pc.utf8_lpad(text, 4 if longest <= 4 else 6, "0")
    digits = pc.if_else(pc.match_substring(text, ":"), text, padded)
    return pc.replace_substring_regex(
        pc.replace_substring_regex(digits, r"^(\d\d)(\d\d)$", r"\1:\2"), r"^(\d\d)(\d\d)(\d\d)$", r"\1:\2:\3"
    )
