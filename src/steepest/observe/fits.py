"""Pictures of functions of one input: the fit at several updates, over the data, and the hidden units that sum to it.

Shapes: K snapshots, P parameters, M points along the input's axis, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from steepest.data.calendar import now_and_next
from steepest.data.windows import Windows
from steepest.nets.curvature import Surface
from steepest.nets.functional import layers_of, outputs_at
from steepest.nets.networks import MLP
from steepest.observe.figures import spaced
from steepest.observe.theme import Theme, lay_out, plain, save

POINTS, DOTS = 300, 1500  # number of points along the input's axis, and maximum number of samples in a picture
FRAMES, FRAME_MS, LAST_FRAME_MS = 30, 120, 840


@dataclass(frozen=True)
class OneInput:
    """Samples of one input and one output, in the data's units.

    Attributes:
        x_N, y_N: the samples.
        x_M: points along the input at which the function is drawn.
        input_M1: the same points in the model's units.
        mean, scale: y = y_model * scale + mean.
        names: the labels of the two axes.
    """

    x_N: np.ndarray
    y_N: np.ndarray
    x_M: np.ndarray
    input_M1: torch.Tensor
    mean: float
    scale: float
    names: tuple[str, str]


def one_input(windows: Windows, x_ND: torch.Tensor, y_NH: torch.Tensor) -> OneInput | None:
    """Return the samples of a function of one input, or None if one plot cannot show the function."""
    plain = windows.transform == "level" and not windows.relative and not windows.classes
    if not plain or windows.inputs != 1 or windows.horizon != 1 or len(windows.names) > 1:
        return None
    mean, scale = float(windows.mean_S[0]), float(windows.scale_S[0])
    input_mean, input_scale = float(windows.input_mean_SF[0, 0]), float(windows.input_scale_SF[0, 0])
    x_N, y_N = (model_N.double().numpy() for model_N in (x_ND[:, 0], y_NH[:, 0]))
    x_N, y_N = x_N * input_scale + input_mean, y_N * scale + mean
    x_M = np.linspace(x_N.min(), x_N.max(), POINTS)
    input_M1 = torch.tensor((x_M - input_mean) / input_scale).unsqueeze(1)
    names = (windows.input_names[0], "target")
    if windows.ordered:
        now, after = now_and_next(windows.unit)
        names = (f"price {now}", f"price {after}")
    return OneInput(x_N, y_N, x_M, input_M1, mean, scale, names)


def fitted(surface: Surface, data: OneInput, snapshots: Sequence[np.ndarray]) -> np.ndarray:
    """The function (K, M) at each of K snapshots (P,), in the data's units."""
    curves = []
    for theta_P in snapshots:  # one at a time: all layers of all snapshots may not fit into memory
        parameters = surface.parameters(torch.tensor(theta_P, dtype=torch.float64))
        outputs_MO = outputs_at(surface.network, parameters, data.input_M1)
        curves.append(outputs_MO[:, :1])  # of quantiles, the median
    return torch.cat(curves, dim=1).mT.numpy() * data.scale + data.mean


def draw_fit(curves_KM: np.ndarray, updates: list[int], data: OneInput, epoch: str, path: Path, theme: Theme) -> None:
    """Draw the function over the data: at the start, at some updates in between, and after an epoch.

    `epoch` describes this epoch in the caption.
    """
    first, last = (_error(curve_M, data) for curve_M in (curves_KM[0], curves_KM[-1]))
    title = f"The root mean square error on the training data changed from {first:.4g} to {last:.4g}"
    with theme.active():
        figure = theme.sheet(title, 4.6, f"Grey: training data. Orange: {epoch}. Thin lines: in between.")
        axes = figure.subplots()
        _plot_data(axes, data, theme)
        shown = spaced(len(curves_KM), 6)
        for number in shown[1:-1]:
            axes.plot(data.x_M, curves_KM[number], color=theme.blue, lw=0.8, alpha=0.6)
        for number, colour in ((0, theme.blue), (-1, theme.orange)):
            axes.plot(data.x_M, curves_KM[number], color=colour, lw=2.2)
            theme.label(axes, data.x_M[-1], curves_KM[number][-1], f"after {updates[number]:,}\nupdates", colour)
        axes.margins(x=0.01)
        save(figure, path)


