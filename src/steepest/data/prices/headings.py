"""Detects tables in which time runs across the columns, with one column per month or per date."""

from __future__ import annotations

import re
from collections.abc import Sequence

from steepest.data.prices.formats import MONTH_OF, looks_like_date
from steepest.data.prices.table import Table
from steepest.data.prices.words import normalised

_QUARTERS = [f"{letter}{i}" for letter in "qt" for i in range(1, 5)] + [f"{i}q" for i in range(1, 5)]
_WEEKDAYS = {
    *("mon", "tue", "wed", "thu", "fri", "tues", "thur", "thurs"),
    *("monday", "tuesday", "wednesday", "thursday", "friday"),
    *("mo", "di", "mi", "do", "fr", "montag", "dienstag", "mittwoch", "donnerstag", "freitag"),
    *("lundi", "mardi", "mercredi", "jeudi", "vendredi"),
}


def calendar_columns(names: Sequence[str]) -> list[str]:
    """Return the columns named after months, quarters or weekdays, or an empty list if there are only a few."""
    for words, fewest in ((MONTH_OF, 6), (_QUARTERS, 4), (_WEEKDAYS, 5)):
        found = [name for name in names if normalised(name) in words]
        if len(found) >= fewest:
            return found
    return []


def has_dates_across(table: Table) -> bool:
    """Return whether most column names, or most entries of the first row, are dates or years."""
    first = [str(entry) for row in table.sample.slice(0, 1).to_pylist() for entry in row.values() if entry is not None]
    return any(_mostly_dates(entries) for entries in (table.names, first))


def _mostly_dates(entries: Sequence[str]) -> bool:
    dates = [e for e in entries if looks_like_date(e) or re.fullmatch(r"(1[89]|20)\d\d", e.strip())]
    return len(dates) >= max(4, len(entries) / 2)
