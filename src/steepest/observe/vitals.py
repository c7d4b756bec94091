"""The instrument that reports dead relus, saturated sigmoids, updates per second and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from steepest.nets.networks import MLP
from steepest.observe.health import memory, unit_health
from steepest.observe.instrument import Instrument, View, check_at_least


@dataclass
class Vitals(Instrument):
    """Writes the training speed and, for fully connected nets, the share of units that no longer learn.

    It writes at the end of epochs.

    Attributes:
        looks: the approximate number of measurements in a run; a run with fewer epochs has one per epoch.
        samples: the number of evenly spaced training samples in a measurement.
    """

    looks: int = 20
    samples: int = 128

    def __post_init__(self) -> None:
        check_at_least("vitals", looks=(self.looks, 1), samples=(self.samples, 1))

    def begin(self, view: View) -> None:
        """Choose the samples, and start the clock."""
        self.x_ND = view.windows.spread("train", self.samples).x_ND
        self.since = view.updates, view.samples, time.perf_counter()

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Write, if a measurement is due."""
        if not view.recorded or not view.is_due(self.looks):
            return
        updates, samples, then = self.since
        self.since = view.updates, view.samples, time.perf_counter()
        seconds = max(self.since[2] - then, 1e-9)
        values = {}
        if isinstance(view.network, MLP):
            values = unit_health(view.network.layers(), view.network.activations, self.x_ND)
        values["speed/updates_per_second"] = (view.updates - updates) / seconds
        values["speed/samples_per_second"] = (view.samples - samples) / seconds
        used = memory(self.x_ND.device)
        view.write(values if used is None else values | {"speed/memory": used})
