"""The axes of the report: typed hyper-parameters, and the objective with its worst values cut off."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from steepest.sweep.results import SEEDS, Results, number, shown

TICKS, MAX_TICKS = 12, 24  # an axis labels every value up to TICKS numbers, and at most MAX_TICKS categories
DECADES = 10.0  # an axis is logarithmic if largest / smallest is at least this
BEYOND = 2.0  # times the distance from the best to the upper quartile: values beyond are drawn at the end
BEST, MIDDLE, WORST = "#1a85d6", "#a9a9a9", "#d9601a"  # readable on light and dark, and by colour-blind readers


def plain(text: object) -> str:
    """Text that Plotly shows as it is: Plotly interprets some HTML tags."""
    return html.escape(str(text), quote=False)


def short(value: float | None) -> str:
    """Five digits."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.5g}"


class KeyAxis:
    """The values of one varied key.

    Args:
        key: its name.
        texts: each job's value, as typed.

    Attributes:
        kind: ``log``, ``linear`` or ``category``.
        labels: the different values, in the order of the axis.
    """

    def __init__(self, key: str, texts: Sequence[str]) -> None:
        self.key, self.texts = key, list(texts)
        different = list(dict.fromkeys(texts))
        numbers = {text: number(text) for text in different}
        known = sorted(n for n in numbers.values() if n is not None and math.isfinite(n))
        self.labels = sorted(different, key=lambda t: (numbers[t] is None, numbers[t] or 0.0))
        if len(known) < len(different) or not known:
            self.kind = "category"
        elif key in SEEDS:
            self.kind = "category"  # the order of seeds and the distance between them mean nothing
        elif known[-1] < DECADES * max(known[0], 0):
            self.kind = "linear"
        elif known[0] > 0:
            self.kind = "log"
        else:  # neither kind of axis has a good place for 0 next to numbers that span decades
            smallest = min((abs(n) for n in known if n), default=1.0)
            spans = max(abs(known[0]), abs(known[-1])) >= DECADES * smallest
            self.kind = "category" if spans and len(known) <= TICKS and known[0] == 0 else "linear"
        self.numbers = numbers

    @cached_property
    def place(self) -> dict[str, float]:
        """Each value's place on the axis: the number itself, or the number of its category."""
        category = self.kind == "category"
        return {text: float(n) if category else float(self.numbers[text] or 0) for n, text in enumerate(self.labels)}

    @cached_property
    def places(self) -> np.ndarray:
        """Each job's place on the axis."""
        return np.array([self.place[text] for text in self.texts])

    @property
    def ticks(self) -> dict[str, str]:
        """Return the values that the axis labels, or none if they are too many numbers."""
        if self.kind != "category" and len(self.labels) > TICKS:
            return {}
        return {text: tick(text) for text in self.labels[:: math.ceil(len(self.labels) / MAX_TICKS)]}

    def layout(self) -> dict[str, Any]:
        """Plotly's axis."""
        layout: dict[str, Any] = {"title": {"text": plain(self.key)}, "type": "log" if self.kind == "log" else "linear"}
        if self.kind == "category":
            layout |= {"range": [-0.5, len(self.labels) - 0.5]}
        if self.ticks:
            layout |= {"tickvals": [self.place[t] for t in self.ticks], "ticktext": list(self.ticks.values())}
        elif self.kind == "log":
            layout |= log_ticks(math.log10(self.places.min()), math.log10(self.places.max()))
        return layout

    def dimension(self, order: Sequence[int]) -> dict[str, Any]:
        """Plotly's axis of parallel coordinates for these jobs: always linear, so it shows logarithms."""
        along = np.log10 if self.kind == "log" else np.asarray
        places = along(self.places)
        low, high = float(places.min()), float(places.max())
        ticks = {float(along(self.place[text])): label for text, label in self.ticks.items()}
        if self.kind == "log" and not ticks:
            ticks = {float(power): f"{10.0**power:g}" for power in range(math.ceil(low), math.floor(high) + 1)}
        dimension: dict[str, Any] = {"label": plain(self.key), "values": places[order], "range": [low, high]}
        return dimension | ({"tickvals": list(ticks), "ticktext": list(ticks.values())} if ticks else {})


