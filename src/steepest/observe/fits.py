"""Pictures of functions of one input: the fit as it moves over the data, and the pieces that add up to it.

Shapes: K snapshots, P numbers of all parameters, M points along the input's axis, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steepest.nets.curvature import Surface
from steepest.nets.networks import forward
from steepest.observe.figures import BLACK, BLUE, ORANGE, finish, save

POINTS, FRAMES, DOTS = 300, 30, 1500


@dataclass(frozen=True)
class OneInput:
    """A data set of one input and one output, in its own units, and how to get there from the model's.

    Attributes:
        x_N, y_N: samples.
        input_mean, input_scale, mean, scale: x = x_model * input_scale + input_mean, y = y_model * scale + mean.
        names: of the axes.
    """

    x_N: np.ndarray
    y_N: np.ndarray
    input_mean: float
    input_scale: float
    mean: float
    scale: float
    names: tuple[str, str]

    def axis(self) -> np.ndarray:
        """Points (M,) along the input, in its own units."""
        return np.linspace(self.x_N.min(), self.x_N.max(), POINTS)

    def model_axis(self) -> torch.Tensor:
        """The same points (M, 1) as the model sees them."""
        return torch.tensor((self.axis() - self.input_mean) / self.input_scale).unsqueeze(1)


def fitted(surface: Surface, data: OneInput, theta_KP: np.ndarray) -> np.ndarray:
    """The functions (K, M) of these parameters, in the data's units."""
    layers = surface.layers(torch.tensor(theta_KP, dtype=torch.float64))
    with torch.no_grad():
        outputs_KM1 = forward(data.model_axis(), layers, surface.network.activations).a[-1]
    return outputs_KM1.squeeze(-1).numpy() * data.scale + data.mean


def draw_fit(curves_KM: np.ndarray, updates: list[int], data: OneInput, path: Path) -> Figure:
    """The function at the start, on the way and at the end, over the data."""
    figure, axes = _over_data(data)
    shown = spaced(len(curves_KM), 6)
    for number in shown[1:-1]:
        axes.plot(data.axis(), curves_KM[number], color=BLUE, lw=1.0, alpha=0.45)
    axes.plot(data.axis(), curves_KM[0], color=BLUE, lw=1.6, ls="--", label=f"after {updates[0]} updates")
    axes.plot(data.axis(), curves_KM[-1], color=ORANGE, lw=2.2, label=f"after {updates[-1]} updates")
    axes.set(title="The function on its way to the data (thin: in between)")
    finish(axes)
    return save(figure, path)


def animate_fit(curves_KM: np.ndarray, updates: list[int], data: OneInput, path: Path) -> None:
    """The same as a moving picture."""
    figure, axes = _over_data(data, size=(6.4, 4.2))
    (line,) = axes.plot(data.axis(), curves_KM[0], color=ORANGE, lw=2.2)
    both = np.concatenate([curves_KM.ravel(), data.y_N])
    low, high = np.quantile(both, [0.001, 0.999])
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.grid(alpha=0.25)

    def show(number: int) -> list[Line2D]:
        line.set_ydata(curves_KM[number])
        axes.set_title(f"after {updates[number]} updates")
        return [line]

    frames = [*spaced(len(curves_KM), FRAMES), *[len(curves_KM) - 1] * 6]  # a rest at the end
    path.parent.mkdir(parents=True, exist_ok=True)
    FuncAnimation(figure, show, frames=frames).save(path, writer=PillowWriter(fps=8), dpi=70)


def draw_pieces(surface: Surface, data: OneInput, theta_P: np.ndarray, path: Path) -> Figure:
    """What every hidden unit adds, and their sum: c_h sigma(w_h x + b_h) each, over the data."""
    (W1_H1, b1_H), (W2_1H, b2_1) = surface.layers(torch.tensor(theta_P, dtype=torch.float64))
    sigma = surface.network.activations[0]
    pieces_MH = sigma(data.model_axis() @ W1_H1.mT + b1_H) * W2_1H
    figure = Figure(figsize=(9, 6.2), layout="constrained")
    above, beneath = figure.subplots(2, 1, sharex=True, height_ratios=[1.2, 1])
    dots = spaced(len(data.x_N), DOTS)
    above.plot(data.x_N[dots], data.y_N[dots], ".", color="#999999", ms=2.5, label="training data")
    total_M = (pieces_MH.sum(1) + b2_1).numpy() * data.scale + data.mean
    above.plot(data.axis(), total_M, color=ORANGE, lw=2.2, label="the sum: the net")
    above.set(ylabel=data.names[1], title=f"{len(b1_H)} pieces and their sum")
    for number, piece_M in enumerate(pieces_MH.T.numpy()):
        beneath.plot(
            data.axis(), piece_M * data.scale, lw=1.0, color=BLUE, alpha=0.6, label=None if number else "one each"
        )
    constant = float(b2_1) * data.scale + data.mean
    beneath.axhline(0, color=BLACK, lw=0.6)
    beneath.set(xlabel=data.names[0], ylabel="pieces", title=f"each unit's piece (and a constant, {constant:.4g})")
    finish(above)
    finish(beneath)
    return save(figure, path)


def spaced(count: int, most: int) -> list[int]:
    """At most so many of `count` numbers, evenly spaced, the first and the last among them."""
    return sorted({round(number) for number in np.linspace(0, count - 1, min(most, count))})


def _over_data(data: OneInput, size: tuple[float, float] = (9, 5)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    dots = spaced(len(data.x_N), DOTS)
    axes.plot(data.x_N[dots], data.y_N[dots], ".", color="#999999", ms=2.5, label="training data")
    axes.set(xlabel=data.names[0], ylabel=data.names[1])
    return figure, axes
