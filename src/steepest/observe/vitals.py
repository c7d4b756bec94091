"""The instrument that asks how units and machine are: dead relus, saturated sigmoids, updates a second, memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from steepest.observe.health import memory, unit_health
from steepest.observe.instrument import Instrument, View, check_at_least


@dataclass
class Vitals(Instrument):
    """Writes, at the end of epochs, the share of units that no longer learn, and how fast training goes.

    Attributes:
        looks: about how many in a run; one at the end of every epoch of a shorter run.
        samples: evenly spaced training samples that units are looked at with.
    """

    looks: int = 20
    samples: int = 128

    def __post_init__(self) -> None:
        check_at_least("vitals", looks=(self.looks, 1), samples=(self.samples, 1))

    def begin(self, view: View) -> None:
        """Take the samples and the time."""
        self.x_ND = view.windows.spread("train", self.samples).x_ND
        self.since = view.updates, view.samples, time.perf_counter()

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Write, if it is one's turn."""
        if view.sink is None or not view.is_turn(self.looks):
            return
        updates, samples, then = self.since
        self.since = view.updates, view.samples, time.perf_counter()
        seconds = max(self.since[2] - then, 1e-9)
        values = unit_health(view.network.layers(), view.network.activations, self.x_ND)
        values["speed/updates_per_second"] = (view.updates - updates) / seconds
        values["speed/samples_per_second"] = (view.samples - samples) / seconds
        used = memory(self.x_ND.device)
        view.write(values if used is None else values | {"speed/memory": used})
