"""Finds columns that are not prices by their numbers: lows and highs, volumes, counters, categories and changes.

The reader uses this only if no column has a known price name. Then it refuses to take such a column as a series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np

from steepest.data.prices.numbers import Numbers

GAP = 300  # maximum ratio of typical prices of two series in a wide file, after the series are sorted by price
ENOUGH = 5  # minimum number of rows to recognise a counter, a constant or a category
NEAR = 1.2  # the high of a day is typically less than this multiple of its low
MANY = 20  # whole numbers that exceed fractional prices by this factor are a volume
COMPARED = 40  # with more columns than this, lows and highs are not searched


@dataclass
class Quantities:
    """The numeric columns of a sample.

    Attributes:
        odd: why a column is not a price, for each column that is not.
        closes: the columns that lie between the low and the high, in file order. Empty without a low and a high.
    """

    odd: dict[str, str] = field(default_factory=dict)
    closes: list[str] = field(default_factory=list)


def find_quantities(columns: Mapping[str, Numbers]) -> Quantities:
    """Compare the numeric columns of a sample with each other."""
    found = Quantities()
    values = {n: c.value_T for n, c in columns.items() if np.isfinite(c.value_T).any()}
    if len(values) < 2:
        return found
    whole = {n for n, v in values.items() if (v[np.isfinite(v)] % 1 == 0).all()}
    size = {n: float(np.nanmedian(np.abs(v))) for n, v in values.items()}
    largest = max((size[n] for n in values if n not in whole), default=0.0)
    signed = {n for n, v in values.items() if (v < 0).any() and (v > 0).any()}
    plain = any(not columns[n].note for n in values)
    for name, value in values.items():
        present = value[np.isfinite(value)]
        if columns[name].note and plain:
            found.odd[name] = f"has {columns[name].note}"
        elif len(present) >= ENOUGH and (present == present[0]).all():
            found.odd[name] = f"is constant ({present[0]:g})"
        elif name in signed and len(signed) < len(values):
            found.odd[name] = "changes its sign"
        elif len(present) >= ENOUGH and (np.diff(present) == 1).all() and present[0] in (0, 1):
            found.odd[name] = "counts the rows"
        elif name in whole and largest and len(present) >= ENOUGH:
            different = len(np.unique(present))
            if size[name] >= MANY * largest:
                found.odd[name] = f"has whole numbers, {size[name] / largest:.0f} times the prices, as a volume does"
            elif present.min() >= 0 and different <= max(2, len(present) // 3) and (present <= 31).all():
                found.odd[name] = f"has only {different} different whole numbers"
    rest = {n: v for n, v in values.items() if n not in found.odd}
    bracket = _bracket(rest)
    if bracket is not None:
        low, high, found.closes = bracket
        found.odd |= {low: "is the lowest of its row", high: "is the highest of its row"}
    return found


def _bracket(values: Mapping[str, np.ndarray]) -> tuple[str, str, list[str]] | None:
    """Find the daily low and high, and the columns between them. Return None if there are none.

    In each row, the other columns lie between the two. Columns of different series can have the same order. But a low
    and a high differ little, compared with the range of the price over time.
    """
    if not 3 <= len(values) <= COMPARED:
        return None
    median = {n: float(np.nanmedian(v)) for n, v in values.items()}
    for low, high in combinations(sorted(values, key=lambda n: median[n]), 2):
        if not 0 < median[low] <= median[high] < NEAR * median[low]:
            continue
        spread, middle = values[high] - values[low], (values[high] + values[low]) / 2
        near = [n for n in values if n not in (low, high) and NEAR > median[n] / median[low] > 1 / NEAR]
        goes = np.nanmax(middle) - np.nanmin(middle)
        if near and np.nanmedian(spread) < goes and all(_between(values[low], values[n], values[high]) for n in near):
            return low, high, near
    return None


def _between(low: np.ndarray, value: np.ndarray, high: np.ndarray) -> bool:
    known = np.isfinite(low) & np.isfinite(value) & np.isfinite(high)
    inside = (low <= value) & (value <= high)
    return known.sum() >= ENOUGH and bool(inside[known].all()) and bool((low < high)[known].mean() > 0.5)


def different_sizes(columns: Mapping[str, Numbers]) -> tuple[str, float, str, float] | None:
    """Return two columns whose typical numbers differ too much for prices of one wide file, with these numbers."""
    sizes = {n: float(np.nanmedian(np.abs(c.value_T))) for n, c in columns.items() if np.isfinite(c.value_T).any()}
    order = sorted((s, n) for n, s in sizes.items() if s > 0)
    for (small, first), (large, second) in pairwise(order):
        if large / small > GAP:
            return first, small, second, large
    return None
