"""Finds suspicious prices: jumps, changes of sign, zeros and long runs of equal prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from steepest.data.faults import counted

JUMP = 3.0  # a price change by this factor from one row to the next is reported
UNDONE = 1.5  # a price change by this factor is reported if the next row reverses it
STALE = 10  # this number of equal prices in sequence is reported
BLOCK = 2**15  # number of prices to compare at once


@dataclass(frozen=True)
class Glitches:
    """The row numbers of a series' suspicious prices, starting at 0.

    Attributes:
        jumps: rows whose price differs from the previous one by more than a factor of `JUMP`, and rows in `undone`.
        undone: rows whose price changes by more than a factor of `UNDONE` and reverts in the next row.
        turns: rows whose price has the opposite sign of the previous one.
        zeros: rows whose price is 0.
        stale: first row and length of each run of at least `STALE` equal prices.
    """

    jumps: np.ndarray
    undone: np.ndarray
    turns: np.ndarray
    zeros: np.ndarray
    stale: list[tuple[int, int]]

    def days(self) -> np.ndarray:
        """Return all suspicious rows, sorted. A reverted change has two rows; a run has all rows but its first."""
        runs = [np.arange(start + 1, start + length) for start, length in self.stale]
        return np.unique(np.concatenate([self.jumps, self.undone + 1, self.turns, self.zeros, *runs]))


def find_glitches(price: np.ndarray) -> Glitches:
    """Find the jumps, sign changes, zero prices and repeated prices (T,) of a series that is sorted by time."""
    none = np.zeros(0, int)
    if _is_smooth(price):
        return Glitches(none, none, none, none, [])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = price[1:] / price[:-1]
        size = np.where(factor > 1, factor, 1 / factor)
    usual = np.isfinite(size) & (price[1:] > 0) & (price[:-1] > 0)
    undone = np.zeros(len(factor), bool)
    if len(factor) > 1:
        with np.errstate(invalid="ignore"):
            undone[:-1] = (size[:-1] > UNDONE) & (np.abs(factor[:-1] * factor[1:] - 1) < 0.05) & usual[:-1] & usual[1:]
    after = np.r_[False, undone[:-1]]
    jumps = np.flatnonzero(((size > JUMP) & usual & ~after) | undone)
    sign = np.sign(price)
    changes = np.flatnonzero(np.r_[True, price[1:] != price[:-1], True])
    runs = np.diff(changes)
    long = np.flatnonzero(runs >= STALE) if len(runs) > 1 else none
    return Glitches(
        jumps + 1,
        np.flatnonzero(undone) + 1,
        np.flatnonzero(sign[1:] * sign[:-1] < 0) + 1,
        np.flatnonzero(price == 0),
        [(int(changes[run]), int(runs[run])) for run in long],
    )


def _is_smooth(price: np.ndarray) -> bool:
    """Return whether a series (T,) has no jumps and no long runs of equal prices. Most series have neither.

    The prices are compared in blocks that fit into the processor's cache and overlap by the length of a run.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for start in range(0, len(price) - 1, BLOCK):
            part = price[start : start + BLOCK + STALE]
            factor = part[1:] / part[:-1]
            unmoved = np.flatnonzero(factor == 1)
            if not (part[0] > 0 and factor.min() > 1 / UNDONE and factor.max() < UNDONE):
                return False
            if (unmoved[STALE - 2 :] - unmoved[: -(STALE - 2)] == STALE - 2).any():
                return False
    return True


def glitches(name: str, price: np.ndarray, day: Callable[[int], str]) -> list[str]:
    """Describe the jumps, sign changes, zero prices and repeated prices of a series.

    Args:
        name: the series.
        price: its prices (T,), sorted by time.
        day: returns the date of a row.
    """
    found: list[str] = []
    rows = find_glitches(price)
    if len(rows.jumps):
        at = rows.jumps[0]
        is_undone = at in rows.undone
        back = ", undone by the next price" if is_undone else ""
        why = "a wrong entry? correct it" if is_undone else "a split? use adjusted prices"
        found.append(
            f"{name}: the price goes from {price[at - 1]:g} to {price[at]:g} on {day(at)}{back}{_more(rows.jumps)} "
            f"({why})"
        )
    if len(rows.turns):
        at = rows.turns[0]
        found.append(
            f"{name}: the price changes its sign, from {price[at - 1]:g} to {price[at]:g} on {day(at)}"
            f"{_more(rows.turns)}"
        )
    if len(rows.zeros):
        are = "is" if len(rows.zeros) == 1 else "are"
        found.append(f"{name}: {counted(len(rows.zeros), 'price')} {are} 0, first on {day(rows.zeros[0])}")
    if rows.stale:
        start, length = max(rows.stale, key=lambda run: run[1])  # the first of the longest runs
        found.append(f"{name}: {length} equal prices ({price[start]:g}) in sequence, starting on {day(start)}")
    return found


def _more(rows: np.ndarray) -> str:
    return f", and {len(rows) - 1} more" if len(rows) > 1 else ""
