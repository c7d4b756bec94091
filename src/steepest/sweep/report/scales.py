"""Where values go on an axis: hyper-parameters as they were typed, and the objective, with its worst values cut off."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from steepest.sweep.results import Results, number, shown

TICKS, MOST_TICKS = 12, 24  # most values that are each written at an axis; most words there
DECADES = 10.0  # from this ratio of greatest to least on, an axis is logarithmic
BEYOND = 2.0  # times the distance from the best to the upper quartile: what is farther off is drawn at the end


def plain(text: object) -> str:
    """Text that Plotly shows as it is: it reads some HTML otherwise."""
    return html.escape(str(text), quote=False)


def short(value: float | None) -> str:
    """Five digits."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.5g}"


class KeyAxis:
    """The values of one varied key.

    Args:
        key: its name.
        texts: each job's value, as it was typed.
        seed: whether it is a seed: those are not compared by their size.

    Attributes:
        kind: ``log``, ``linear`` or ``category``.
        labels: the different values, in the order of the axis.
    """

    def __init__(self, key: str, texts: Sequence[str], seed: bool = False) -> None:
        self.key, self.texts = key, list(texts)
        different = list(dict.fromkeys(texts))
        numbers = {text: number(text) for text in different}
        known = sorted(n for n in numbers.values() if n is not None and math.isfinite(n))
        self.labels = sorted(different, key=lambda t: (numbers[t] is None, numbers[t] or 0.0))
        if len(known) < len(different) or not known:
            self.kind = "category"
        elif seed or known[-1] < DECADES * max(known[0], 0):
            self.kind = "linear"
        elif known[0] > 0:
            self.kind = "log"
        else:  # 0 beside numbers that span decades has no place on either
            least = min((abs(n) for n in known if n), default=1.0)
            spans = max(abs(known[0]), abs(known[-1])) >= DECADES * least
            self.kind = "category" if spans and len(known) <= TICKS and known[0] == 0 else "linear"
        self.numbers = numbers

    @property
    def few(self) -> bool:
        """Whether each value can be written at the axis."""
        return len(self.labels) <= TICKS

    @property
    def written(self) -> list[str]:
        """The values that are written at the axis: of many categories some."""
        return self.labels[:: math.ceil(len(self.labels) / MOST_TICKS)]

    def place(self, text: str) -> float:
        """Where a value is: the number itself, or the number of its category."""
        found = self.numbers[text]
        return float(self.labels.index(text)) if self.kind == "category" or found is None else found

    @cached_property
    def places(self) -> np.ndarray:
        """Of every job."""
        where = {text: self.place(text) for text in self.labels}
        return np.array([where[text] for text in self.texts])

    def layout(self) -> dict[str, Any]:
        """Plotly's axis."""
        layout: dict[str, Any] = {"title": {"text": plain(self.key)}, "type": "log" if self.kind == "log" else "linear"}
        if self.kind == "category":
            layout |= {"range": [-0.5, len(self.labels) - 0.5]}
        if self.kind == "category" or self.few:
            layout |= {"tickvals": [self.place(t) for t in self.written], "ticktext": [tick(t) for t in self.written]}
        elif self.kind == "log":
            layout |= powers_only(math.log10(self.places.min()), math.log10(self.places.max()))
        return layout

    def dimension(self, order: Sequence[int]) -> dict[str, Any]:
        """Plotly's axis of parallel coordinates, for these jobs: it has no logarithmic ones, so powers are written."""
        along = np.log10 if self.kind == "log" else np.asarray
        ends = along([self.place(text) for text in self.labels])  # also of values that no finished job has
        low, high = float(ends.min()), float(ends.max())
        ticks: list[tuple[float, str]] = []
        if self.kind == "category" or self.few:
            ticks = [(float(along(self.place(text))), tick(text)) for text in self.written]
        elif self.kind == "log":
            ticks = [(float(p), f"{10.0**p:g}") for p in range(math.ceil(low), math.floor(high) + 1)]
        places = along(self.places[order])
        dimension: dict[str, Any] = {"label": plain(self.key), "values": places, "range": [low, high]}
        return dimension | ({"tickvals": [t[0] for t in ticks], "ticktext": [t[1] for t in ticks]} if ticks else {})


def tick(text: str) -> str:
    """A typed value at an axis, but not at any length."""
    text = shown(text)
    return plain(text if len(text) <= 24 else f"{text[:22]}…")


def powers_only(low: float, high: float) -> dict[str, Any]:
    """Ticks of a logarithmic axis between powers of ten: of a long one at the powers alone."""
    return {"dtick": 1} if high - low > 2 else {}


class ObjectiveScale:
    """The objective as an axis and as a colour, wide enough for what is worth comparing.

    A few jobs that nearly diverged would press all others together: values much worse than most are drawn at the end.

    Args:
        results: with at least one objective.
    """

    def __init__(self, results: Results) -> None:
        self.name, self.higher = results.objective, results.higher
        known = sorted((v for r in results.rows if (v := results.score(r)) is not None), reverse=self.higher)
        values = np.array(known)
        upper = math.ceil(0.75 * (len(values) - 1))
        best, quartile = values[0], values[upper]
        self.log = bool(values.min() > 0 and max(best, quartile) >= DECADES * min(best, quartile))
        moved = np.log10(values) if self.log else values
        best, quartile = moved[0], moved[upper]
        fence = best + BEYOND * (quartile - best) if quartile != best else moved[-1]
        worst = max(moved[-1], fence) if self.higher else min(moved[-1], fence)
        self.best, self.worst = float(best), float(worst)
        self.cut = bool(worst != moved[-1])

    def moved(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Places along a linear axis, cut off at the end."""
        places = np.log10(values) if self.log else np.asarray(values, float)
        return np.clip(places, min(self.best, self.worst), max(self.best, self.worst))

    def shown(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """The values, cut off at the end."""
        return 10 ** self.moved(values) if self.log else self.moved(values)

    def is_cut(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Which values are worse than the axis shows."""
        places = np.log10(values) if self.log else np.asarray(values, float)
        return places < self.worst if self.higher else places > self.worst

    @property
    def range(self) -> list[float]:
        """From the lower end to the upper, with a little air: in powers of ten if logarithmic."""
        low, high = sorted((self.best, self.worst))
        air = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        return [low - air, high + 2 * air]

    @property
    def end(self) -> float:
        """The worst value that is shown, as a value."""
        return 10**self.worst if self.log else self.worst

    @property
    def top(self) -> float:
        """Where to mark, above the axis's values, what has none."""
        place = self.range[1] - 0.3 * (self.range[1] - max(self.best, self.worst))
        return 10**place if self.log else place

    def layout(self) -> dict[str, Any]:
        """Plotly's axis."""
        layout = {"title": {"text": plain(self.name)}, "type": "log" if self.log else "linear", "range": self.range}
        return layout | (powers_only(*self.range) if self.log else {})

    def ticks(self) -> dict[str, Any]:
        """For axes and colour bars that are linear in what `moved` gives."""
        low, high = sorted((self.best, self.worst))
        places = np.linspace(low, high, 5) if high > low else np.array([low])
        values = (10**places if self.log else places).tolist()
        digits = next((d for d in range(3, 9) if len({f"{v:.{d}g}" for v in values}) == len(values)), 9)
        texts = [f"{value:.{digits}g}" for value in values]
        if self.cut:
            end = 0 if self.higher else -1
            texts[end] = ("≤ " if self.higher else "≥ ") + texts[end]
        return {"tickvals": places.tolist(), "ticktext": texts}
