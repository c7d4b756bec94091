"""The loss around a descent: true losses on planes through parameter space, and the ways across them.

Shapes: P numbers of all parameters, K points of a path, G points along a side of a grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from torch import Tensor

from steepest.nets.curvature import Surface
from steepest.observe.figures import BLACK, BLUE, ORANGE, RED, finish, save

HELD = 2**22  # numbers of a layer's outputs held at once


@dataclass(frozen=True)
class Grid:
    """Losses on a plane.

    Attributes:
        u_G, v_G: coordinates along its two directions.
        loss_GG: the loss at (v, u).
    """

    u_G: np.ndarray
    v_G: np.ndarray
    loss_GG: np.ndarray


def losses(surface: Surface, theta_KP: Tensor) -> Tensor:
    """The loss at each of K points, as many at a time as are cheap to hold."""
    widest = max(size for shape in surface.shapes for size in shape)
    at_once = max(1, HELD // (len(surface.x_ND) * widest))
    return torch.cat([surface.losses(part) for part in theta_KP.split(at_once)])


def plane(
    surface: Surface, origin_P: Tensor, directions_2P: Sequence[Tensor], u_G: np.ndarray, v_G: np.ndarray
) -> Grid:
    """True losses at origin + u times the first direction + v times the second."""
    v_M, u_M = (torch.tensor(a.ravel()) for a in np.meshgrid(v_G, u_G, indexing="ij"))
    theta_MP = origin_P + u_M[:, None] * directions_2P[0] + v_M[:, None] * directions_2P[1]
    return Grid(u_G, v_G, losses(surface, theta_MP).reshape(len(v_G), len(u_G)).numpy())


def span(*paths_K: np.ndarray, points: int) -> np.ndarray:
    """Coordinates (G,) that hold all of these with a margin of a fifth on both sides."""
    numbers = np.concatenate([np.ravel(path) for path in paths_K])
    numbers = numbers[np.isfinite(numbers)]
    low, high = float(numbers.min()), float(numbers.max())
    margin = 0.2 * max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-9)
    return np.linspace(low - margin, high + margin, points)


def full_batch_path(surface: Surface, start_P: Tensor, optimizer: torch.optim.Optimizer, updates: int) -> np.ndarray:
    """Where the same optimizer goes with the gradient of all samples: (K + 1, P), from the start on.

    Args:
        surface: the loss.
        start_P: not changed.
        optimizer: over one parameter, which is moved.
        updates: K.
    """
    (theta_P,) = optimizer.param_groups[0]["params"]
    with torch.no_grad():
        theta_P.copy_(start_P)
        path = [theta_P.numpy().copy()]
        for _ in range(updates):
            theta_P.grad = surface.gradient(theta_P)
            optimizer.step()
            path.append(theta_P.numpy().copy())
    return np.stack(path)


def filter_normalised(surface: Surface, at_P: Tensor, seed: int) -> Tensor:
    """A random direction (P,) whose every row of weights is as long as the parameters' own; 0 for biases.

    So slices of nets of different scales can be compared (Li et al. 2018, "Visualizing the loss landscape").
    """
    random = torch.Generator().manual_seed(seed)
    parts = []
    for W, b in surface.layers(at_P):
        direction = torch.randn(W.shape, generator=random, dtype=W.dtype)
        parts += [direction * (W.norm(dim=1, keepdim=True) / direction.norm(dim=1, keepdim=True)), torch.zeros_like(b)]
    return torch.cat([part.flatten() for part in parts])


def principal_plane(path_KP: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane through a path's end in which it varies most.

    Returns:
        Two directions (2, P); the path's coordinates in them (K, 2), the end at 0; the share of the path's variance
        about its mean that each explains (2,).
    """
    steps_KP = path_KP - path_KP[-1]
    _, values, directions = np.linalg.svd(path_KP - path_KP.mean(0), full_matrices=False)
    explained = values**2 / max((values**2).sum(), np.finfo(float).tiny)
    two = np.zeros((2, path_KP.shape[1]))
    two[: len(directions[:2])] = directions[:2]
    return two, steps_KP @ two.T, np.resize(np.append(explained, 0.0)[:2], 2)


def draw_surface(
    grid: Grid,
    path_K2: np.ndarray,
    full_K2: np.ndarray,
    minimum: np.ndarray | None,
    names: tuple[str, str],
    path: Path,
) -> Figure:
    """Contours of the true loss of a model with two parameters, every update's way across it, and its minimum."""
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    axes = figure.subplots()
    contours(figure, axes, grid, "loss of the whole training part")
    axes.plot(*path_K2.T, "-", color=ORANGE, lw=1.0, label=f"every update, its own batch ({len(path_K2) - 1} updates)")
    axes.plot(*path_K2.T, ".", color=ORANGE, ms=2.5)
    axes.plot(*full_K2.T, "--", color=BLUE, lw=1.8, label=f"all samples at each update ({len(full_K2) - 1} updates)")
    axes.plot(*path_K2[0], "o", color=BLACK, ms=7, label="start")
    axes.plot(*path_K2[-1], "s", color=BLACK, ms=6, label="end")
    if minimum is not None:
        axes.plot(*minimum, "*", color=RED, ms=16, mec="white", label="minimum (closed form)")
    axes.set(xlabel=names[0], ylabel=names[1], title="The loss and the way down (parameters of standardised prices)")
    axes.set(xlim=(grid.u_G[0], grid.u_G[-1]), ylim=(grid.v_G[0], grid.v_G[-1]))
    finish(axes, solid=True)
    return save(figure, path)


