"""The unit of a row of a time series, and words for its rows."""

from __future__ import annotations

import numpy as np

# A row has this unit if the median gap between two rows is below this number of days.
UNITS = ((0.9, "row"), (4.0, "day"), (20.0, "week"), (60.0, "month"), (200.0, "quarter"))


def row_unit(date_T: np.ndarray) -> str:
    """Return the unit of a row: day, week, month, quarter or year. It is "row" if rows are less than a day apart."""
    gaps = np.diff(date_T) / np.timedelta64(1, "D")
    usual = float(np.median(gaps)) if len(gaps) else 1.0
    return next((name for longest, name in UNITS if usual < longest), "year")


def now_and_next(unit: str) -> tuple[str, str]:
    """Return words for the last known row and the row after it, such as ("today", "tomorrow")."""
    return ("today", "tomorrow") if unit == "day" else (f"this {unit}", f"next {unit}")