def tick(text: str) -> str:
    """A typed value as a tick label, shortened if it is long."""
    text = shown(text)
    return plain(text if len(text) <= 24 else f"{text[:22]}…")


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Return ticks for a logarithmic axis. Plotly's default ticks between powers of ten have two sizes."""
    powers = range(math.ceil(low), math.floor(high) + 1)
    factors = [factor * 10.0**power for power in range(math.floor(low), math.ceil(high)) for factor in (1, 2, 5)]
    ticks = [tick for tick in factors if low <= math.log10(tick) <= high]
    if high - low > 2:
        ticks = [10.0**power for power in powers[:: math.ceil(len(powers) / TICKS)]]
    if len(ticks) < 3:
        ticks = [t for t in MaxNLocator(5).tick_values(10**low, 10**high) if 10**low <= t <= 10**high]
    return {"tickvals": ticks, "ticktext": [f"{tick:.4g}" for tick in ticks]}


class ObjectiveScale:
    """The objective as an axis and as a colour.

    A few jobs that nearly diverged would squeeze all other jobs together, so values much worse than most are drawn at
    the end of the axis.

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
        power = math.floor(math.log10(abs(values[0]))) if values[0] else 0
        self.factor = 10.0**-power if power < -2 else 1.0  # makes small values short: 0.001594 x 1000

    def moved(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Places along a linear axis; values beyond its end are moved to the end."""
        places = np.log10(values) if self.log else np.asarray(values, float)
        return np.clip(places, min(self.best, self.worst), max(self.best, self.worst))

    def shown(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """The values; those beyond the end of the axis are replaced by the end."""
        return 10 ** self.moved(values) if self.log else self.moved(values)

    def is_cut(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Which values are worse than the axis shows."""
        places = np.log10(values) if self.log else np.asarray(values, float)
        return places < self.worst if self.higher else places > self.worst

    @property
    def range(self) -> list[float]:
        """Plotly's range, with some room at both ends: in powers of ten if the axis is logarithmic."""
        low, high = sorted((self.best, self.worst))
        air = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        return [low - air, high + 2 * air]

    @property
    def end(self) -> float:
        """The worst value that is shown, as a value."""
        return 10**self.worst if self.log else self.worst

    @property
    def top(self) -> float:
        """Where to mark jobs without a value: above all values."""
        place = self.range[1] - 0.3 * (self.range[1] - max(self.best, self.worst))
        return 10**place if self.log else place

    def layout(self) -> dict[str, Any]:
        """Plotly's axis."""
        layout = {"title": {"text": plain(self.name)}, "type": "log" if self.log else "linear", "range": self.range}
        return layout | (log_ticks(*self.range) if self.log else {})

    def colour(self, values: Sequence[float] | np.ndarray) -> dict[str, Any]:
        """Plotly's colours of lines or markers with these values."""
        low, high = sorted((self.best, self.worst))
        ends = {"cmin": low, "cmax": high} if high > low else {"cmin": low - 0.5, "cmax": high + 0.5}
        return {"color": self.moved(values), "colorscale": self.colours} | ends

    @property
    def colours(self) -> list[list[Any]]:
        """Plotly's colour scale from the lower end of the objective to the upper."""
        ends = [WORST, MIDDLE, BEST] if self.higher else [BEST, MIDDLE, WORST]
        return [[place, colour] for place, colour in zip((0.0, 0.5, 1.0), ends, strict=True)]

    def bar(self) -> dict[str, Any]:
        """Plotly's colour bar."""
        title = {"text": plain(self.name), "side": "right"}
        return {"thickness": 12, "outlinewidth": 0, "title": title} | self.ticks()

    def ticks(self) -> dict[str, Any]:
        """Plotly's ticks for axes and colour bars that are linear in the values of `moved`."""
        low, high = sorted((self.best, self.worst))
        places = np.linspace(low, high, 5) if high > low else np.array([low])
        values = (10**places if self.log else places).tolist()
        digits = next((d for d in range(3, 9) if len({f"{v:.{d}g}" for v in values}) == len(values)), 9)
        texts = [f"{value:.{digits}g}" for value in values]
        if self.cut:
            end = 0 if self.higher else -1
            texts[end] = ("≤ " if self.higher else "≥ ") + texts[end]
        return {"tickvals": places.tolist(), "ticktext": texts}
