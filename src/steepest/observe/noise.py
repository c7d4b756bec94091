"""The instrument that measures how much the gradients of a batch's samples differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steepest.nets.noise import noise
from steepest.observe.instrument import Instrument, View, check_at_least, every


@dataclass
class GradientNoise(Instrument):
    """Writes per-sample gradient norms, the gradient noise scale, and the batch size that the norm test asks for.

    Attributes:
        every_n_updates: the number of updates from one look to the next; the first update is always looked at.
        theta: the norm test's bound on the ratio of a batch's noise to its gradient.
    """

    every_n_updates: int = 50
    theta: float = 1.0

    def __post_init__(self) -> None:
        check_at_least("noise", every_n_updates=(self.every_n_updates, 1))
        if not 0 < self.theta < math.inf:
            raise ValueError(f"callbacks.noise.theta={self.theta} must be a number above 0")

    def next_look(self, updates: int) -> int:
        return every(updates, self.every_n_updates)

    def look(self, view: View) -> None:
        """Measure the noise of the current batch."""
        assert view.seen is not None
        x_ND, y_NH, _ = view.seen
        found = noise(view.network.layers(), view.network.activations, view.loss, x_ND, y_NH)
        norm_N = found.norm_N
        values = {
            "noise/batch_size": float(len(x_ND)),
            "noise/scale": found.scale,
            "noise/norm_test": found.wanted(self.theta),
            "noise/sample_norm_least": norm_N.min().item(),
            "noise/sample_norm_median": norm_N.median().item(),
            "noise/sample_norm_greatest": norm_N.max().item(),
        }
        view.write({tag: value for tag, value in values.items() if math.isfinite(value)}, view.updates + 1)