def _error(curve_M: np.ndarray, data: OneInput) -> float:
    """The root mean square error of a function at the samples, read off its curve."""
    return float(np.sqrt(np.mean((np.interp(data.x_N, data.x_M, curve_M) - data.y_N) ** 2)))


def animate_fit(curves_KM: np.ndarray, updates: list[int], data: OneInput, path: Path, theme: Theme) -> None:
    """The same as a GIF. The axes are drawn once, and each frame redraws only the curve and the title."""
    with theme.active():
        _animate_fit(curves_KM, updates, data, path, theme)


def _animate_fit(curves_KM: np.ndarray, updates: list[int], data: OneInput, path: Path, theme: Theme) -> None:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    _plot_data(axes, data, theme)
    (line,) = axes.plot(data.x_M, curves_KM[0], color=theme.orange, lw=2.2, animated=True)
    title = axes.set_title(_after(updates[0], data), animated=True)
    both = np.concatenate([curves_KM.ravel(), data.y_N])
    low, high = np.quantile(both, [0.001, 0.999])
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    canvas = lay_out(figure, dpi=70)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    frames: list[Image.Image] = []
    for number in spaced(len(curves_KM), FRAMES):
        canvas.restore_region(background)
        line.set_ydata(curves_KM[number])
        title.set_text(_after(updates[number], data))
        axes.draw_artist(line)
        axes.draw_artist(title)
        frame = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        frames.append(frame.quantize(64, Image.Quantize.FASTOCTREE))
    path.parent.mkdir(parents=True, exist_ok=True)
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def draw_pieces(surface: Surface, data: OneInput, theta_P: np.ndarray, epoch: str, path: Path, theme: Theme) -> None:
    """Draw the contribution c_h sigma(w_h x + b_h) of each hidden unit, and their sum, over the data.

    `epoch` describes the epoch of the parameters in the caption.
    """
    assert isinstance(surface.network, MLP), "other networks have no hidden units to show"
    (W1_H1, b1_H), (W2_1H, b2_1) = layers_of(surface.parameters(torch.tensor(theta_P, dtype=torch.float64)))
    sigma = surface.network.activations[0]
    pieces_MH = (sigma(data.input_M1 @ W1_H1.mT + b1_H) * W2_1H).numpy() * data.scale
    constant = float(b2_1) * data.scale + data.mean
    share_H = np.sort(np.ptp(pieces_MH, axis=0))[::-1].cumsum()
    enough = int(np.searchsorted(share_H, 0.9 * share_H[-1])) + 1
    title = f"{enough} of {len(share_H)} hidden units have 90 % of the sum of all units' ranges"
    with theme.active():
        caption = f"Grey: training data. The net is the sum of the units and the constant {constant:.4g}, at {epoch}."
        figure = theme.sheet(title, 5.8, caption)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.2, 1])
        _plot_data(above, data, theme)
        total_M = pieces_MH.sum(1) + constant
        above.plot(data.x_M, total_M, color=theme.orange, lw=2.2)
        theme.label(above, data.x_M[-1], total_M[-1], "the net", theme.orange)
        above.set(xlabel=None)
        below.axhline(0, color=theme.muted, lw=0.8)
        below.plot(data.x_M, pieces_MH, color=theme.blue, lw=1.0, alpha=0.7)
        below.set(
            xlabel=data.names[0], title=f"Contribution of each of the {len(share_H)} hidden units, in the same unit"
        )
        below.yaxis.set_major_formatter(plain)
        above.margins(x=0.01)
        save(figure, path)


def _plot_data(axes: Axes, data: OneInput, theme: Theme) -> None:
    dots = spaced(len(data.x_N), DOTS)
    axes.plot(data.x_N[dots], data.y_N[dots], ".", color=theme.muted, ms=2.5, alpha=0.6, mew=0)
    axes.set(xlabel=data.names[0], title=data.names[1])
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)


def _after(updates: int, data: OneInput) -> str:
    return f"{data.names[1]}, after {updates:,} updates"
