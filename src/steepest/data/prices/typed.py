"""Reads the columns of a large text file as numbers and times, if the result is the same as reading them as text.

The sample decides the format of the dates, and whether a column has plain numbers. DuckDB then converts all rows. If
an entry does not fit, the columns are read as text, and the messages name it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.prices.dates import only_format
from steepest.data.prices.numbers import is_plain
from steepest.data.prices.options import PriceOptions
from steepest.data.prices.roles import Roles
from steepest.data.prices.table import Table

# Times of day after a date. DuckDB and this package read these in the same way.
_TIMES = {r" \d\d:\d\d": " %H:%M", r" \d\d:\d\d:\d\d": " %H:%M:%S", r"T\d\d:\d\d:\d\d": "T%H:%M:%S", "": ""}


def fetched(
    table: Table, roles: Roles, numbers: Sequence[str], needed: Sequence[str], options: PriceOptions
) -> tuple[pa.Table, str | None, np.ndarray | None]:
    """Return all rows of the needed columns, the date format, and the block of `delimited.py`.

    The format is None unless DuckDB parsed the dates, and the block is None unless it parsed the numbers.
    """
    if table.typed is None or roles.kind is not None:
        return table.fetch(needed), None, None
    kinds = dict.fromkeys(needed, "VARCHAR")
    for name in numbers:
        if options.decimal in (None, ".") and options.thousands in (None, "") and is_plain(table.sample.column(name)):
            kinds[name] = "DOUBLE"
    format, written = _date_format(table, roles, options)
    if format is not None:
        kinds[roles.date] = "TIMESTAMP"
    try:
        columns, block = table.typed(kinds, written)
    except ValueError:
        return table.fetch(needed), None, None
    if any(kind == "DOUBLE" and not _finite(columns.column(name)) for name, kind in kinds.items()):
        return table.fetch(needed), None, None
    return columns, format, block


def _finite(column: pa.ChunkedArray) -> bool:
    """Return whether no number is infinite."""
    return bool(pc.all(pc.is_finite(column), min_count=0).as_py())


def _date_format(table: Table, roles: Roles, options: PriceOptions) -> tuple[str | None, str | None]:
    """Return the date format of the sample, and the same format with the time of day.

    Both are None if DuckDB must not parse the dates. It must not parse formats without separators, because it would
    accept dates with a missing digit.
    """
    if len(roles.dates) > 1 or roles.clock is not None or options.century is not None:
        return None, None
    column = table.sample.column(roles.date)
    format = only_format(column, options.date_format)
    if format is None or not re.fullmatch(r"%[Ymd][-/.]%[Ymd][-/.]%[Ymd]( %H:%M(:%S)?)?", format):
        return None, None
    entry = next(e for e in column.to_pylist() if e)
    time = next((t for shape, t in _TIMES.items() if re.fullmatch(rf"\S{{8,10}}{shape}", entry)), None)
    written = format if "%H" in format else None if time is None else format + time
    return (None, None) if written is None else (format, written)
