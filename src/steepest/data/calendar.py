"""The calendar of a time series: the unit of a row, words for its rows, and the dates that follow the last row."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.tseries.offsets import BaseOffset, BMonthBegin, BMonthEnd, DateOffset, MonthBegin, MonthEnd

# A row has this unit if the median gap between two rows is below this number of days.
UNITS = ((0.9, "row"), (4.0, "day"), (20.0, "week"), (60.0, "month"), (200.0, "quarter"))

RECENT = 300  # rows that show the weekdays and the times of a series
RARE = 0.1  # a weekday or a time is an exception if it is rarer than this share of the most common one
SEASONS = {"week": 52, "month": 12, "quarter": 4}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
ANCHORS = (MonthEnd, MonthBegin, BMonthEnd, BMonthBegin)


def row_unit(date_T: np.ndarray) -> str:
    """Return the unit of a row: day, week, month, quarter or year. It is "row" if rows are less than a day apart."""
    gaps = np.diff(date_T) / np.timedelta64(1, "D")
    usual = float(np.median(gaps)) if len(gaps) else 1.0
    return next((name for longest, name in UNITS if usual < longest), "year")


def day_text(time: pd.Timestamp | np.datetime64) -> str:
    """The date as text, with the time of day if it is not midnight."""
    return str(pd.Timestamp(time)).removesuffix(" 00:00:00")


def season(date_T: pd.DatetimeIndex) -> int | None:
    """Return the number of rows per season, or None: a week of days, or a year of weeks, months or quarters."""
    unit = row_unit(date_T.to_numpy())
    return len(_weekdays(date_T[-RECENT:])) if unit == "day" else SEASONS.get(unit)


def now_and_next(unit: str) -> tuple[str, str]:
    """Return words for the last known row and the row after it, such as ("today", "tomorrow")."""
    return ("today", "tomorrow") if unit == "day" else (f"this {unit}", f"next {unit}")


def next_dates(date_T: pd.DatetimeIndex, count: int) -> pd.DatetimeIndex:
    """Return the dates of the `count` rows after the last one, as the series' own calendar continues.

    Rows of less than a day keep the times of day of the recent rows, and days keep their weekdays. Months, quarters and
    years keep their place in the month, such as its last weekday. Holidays are not known.
    """
    recent, unit = date_T[-RECENT:], row_unit(date_T.to_numpy())
    if unit in MONTHS:
        return _after(recent, count, MONTHS[unit])
    if unit == "week":
        gap = pd.Series(recent[1:] - recent[:-1]).mode()[0]
        return pd.DatetimeIndex([recent[-1] + gap * step for step in range(1, count + 1)])
    weekdays = _weekdays(recent)
    times = _usual(recent - recent.normalize()) if unit == "row" else [recent[-1] - recent[-1].normalize()]
    dates: list[pd.Timestamp] = []
    day = recent[-1].normalize()
    while len(dates) < count:
        if day.day_of_week in weekdays or day == recent[-1].normalize():
            dates += [day + time for time in times if day + time > recent[-1]]
        day += pd.Timedelta(days=1)
    return pd.DatetimeIndex(dates[:count])


def _weekdays(recent: pd.DatetimeIndex) -> set[int]:
    """Return the weekdays of a series.

    A short series has not reached all weekdays. Those are added, except a weekend if the series has had no weekend day.
    """
    usual = set(_usual(recent.day_of_week))
    reached = set(pd.date_range(recent[0].normalize(), recent[-1]).day_of_week)
    weekend = {5, 6}
    return usual | (set(range(7)) - reached - (weekend if not usual & weekend else set()))


def _usual(entries: pd.Index) -> list:
    """Return the entries that are not rare, sorted."""
    counts = pd.Series(entries).value_counts()
    return sorted(counts.index[counts >= RARE * counts.max()])


def _after(recent: pd.DatetimeIndex, count: int, months: int) -> pd.DatetimeIndex:
    """Return the dates after the last one, `months` months apart."""
    days = recent.normalize()
    for anchor in ANCHORS:
        if all(anchor().is_on_offset(day) for day in days):
            step: BaseOffset = anchor(months)
            return pd.DatetimeIndex([recent[-1] + step * number for number in range(1, count + 1)])
    return pd.DatetimeIndex([recent[-1] + DateOffset(months=months * number) for number in range(1, count + 1)])
