"""Two instruments that measure single updates: the quality of the step, and the noise of its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from steepest.engine.descent import UpdateLog
from steepest.nets.functional import gradients_at
from steepest.nets.noise import noise
from steepest.observe.instrument import Instrument, View, check_at_least, every


@dataclass
class StepQuality(Instrument):
    """Writes the predicted and the actual decrease of the batch's loss, and where the step ended in a parabola.

    Along the step d from w to w + d, the loss is approximated by a parabola with the slopes at both ends,
    s0 = g(w) d and s1 = g(w + d) d. The position of the end is -s1 / s0: -1 at the start, 0 at the bottom, 1 where the
    loss is as high as at the start, on the other side; below -1 the slope grew steeper (after Schneider et al.
    2021, "Cockpit"). A step uphill, which momentum can cause, has no position.

    Attributes:
        every_n_updates: the number of updates between two measurements; each one costs another gradient.
    """

    every_n_updates: int = 1

    def __post_init__(self) -> None:
        check_at_least("steps", every_n_updates=(self.every_n_updates, 1))
        self.before: tuple[Tensor, Tensor, tuple[Tensor, Tensor, float]] | None = None

    def next_look(self, updates: int) -> int:
        return every(updates, self.every_n_updates)

    @torch.no_grad()
    def look(self, view: View) -> None:
        """Keep the state before the step."""
        assert view.seen is not None
        start_P, slope_P = (parameters_to_vector(p) for p in (view.network.parameters(), view.gradients))
        self.before = start_P, slope_P, view.seen

    @torch.no_grad()
    def log(self, view: View, log: UpdateLog) -> None:
        """Measure the step, which has a separate log."""
        if self.before is None:
            return
        (start_P, slope_P, (x_ND, y_NH, loss)), self.before = self.before, None
        step_P = parameters_to_vector(view.network.parameters()) - start_P
        parameters = list(view.network.parameters())
        slope_after_P = parameters_to_vector(gradients_at(view.network, parameters, view.loss, x_ND, y_NH))
        s0, s1 = (float((slope * step_P).double().sum()) for slope in (slope_P, slope_after_P))
        gain = loss - float(view.loss(view.network(x_ND), y_NH))
        values = {"step/predicted_decrease": -s0, "step/actual_decrease": gain}
        view.write(values | ({"step/position": -s1 / s0} if s0 < 0 else {}), log.done + 1)


@dataclass
class GradientNoise(Instrument):
    """Writes per-sample gradient norms, the gradient noise scale, and the batch size that passes the norm test.

    Attributes:
        every_n_updates: the number of updates between two measurements; the first update is always measured.
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
        measured = noise(view.network, list(view.network.parameters()), view.loss, x_ND, y_NH)
        values = {
            "noise/batch_size": float(len(x_ND)),
            "noise/scale": measured.scale,
            "noise/norm_test": measured.norm_test(self.theta),
            "noise/sample_norm_least": measured.norm_N.min().item(),
            "noise/sample_norm_median": measured.norm_N.median().item(),
            "noise/sample_norm_greatest": measured.norm_N.max().item(),
        }
        view.write({tag: value for tag, value in values.items() if math.isfinite(value)}, view.updates + 1)
