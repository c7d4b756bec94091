"""Finds suspicious prices: jumps, changes of sign, zeros and long runs of equal prices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from steepest.data.faults import counted

JUMP = 3.0  # a price change by this factor from one row to the next is reported
UNDONE = 1.5  # a price change by this factor is reported if the next row reverses it
STALE = 10  # this number of equal prices in sequence is reported


def glitches(name: str, price: np.ndarray, day: Callable[[int], str]) -> list[str]:
    """Describe the jumps, sign changes, zero prices and repeated prices of a series.

    Args:
        name: the series.
        price: its prices (T,), sorted by time.
        day: returns the date of a row.
    """
    found: list[str] = []
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = price[1:] / price[:-1]
        # A shortcut: most series have no jumps and no long runs of equal prices.
        smooth = len(factor) == 0 or (price[0] > 0 and factor.min() > 1 / UNDONE and factor.max() < UNDONE)
        unmoved = np.flatnonzero(factor == 1)
        if smooth and not (unmoved[STALE - 2 :] - unmoved[: -(STALE - 2)] == STALE - 2).any():
            return found
        size = np.where(factor > 1, factor, 1 / factor)
    usual = np.isfinite(size) & (price[1:] > 0) & (price[:-1] > 0)
    undone = np.zeros(len(factor), bool)
    if len(factor) > 1:
        with np.errstate(invalid="ignore"):
            undone[:-1] = (size[:-1] > UNDONE) & (np.abs(factor[:-1] * factor[1:] - 1) < 0.05) & usual[:-1] & usual[1:]
    after = np.r_[False, undone[:-1]]
    jumps = np.flatnonzero(((size > JUMP) & usual & ~after) | undone)
    if len(jumps):
        at = jumps[0]
        back = ", undone by the next price" if undone[at] else ""
        why = "a wrong entry? correct it" if undone[at] else "a split? use adjusted prices"
        more = f", and {len(jumps) - 1} more" if len(jumps) > 1 else ""
        found.append(
            f"{name}: the price goes from {price[at]:g} to {price[at + 1]:g} on {day(at + 1)}{back}{more} ({why})"
        )
    sign = np.sign(price)
    turns = np.flatnonzero(sign[1:] * sign[:-1] < 0)
    if len(turns):
        at, more = turns[0], f", and {len(turns) - 1} more" if len(turns) > 1 else ""
        found.append(
            f"{name}: the price changes its sign, from {price[at]:g} to {price[at + 1]:g} on {day(at + 1)}{more}"
        )
    zero = np.flatnonzero(price == 0)
    if len(zero):
        are = "is" if len(zero) == 1 else "are"
        found.append(f"{name}: {counted(len(zero), 'price')} {are} 0, first on {day(zero[0])}")
    changes = np.flatnonzero(np.r_[True, price[1:] != price[:-1], True])
    runs = np.diff(changes)
    if len(runs) > 1 and runs.max() >= STALE:
        start = changes[int(runs.argmax())]
        found.append(f"{name}: {runs.max()} equal prices ({price[start]:g}) in sequence, starting on {day(start)}")
    return found
