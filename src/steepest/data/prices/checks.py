"""Sorts and checks the rows of each series, fills or drops gaps, and warns about suspicious prices.

Shapes: T rows of one series; F columns, the price first.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from steepest.data.calendar import day_text
from steepest.data.faults import Faults, Sentences, counted, shortened
from steepest.data.prices.glitches import glitches
from steepest.data.prices.options import Duplicates, Missing, PriceOptions
from steepest.data.prices.roles import Roles

log = logging.getLogger(__name__)

SHOWN = 5  # maximum number of series or warnings of one kind in a message
OFFERED = 0.2  # messages suggest dropping rows only below this share of bad rows
SHARE = 0.05  # the summary gives the share of dropped rows above this value
KINDS = ("", "missing", "infinite", "text")


@dataclass
class Rows:
    """The rows of one series in the file's order.

    Attributes:
        name: the series.
        label: the price column, for messages.
        row_T: the number of each row in the file, from 1.
        wall_T, order_T: the dates, and integers that order them.
        value_TF, kind_TF: the numbers, and the kind of each, as in `numbers.Numbers`.
        filled_T: whether a price was filled from the previous day.
    """

    name: str
    label: str
    row_T: np.ndarray
    wall_T: np.ndarray
    order_T: np.ndarray
    value_TF: np.ndarray
    kind_TF: np.ndarray
    filled_T: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def take(self, index: np.ndarray) -> Rows:
        """Return the rows with these indices, in this order."""
        filled_T = self.filled_T[index] if len(self.filled_T) else self.filled_T
        return Rows(
            self.name, self.label, self.row_T[index], self.wall_T[index], self.order_T[index], self.value_TF[index],
            self.kind_TF[index], filled_T,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.row_T)

    def day(self, index: int) -> str:
        """Return the date of a row for messages."""
        return day_text(self.wall_T[index])


def sort_rows(rows: Rows, where: str, notes: list[str]) -> Rows:
    """Sort the rows by time. Rows without a date are left out."""
    dated = ~np.isnat(rows.wall_T)
    if not dated.all():
        rows = rows.take(np.flatnonzero(dated))
    earlier_T, later_T = rows.order_T[:-1], rows.order_T[1:]
    if (later_T >= earlier_T).all():
        return rows
    if (later_T < earlier_T).all():
        return rows.take(np.arange(len(rows))[::-1])
    back = int((later_T < earlier_T).argmax()) + 1
    if not any("go backwards" in note for note in notes):
        note = f"dates of {rows.name} go backwards, first in row {rows.row_T[back]} ({rows.day(back)}): sorted"
        log.warning("%s: %s", where, note)
        notes.append(note)
    return rows.take(np.argsort(rows.order_T, kind="stable"))


def resolve_duplicates(rows: Rows, duplicates: Duplicates, faults: Faults, notes: Sentences, long: bool) -> Rows:
    """Keep one row per date as `duplicates` says, or add a fault."""
    same = rows.order_T[1:] == rows.order_T[:-1]
    if not same.any():
        return rows
    count, first, last = int(same.sum()), int(np.flatnonzero(same)[0]), int(np.flatnonzero(same)[-1])
    occur = "date occurs" if count == 1 else "dates occur"
    span = f"first {rows.day(first)}" + (f", last {rows.day(last)}" if count > 1 else "")
    problem = f"{rows.name}: {count} {occur} more than once, {span}"
    if duplicates == "error":
        name = "" if long else ", or name the column that identifies the series with data.id=COLUMN"
        faults.add(
            f"{problem} (rows {rows.row_T[first]} and {rows.row_T[first + 1]}): keep one of each with "
            f"data.duplicates=first or data.duplicates=last{name}",
            "duplicates",
            f"{rows.name} ({rows.day(first)})",
        )
    else:
        left_out = f"{counted(count, 'row')} left out"
        notes.add(
            f"{problem}: data.duplicates={duplicates} applied, {left_out}", "duplicates", f"{rows.name} ({left_out})"
        )
    keep = np.r_[True, ~same] if duplicates == "first" else np.r_[~same, True]
    return rows.take(np.flatnonzero(keep))


def fill_or_drop(rows: Rows, missing: Missing, faults: Faults, notes: Sentences) -> Rows:
    """Drop or fill the rows whose entries are not all numbers. A fill uses only earlier rows."""
    bad_T = (rows.kind_TF != 0).any(axis=1)
    if not bad_T.any():
        return rows
    at = np.flatnonzero(bad_T)
    span = f"{rows.day(at[0])}" + (f" to {rows.day(at[-1])}" if len(at) > 1 else "")
    if missing == "error":
        return rows  # `_missing_faults` reports them
    if missing == "forward_fill":
        filled = pd.DataFrame(np.where(rows.kind_TF != 0, np.nan, rows.value_TF)).ffill().to_numpy()
        if np.isnan(filled[0]).any():
            drop = "use data.missing=drop" if bad_T.mean() < OFFERED else "correct the file"
            fault = f"has missing values and no earlier row to fill from: {drop}"
            faults.add(f"{rows.name}: row {rows.row_T[0]} {fault}", fault, f"{rows.name} (row {rows.row_T[0]})")
        filled_in = counted(len(at), "row")
        notes.add(
            f"{rows.label}: data.missing=forward_fill repeated the previous price in {filled_in}, {span}",
            "filled",
            f"{rows.label} ({filled_in})",
        )
        return Rows(
            rows.name, rows.label, rows.row_T, rows.wall_T, rows.order_T, filled, rows.kind_TF, rows.kind_TF[:, 0] != 0
        )
    share = len(at) / len(rows)
    much = f" ({share:.0%} of its rows)" if share > SHARE else ""
    notes.add(
        f"{rows.label}: data.missing=drop left out {len(at)} of {len(rows)} rows{much}, {span}",
        "dropped",
        f"{rows.label} ({len(at)} of {len(rows)} rows)",
    )
    if bad_T.all():
        faults.add(f"{rows.name}: data.missing=drop leaves no rows", "no rows", rows.name)
    return rows.take(np.flatnonzero(~bad_T))


def add_bad(
    faults: Faults, sort: str, label: str, kind_T: np.ndarray, row_T: np.ndarray, entry: object, fill: bool
) -> None:
    """Add a fault for a column's entries that are not numbers, with the fixes that apply. Entries are sorted by time.

    Args:
        faults: the faults of the file.
        sort: the role of the column, such as ``value column``.
        label: the column, for messages.
        kind_T, row_T: the kind of each entry, as in `numbers.Numbers`, and its row in the file.
        entry: the bad entry that comes first in the file.
        fill: whether the previous price may fill a gap.
    """
    counts = {name: int((kind_T == i).sum()) for i, name in enumerate(KINDS)}
    what = ", ".join(f"{counts[name]} {name}" for name in ("text", "infinite", "missing") if counts[name])
    bad = np.flatnonzero(kind_T)
    offered = ["data.missing=drop"] if len(bad) < OFFERED * len(kind_T) else []
    offered += ["data.missing=forward_fill"] if fill and kind_T[0] == 0 and len(bad) <= len(kind_T) / 2 else []
    fix = (
        f", or use {' or '.join(offered)}"
        if offered
        else f" (they are {len(bad) / len(kind_T):.0%} of the rows, too many to drop)"
    )
    problem, row = f"{len(bad)} of {len(kind_T)} are not numbers ({what})", row_T[bad].min()
    faults.add(
        f"{sort} {label}: {problem}, first in row {row} "
        f"({'empty' if entry in (None, '') else shortened(repr(entry))}): correct them{fix}",
        f"{sort} {problem}{fix}",
        f"{label} (row {row})",
    )


def finished(
    all_rows: list[Rows], columns: pa.Table, roles: Roles, options: PriceOptions, faults: Faults, notes: list[str],
    where: str,
) -> list[Rows]:  # fmt: skip
    """Return the sorted, checked rows of each series."""
    changes = Sentences()
    if options.missing == "drop":
        for rows in all_rows:
            undated = int(np.isnat(rows.wall_T).sum())
            if undated:
                left_out = f"data.missing=drop left out {undated} of {len(rows)} rows without a date"
                changes.add(f"{rows.name}: {left_out}", left_out, rows.name)
    all_rows = [sort_rows(rows, where, notes) for rows in all_rows]
    if options.short == "drop":
        all_rows = _without_short(all_rows, notes)
    elif roles.id is not None and (late := _late(all_rows)):
        short = _short(all_rows)[0]
        fix = f"; data.short=drop leaves out {_named(short)}" if short else ""
        notes.append(f"{len(late)} of {len(all_rows)} series start late or end early ({_named(late)}){fix}")
    if options.missing == "error":
        _missing_faults(all_rows, columns, roles, faults)
    kept, warnings = [], []
    for rows in all_rows:
        rows = resolve_duplicates(rows, options.duplicates, faults, changes, roles.id is not None)
        rows = fill_or_drop(rows, options.missing, faults, changes)
        price = rows.value_TF[:, 0]
        if len(price) and (price == price[0]).all():
            fault = f"value column {rows.label} is constant ({price[0]:g}): a model cannot learn from it"
            faults.add(fault, "constant", rows.label)
        warnings += glitches(rows.name, price, rows.day) if len(rows) else []
        kept.append(rows)
    if len(warnings) > SHOWN:
        warnings = [*warnings[:SHOWN], f"and {len(warnings) - SHOWN} more warnings of this kind"]
    notes += changes.texts()
    for note in notes:
        if "applied" in note or "data.missing=" in note:
            log.warning("%s: %s", where, note)
    notes += warnings
    return kept


def _span(rows: Rows) -> tuple[np.datetime64, np.datetime64]:
    """Return the first and the last date with a price."""
    present = np.flatnonzero(rows.kind_TF[:, 0] != 1)
    if not len(present):
        return np.datetime64("NaT"), np.datetime64("NaT")
    return rows.wall_T[present[0]], rows.wall_T[present[-1]]


def _short(all_rows: list[Rows]) -> tuple[list[Rows], str]:
    """Return the series that do not cover the most common period, and that period.

    If several periods are equally common, the longest is used.
    """
    spans = [_span(rows) for rows in all_rows]
    known = Counter(span for span in spans if not np.isnat(span[0]))
    if not known:
        return [], ""
    start, end = max(known, key=lambda span: (known[span], span[1] - span[0]))
    left_out = [rows for rows, (a, b) in zip(all_rows, spans, strict=True) if not (a <= start and b >= end)]
    return left_out, f"{day_text(start)} to {day_text(end)}"


def _without_short(all_rows: list[Rows], notes: list[str]) -> list[Rows]:
    """Return the series that are not short, each from its first price to its last price."""
    left_out, period = _short(all_rows)
    names = dict.fromkeys(rows.name for rows in left_out)
    if names:
        notes.append(
            f"data.short=drop left out {len(names)} of {len(all_rows)} series, because they do not span {period}: "
            f"{shortened(', '.join(names), 200)}"
        )
    return [_trimmed(rows) for rows in all_rows if rows.name not in names]


def _late(all_rows: list[Rows]) -> list[Rows]:
    """Return the series that start after the first date of the file, or end before its last."""
    spans = [_span(rows) for rows in all_rows]
    known = [span for span in spans if not np.isnat(span[0])]
    if not known:
        return []
    first, last = min(s[0] for s in known), max(s[1] for s in known)
    return [rows for rows, (a, b) in zip(all_rows, spans, strict=True) if a > first or b < last]


def _trimmed(rows: Rows) -> Rows:
    """Return the rows from the first price to the last price."""
    present = np.flatnonzero(rows.kind_TF[:, 0] != 1)
    return rows.take(np.arange(present[0], present[-1] + 1)) if len(present) else rows


def _missing_faults(all_rows: list[Rows], columns: pa.Table, roles: Roles, faults: Faults) -> None:
    """Add the faults of prices that are not numbers. Late starts, early ends and many gaps make one fault."""
    late, early, gaps = [], [], []
    for rows in all_rows:
        kind_T = rows.kind_TF[:, 0]
        if not kind_T.any():
            continue
        present = np.flatnonzero(kind_T != 1)
        if len(all_rows) > 1 and len(present):
            late += [rows] if present[0] > 0 else []
            early += [rows] if present[-1] < len(rows) - 1 else []
            inner = _trimmed(rows)
        else:
            inner = rows
        gaps += [inner] if inner.kind_TF[:, 0].any() else []
    if len(gaps) <= SHOWN:
        for rows in gaps:
            row = rows.row_T[np.flatnonzero(rows.kind_TF[:, 0])].min()
            column = roles.values[0] if roles.id else next(c for c in roles.values if roles.series[c] == rows.name)
            entry = columns.column(column)[int(row) - 1].as_py()
            add_bad(faults, "value column", rows.label, rows.kind_TF[:, 0], rows.row_T, entry, fill=True)
    words, repairs = [], []
    if late:
        first = min(_span(r)[0] for r in all_rows if not np.isnat(_span(r)[0]))
        words.append(f"{_some(late, 'start')} after {day_text(first)} ({_named(late)})")
    if early:
        last = max(_span(r)[1] for r in all_rows if not np.isnat(_span(r)[1]))
        words.append(f"{_some(early, 'end')} before {day_text(last)} ({_named(early)})")
    if late or early:
        worst = max(float((rows.kind_TF[:, 0] != 0).mean()) for rows in (*late, *early))
        drop = ", or use only the days that each series has, with data.missing=drop" if worst < OFFERED else ""
        short = _named(_short(all_rows)[0])
        effect = f"leave out {short}" if short else "accept these periods"
        repairs.append(f"{effect} with data.short=drop{drop}")
    if len(gaps) > SHOWN:
        count = sum(int((r.kind_TF[:, 0] != 0).sum()) for r in gaps)
        words.append(f"{len(gaps)} have gaps, {counted(count, 'row')} ({_named(gaps)})")
        worst = max(float((rows.kind_TF[:, 0] != 0).mean()) for rows in gaps)
        drop = ", or leave out their rows with data.missing=drop" if worst < OFFERED else ""
        repairs.append(f"fill gaps with data.missing=forward_fill{drop}")
    if words:
        faults.add(f"{len(all_rows)} series: {', '.join(words)}: {'; '.join(repairs)}")


def _some(rows: list[Rows], verb: str) -> str:
    return f"{len(rows)} {verb}{'s' if len(rows) == 1 else ''}"


def _named(rows: list[Rows]) -> str:
    names = ", ".join(r.name for r in rows[:SHOWN])
    return names + (", ..." if len(rows) > SHOWN else "")
