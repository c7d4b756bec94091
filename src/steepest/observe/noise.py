"""The instrument that looks at how much the samples of a batch disagree."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steepest.nets.noise import Noise, noise
from steepest.observe.instrument import Instrument, View, check_at_least, every


@dataclass
class GradientNoise(Instrument):
    """Writes per-sample gradient norms, the gradient noise scale and what the norm test says of the batch size.

    Attributes:
        every_n_updates: how often; the first update is always looked at.
        theta: of the norm test: how large the noise of a batch may be beside its gradient.
    """

    every_n_updates: int = 50
    theta: float = 1.0

    def __post_init__(self) -> None:
        check_at_least("noise", every_n_updates=(self.every_n_updates, 1))
        if not 0 < self.theta < math.inf:
            raise ValueError(f"callbacks.noise.theta={self.theta} must be a number above 0")
        self.last: Noise | None = None

    def next_look(self, updates: int) -> int:
        """As of any instrument."""
        return every(updates, self.every_n_updates)

    def look(self, view: View) -> None:
        """Take the norms of the samples' gradients."""
        assert view.seen is not None
        x_ND, y_NH, _ = view.seen
        self.last = found = noise(view.network.layers(), view.network.activations, view.loss, x_ND, y_NH)
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
