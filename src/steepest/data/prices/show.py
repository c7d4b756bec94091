"""Prints what was recognised in a price file: the columns, dates, series, notes and a chart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from steepest.data.calendar import day_text
from steepest.data.faults import counted, shortened
from steepest.data.prices.account import sentence

WIDTH, HEIGHT = 64, 8  # characters of the chart
LISTED = 10  # maximum number of series in the list


def described_lines(frame: pd.DataFrame) -> Iterator[str]:
    """Yield lines that describe a frame of `read_prices`."""
    found = frame.attrs["recognised"]
    yield f"{found['file']}: {found['dialect']}"
    yield f"columns: {shortened(', '.join(found['columns']), 200)}"
    yield f"dates:   '{found['date']}' as {found['date_format']}"
    yield f"values:  {sentence(found)} ({found['why']}; {found['numbers']})"
    if len(frame.columns) > 1:
        yield f"inputs:  {', '.join(frame.columns[1:])}"
    for note in found["notes"]:
        yield f"note:    {note}"
    names = frame.index.unique("series")
    for name in names[:LISTED]:
        part = frame.loc[name]
        days = pd.DatetimeIndex(part.index)
        gap = pd.Series(days).diff().max()
        longest = f", longest gap {_duration(gap)}" if len(part) > 1 and gap.days > 0 else ""
        yield f"series:  {name}: {len(part)} rows, {day_text(days[0])} to {day_text(days[-1])}{longest}"
    if len(names) > LISTED:
        yield f"         and {len(names) - LISTED} more series"
    first = frame.loc[names[0]]
    yield "" if len(names) == 1 else f"\n{names[0]}, the first of {len(names)} series:"
    shown = str(first if len(first) <= 6 else pd.concat([first.head(3), first.tail(3)])).splitlines()
    yield from shown if len(first) <= 6 else [*shown[:-3], "...", *shown[-3:]]
    yield ""
    yield from chart(first.iloc[:, 0].to_numpy())
    start, end = day_text(first.index[0]), day_text(first.index[-1])
    yield f"{'':15}{start}{end:>{max(len(end) + 1, min(WIDTH, len(first)) - len(start))}}"
    if len(first) > WIDTH:
        yield f"{'':15}Each mark is the mean of {len(first) // WIDTH} to {-(-len(first) // WIDTH)} rows."


def _duration(gap: pd.Timedelta) -> str:
    hours = round(gap.seconds / 3600)
    return counted(gap.days, "day") + (f" {counted(hours, 'hour')}" if hours else "")


def chart(price_T: np.ndarray) -> Iterator[str]:
    """Draw a series as a text chart, with the range of what it shows: means of neighbouring prices of a long series."""
    column = np.array([part.mean() for part in np.array_split(price_T, min(WIDTH, len(price_T)))])
    low, high = column.min(), column.max()
    level = np.round((column - low) / (high - low) * (HEIGHT - 1)) if high > low else np.zeros(len(column))
    for row in range(HEIGHT - 1, -1, -1):
        label = f"{high:.6g}" if row == HEIGHT - 1 else f"{low:.6g}" if row == 0 else ""
        yield f"{label:>12} | " + "".join("*" if at == row else " " for at in level).rstrip()