def draw_slice(grid: Grid, loss: float, path: Path) -> Figure:
    """Contours of the loss around where the descent ended, along two random directions."""
    figure = Figure(figsize=(7.4, 6.2), layout="constrained")
    axes = figure.subplots()
    contours(figure, axes, grid, "loss of training samples")
    axes.plot(0, 0, "s", color=RED, ms=7, label=f"where the descent ended, loss {loss:.4g}")
    axes.set(
        xlabel="along a random direction (1 = each row of weights' own length)",
        ylabel="along another",
        title="A slice of the loss around the end (filter-normalised)",
    )
    finish(axes, solid=True)
    return save(figure, path)


def draw_trajectory(grid: Grid, path_K2: np.ndarray, losses_K: np.ndarray, explained: np.ndarray, path: Path) -> Figure:
    """The way of the parameters in the plane in which it varies most, true losses on plane and path."""
    figure = Figure(figsize=(8, 6.2), layout="constrained")
    axes = figure.subplots()
    contours(figure, axes, grid, "loss of training samples, on the plane")
    axes.plot(*path_K2.T, "-", color=ORANGE, lw=1.4)
    axes.plot(*path_K2.T, ".", color=ORANGE, ms=5, label=f"the way, {len(path_K2)} looks at it")
    for point, mark, name in ((0, "o", "start"), (-1, "s", "end")):
        label = f"{name}, true loss {losses_K[point]:.4g}"
        axes.plot(*path_K2[point], mark, color=BLACK, ms=7, label=label)
    axes.set(
        xlabel=f"first principal direction ({explained[0]:.0%} of the way's variance)",
        ylabel=f"second principal direction ({explained[1]:.0%})",
        title="The way of all parameters, in the plane that shows most of it",
    )
    finish(axes, solid=True)
    return save(figure, path)


def mesh(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A surface to turn around: vertices (V, 3), colours (V, 3) and triangles (F, 3); heights are logarithms of losses.

    Each axis is scaled to 0..1.
    """
    from matplotlib import colormaps

    v_GG, u_GG = np.meshgrid(grid.v_G, grid.u_G, indexing="ij")
    heights = np.log(np.maximum(grid.loss_GG, np.finfo(float).tiny))
    sides = [(a - a.min()) / max(a.max() - a.min(), np.finfo(float).tiny) for a in (u_GG, v_GG, heights)]
    vertices = np.stack([side.ravel() for side in sides], axis=1)
    colours = (255 * colormaps["viridis"](vertices[:, 2])[:, :3]).astype(np.uint8)
    return vertices.astype(np.float32), colours, np.array(list(_triangles(*grid.loss_GG.shape)), np.int32)


def _triangles(rows: int, columns: int) -> Iterator[tuple[int, int, int]]:
    for row in range(rows - 1):
        for column in range(columns - 1):
            corner = row * columns + column
            yield corner, corner + 1, corner + columns
            yield corner + 1, corner + columns + 1, corner + columns


def contours(figure: Figure, axes: Axes, grid: Grid, label: str) -> None:
    """Filled contours at logarithmic distances above the least loss of the grid."""
    low, high = float(grid.loss_GG.min()), float(grid.loss_GG.max())
    rise = max(high - low, np.finfo(float).tiny)
    levels = low + rise * np.concatenate([[0], np.geomspace(1e-4, 1, 25)])
    if not np.all(np.diff(levels) > 0):  # a flat plane
        levels = low + np.linspace(0, max(rise, 1e-12 * max(abs(low), 1.0)), 3)
    norm = _stretched(low, rise)
    filled = axes.contourf(grid.u_G, grid.v_G, grid.loss_GG, levels=levels, cmap="viridis", norm=norm)
    axes.contour(grid.u_G, grid.v_G, grid.loss_GG, levels=levels, colors="white", linewidths=0.4, alpha=0.6)
    bar = figure.colorbar(filled, ax=axes, label=label, ticks=levels[[0, *range(7, len(levels), 6)]])
    bar.ax.yaxis.set_major_formatter(ticker.FormatStrFormatter("%.4g"))


def _stretched(low: float, rise: float) -> FuncNorm:
    floor = 1e-4
    scale = -np.log(floor)

    def forward(value: np.ndarray) -> np.ndarray:
        return 1 + np.log(np.clip((np.asarray(value) - low) / rise, floor, None)) / scale

    def inverse(share: np.ndarray) -> np.ndarray:
        return low + rise * np.exp((np.asarray(share) - 1) * scale)

    return FuncNorm((forward, inverse), vmin=low, vmax=low + rise)
