"""A drawing of a net with one input, two hidden units and one output, and every number of an update."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from steepest.nets.curvature import Surface
from steepest.nets.worked import Worked
from steepest.observe.figures import BLUE, ORANGE, finish

INPUT, HIDDEN, OUTPUT = (0.0, 0.0), ((1.15, 0.62), (1.15, -0.62)), (2.3, 0.0)
FORWARD, BACKWARD = BLUE, ORANGE


def draw_frame(figure: Figure, surface: Surface, steps: list[Worked], losses_K: np.ndarray, k: int) -> None:
    """One frame: the net 1-2-1 at update k + 1, the loss of all points (K + 1,) up to there, and the net's function.

    A figure that is higher than wide, for a phone, has all three one above the other.
    """
    figure.clear()
    width, height = figure.get_size_inches()
    narrow = height > width
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.5] if narrow else [1.25, 1])[:, 0]
    net = above.subplots()
    draw_update(net, steps[k], 0.72 if narrow else 1.0)
    net.set_title(f"Update {k + 1}: forward in blue, slopes of the loss in orange", fontsize=9 if narrow else 12)
    curve, fit = below.subplots(2, 1) if narrow else below.subplots(1, 2)
    curve.plot(losses_K, color="#bbbbbb", lw=1)
    curve.plot(np.arange(k + 1), losses_K[: k + 1], color=BLUE, lw=2)
    curve.plot(k, losses_K[k], "o", color=ORANGE)
    curve.set(xlabel="updates", ylabel="loss of all points", yscale="log")
    curve.grid(alpha=0.25)
    x_M = torch.linspace(float(surface.x_ND.min()) - 0.3, float(surface.x_ND.max()) + 0.3, 200, dtype=torch.float64)
    (W1_21, b1_2), (W2_12, b2_1) = steps[k].own
    made_M = torch.sigmoid(x_M[:, None] @ W1_21.T + b1_2) @ W2_12[0] + b2_1
    fit.plot(surface.x_ND, surface.y_NH, "o", color="black", label="points")
    fit.plot(steps[k].x, steps[k].y, "o", color=ORANGE, ms=11, label="the point of this update", zorder=0)
    fit.plot(x_M, made_M, color=BLUE, lw=2, label="the net")
    fit.set(xlabel="x (scaled)", ylabel="y (scaled)", ylim=(-2, 2.6))
    finish(fit)


def draw_update(axes: Axes, worked: Worked, scale: float = 1.0) -> None:
    """Draw one sample's values in a net 1-2-1: the forward in blue, the backward in orange.

    A unit shows its sum z, its output a and the slope of the loss in z. A line shows its weight and the slope in it.
    Next to a unit are its bias and the slope in it. `scale` multiplies the sizes of texts and units.
    """
    (W1_21, b1_2), (W2_12, b2_1) = worked.own
    (dW1_21, db1_2), (dW2_12, db2_1) = worked.gradients
    trace = worked.trace
    for unit, place in enumerate(HIDDEN):
        side = 1 if unit == 0 else -1
        _line(axes, INPUT, place, f"w{unit + 1}", W1_21[unit, 0], dW1_21[unit, 0], side, scale)
        _line(axes, place, OUTPUT, f"c{unit + 1}", W2_12[0, unit], dW2_12[0, unit], side, scale)
        _unit(axes, place, [("z", trace.z[0][0, unit]), ("a", trace.a[1][0, unit])], worked.errors[0][0, unit], scale)
        _bias(axes, (place[0], place[1] + 0.36 * side), f"b{unit + 1}", b1_2[unit], db1_2[unit], scale)
    _unit(axes, INPUT, [("x", worked.x[0, 0])], None, scale)
    _unit(axes, OUTPUT, [("y", trace.a[2][0, 0])], worked.errors[1][0, 0], scale)
    _bias(axes, (OUTPUT[0], 0.36), "b", b2_1[0], db2_1[0], scale)
    axes.text(3.0, 0.09, f"target {float(worked.y[0, 0]):+.3f}", color=FORWARD, fontsize=9 * scale, ha="center")
    axes.text(
        3.0, -0.09, f"loss {float(worked.loss):.4f}", color=FORWARD, fontsize=11 * scale, ha="center", weight="bold"
    )
    axes.set(xlim=(-0.35, 3.4), ylim=(-1.15, 1.15))
    axes.axis("off")


def _unit(
    axes: Axes, place: tuple[float, float], values: list[tuple[str, Tensor]], slope: Tensor | None, scale: float
) -> None:
    axes.plot(*place, "o", ms=62 * scale, color="white", mec="#555555", mew=1.2, zorder=2)
    lines = [(f"{name} {float(value):+.3f}", FORWARD) for name, value in values]
    lines += [] if slope is None else [(f"{float(slope):+.3f}", BACKWARD)]
    for row, (text, colour) in enumerate(lines):
        height = place[1] + 0.083 * (len(lines) - 1 - 2 * row)
        axes.text(place[0], height, text, color=colour, fontsize=8 * scale, ha="center", va="center", zorder=3)


def _line(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    name: str,
    weight: Tensor,
    slope: Tensor,
    side: int,
    scale: float,
) -> None:
    axes.plot([start[0], end[0]], [start[1], end[1]], color="#999999", lw=1, zorder=1)
    across, height = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.16 * side
    _pair(axes, (across, height + 0.06), (across, height - 0.06), ("center", "center"), name, weight, slope, scale)


def _bias(axes: Axes, place: tuple[float, float], name: str, bias: Tensor, slope: Tensor, scale: float) -> None:
    (x, y), gap = place, 0.02
    _pair(axes, (x - gap, y), (x + gap, y), ("right", "left"), name, bias, slope, scale)


def _pair(
    axes: Axes,
    place: tuple[float, float],
    slope_place: tuple[float, float],
    aligned: tuple[str, str],
    name: str,
    value: Tensor,
    slope: Tensor,
    scale: float,
) -> None:
    """Write a parameter's value and the slope of the loss with respect to it."""
    texts = ((place, f"{name} {float(value):+.3f}", FORWARD), (slope_place, f"{float(slope):+.3f}", BACKWARD))
    for (at, text, colour), side in zip(texts, aligned, strict=True):
        axes.text(*at, text, color=colour, fontsize=9 * scale, ha=side, va="center")
