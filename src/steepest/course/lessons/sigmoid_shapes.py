"""c * sigmoid(b + w x): one unit learns it from points; the effects of c, b and w."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run
from steepest.nets.networks import MLP
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

NEAR = 1e-3  # relative tolerance to the known c, b and w
STEP = 1e-4  # step of x for the slope by differences, whose error is about STEP^2


@dataclass(frozen=True)
class Unit:
    """constant + c sigmoid(b + w x), in the data's units."""

    c: float
    b: float
    w: float
    constant: float = 0.0

    def __call__(self, x_M: np.ndarray) -> np.ndarray:
        """The unit's values (M,)."""
        return self.constant + self.c / (1 + np.exp(-(self.b + self.w * x_M)))

    @property
    def centre(self) -> float:
        """The x where b + w x = 0."""
        return -self.b / self.w

    @property
    def slope(self) -> float:
        """The derivative at the centre: sigmoid' = sigmoid (1 - sigmoid) is 1/4 at 0, times w inside and c outside."""
        return self.c * self.w / 4


def teach(folder: Path) -> Finding:
    """Does the unit find the known sigmoid, and do c, b and w determine its shape as expected?"""
    run = Run(folder)
    known = Unit(*(float(run.asked("data", key)) for key in "cbw"))
    learnt = _unit(run, run.net())
    sign = 1 if learnt.w * known.w > 0 else -1
    if sign < 0:  # c sigmoid(z) = c - c sigmoid(-z): the same curve, written the other way round
        learnt = Unit(-learnt.c, -learnt.b, -learnt.w, learnt.constant + learnt.c)
    pairs = [(learnt.c, known.c), (learnt.b, known.b), (learnt.w, known.w)]
    gap = max(abs(mine / theirs - 1) for mine, theirs in pairs)
    around = run.outputs(learnt.centre + np.array([[-STEP], [0.0], [STEP]]))[:, 0]
    slope, height = float(around[2] - around[0]) / (2 * STEP), float(around[1])
    far = run.outputs(np.array([[-40.0], [40.0]]) / abs(learnt.w) + learnt.centre)[:, 0] - learnt.constant

    figure = Figure(figsize=(13, 7), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    x_T1, y_T = run.rows()
    x_M = np.linspace(x_T1.min(), x_T1.max(), 400)
    axes[0, 0].plot(x_T1[:, 0], y_T, ".", color="#999999", label="points to learn from")
    axes[0, 0].plot(x_M, _unit(run, run.net("start"))(x_M), color=BLUE, label="the unit at the start")
    axes[0, 0].plot(x_M, learnt(x_M), color=ORANGE, lw=2, label="the unit at the end")
    tangent = (x_M > learnt.centre - 1 / learnt.w) & (x_M < learnt.centre + 1 / learnt.w)
    straight_M = height + learnt.slope * (x_M - learnt.centre)
    axes[0, 0].plot(x_M[tangent], straight_M[tangent], color=BLACK, lw=1, label="slope c w / 4")
    axes[0, 0].set(title="Learned: c, b and w together", ylabel="y")
    c, b, w = learnt.c, learnt.b, learnt.w
    changed = (
        ("c changes the height", "c", [Unit(k * c, b, w) for k in (0.5, 1, 1.5)]),
        ("b shifts it", "b", [Unit(c, b + k, w) for k in (2, 0, -2)]),
        ("w changes the steepness (and the centre, -b / w)", "w", [Unit(c, b, k * w) for k in (0.5, 1, 3)]),
    )
    for one, (title, name, units) in zip(axes.flat[1:], changed, strict=True):
        for unit, colour in zip(units, (BLUE, ORANGE, GREEN), strict=True):
            one.plot(x_M, unit(x_M), color=colour, lw=2, label=f"{name} = {getattr(unit, name):.2f}")
            one.plot(unit.centre, unit.c / 2, "o", color=colour)
        one.set(title=title)
    for one in axes.flat:
        finish(one)
        one.set(xlim=(x_M[0], x_M[-1]))
    for one in axes[1]:
        one.set(xlabel="x")
    return Finding(
        f"The unit learned c = {c:.4f}, b = {b:.4f}, w = {w:.4f}; the points were computed with {known.c:g}, "
        f"{known.b:g}, {known.w:g}. At its centre, x = {learnt.centre:.3f}, its slope is {slope:.4f}; c w / 4 is "
        f"{learnt.slope:.4f}.",
        {
            f"c, b and w equal those of the points within {gap:.0e}": gap < NEAR,
            "the slope at the centre -b / w is c w / 4": abs(slope / learnt.slope - 1) < 1e-6,
            "the height there is c / 2": abs((height - learnt.constant) / (c / 2) - 1) < 1e-9,
            "far to the left the height is 0, far to the right c": bool(np.allclose(far, [0, c], atol=1e-9)),
        },
        figure,
        {"c": c, "b": b, "w": w, "known": [known.c, known.b, known.w], "slope": slope},
    )


@torch.no_grad()
def _unit(run: Run, network: MLP) -> Unit:
    """A net of one sigmoid unit, converted to the data's units (its inputs and targets are shifted and scaled)."""
    windows = run.windows
    (W1_11, b1_1), (W2_11, b2_1) = network.layers()
    w = float(W1_11) / float(windows.input_scale_SF[0, 0])
    scale, mean = float(windows.scale_S[0]), float(windows.mean_S[0])
    return Unit(
        float(W2_11) * scale, float(b1_1) - w * float(windows.input_mean_SF[0, 0]), w, float(b2_1) * scale + mean
    )
