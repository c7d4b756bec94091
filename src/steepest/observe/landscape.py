"""The loss around a descent: true losses on planes through parameter space, and the paths across them.

Shapes: P parameters, K points of a path, G points along a side of a grid, M = G * G points of a grid.
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

HELD = 2**18  # most numbers of one tensor while several points are evaluated at once; larger pieces miss the cache
COLUMNS = 2**15  # parameters of a whole path held in double precision at once
STILL = 1e-5  # a path that moves less than this share of its extent has settled: a picture cannot show more


@dataclass(frozen=True)
class Grid:
    """Losses on a plane.

    Attributes:
        u_G, v_G: coordinates along the two directions of the plane.
        loss_GG: the loss at (v, u).
    """

    u_G: np.ndarray
    v_G: np.ndarray
    loss_GG: np.ndarray


def plane(
    surface: Surface, origin_P: Tensor, directions_2P: Sequence[Tensor], u_G: np.ndarray, v_G: np.ndarray
) -> Grid:
    """True losses at origin + u times the first direction + v times the second, a bounded number of points at once."""
    v_M, u_M = (torch.tensor(a.ravel())[:, None] for a in np.meshgrid(v_G, u_G, indexing="ij"))
    pieces = zip(*(a_M.split(_at_once(surface)) for a_M in (u_M, v_M)), strict=True)
    found = [surface.losses(origin_P + u * directions_2P[0] + v * directions_2P[1]) for u, v in pieces]
    return Grid(u_G, v_G, torch.cat(found).reshape(len(v_G), len(u_G)).numpy())


def losses(surface: Surface, theta_KP: Tensor) -> Tensor:
    """True losses (K,) at K points, a bounded number of points at once."""
    return torch.cat([surface.losses(piece) for piece in theta_KP.split(_at_once(surface))])


def _at_once(surface: Surface) -> int:
    widest = max(size for shape in surface.shapes for size in shape)
    return max(1, HELD // max(sum(surface.sizes), len(surface.x_ND) * widest))


def span(*paths_K: np.ndarray, points: int) -> np.ndarray:
    """Coordinates (G,) from below the least to above the greatest of these, with a margin of a fifth on both sides."""
    numbers = np.concatenate([np.ravel(path) for path in paths_K])
    numbers = numbers[np.isfinite(numbers)]
    low, high = float(numbers.min()), float(numbers.max())
    margin = 0.2 * max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-9)
    return np.linspace(low - margin, high + margin, points)


def full_batch_path(surface: Surface, start_P: Tensor, optimizer: torch.optim.Optimizer, updates: int) -> np.ndarray:
    """The path (K + 1, P) of the same optimizer with the gradient of all samples, from the start.

    The path ends early once it has settled: when its last 100 updates stay within `STILL` of its whole extent.

    Args:
        surface: the loss.
        start_P: the first point; it is not changed.
        optimizer: holds one parameter, which is moved.
        updates: most updates K.
    """
    (theta_P,) = optimizer.param_groups[0]["params"]
    with torch.no_grad():
        theta_P.copy_(start_P)
        path = [theta_P.numpy().copy()]
        for update in range(1, updates + 1):
            theta_P.grad = surface.gradient(theta_P)
            optimizer.step()
            path.append(theta_P.numpy().copy())
            if update % 100 == 0 and (np.ptp(path[-100:], axis=0) <= STILL * np.ptp(path, axis=0)).all():
                break
    return np.stack(path)


def filter_normalised(surface: Surface, at_P: Tensor, seed: int) -> Tensor:
    """A random direction (P,): each row of weights has the length of the net's own row, and biases are 0.

    This makes slices of nets of different scales comparable (Li et al. 2018, "Visualizing the loss landscape").
    """
    random = torch.Generator().manual_seed(seed)
    parts = []
    for W, b in surface.layers(at_P):
        direction = torch.randn(W.shape, generator=random, dtype=W.dtype)
        parts += [direction * (W.norm(dim=1, keepdim=True) / direction.norm(dim=1, keepdim=True)), torch.zeros_like(b)]
    return torch.cat([part.flatten() for part in parts])


def principal_plane(path: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane through the last of K points (P,) in which the path varies most.

    The principal directions follow from the (K, K) matrix of inner products, so the points are never copied as a whole.

    Returns:
        Two directions (2, P); the coordinates (K, 2) of the path in them, with the last point at 0; the share of the
        path's variance about its mean that each direction explains (2,).
    """
    gram_KK = torch.stack([piece @ piece.mT for piece in _centred(path)]).sum(0)
    values_K, vectors_KK = torch.linalg.eigh(gram_KK)  # ascending
    share_2 = (values_K.clamp(min=0) / values_K.sum().clamp(min=torch.finfo(values_K.dtype).tiny))[-2:].flip(0)
    two_P2, _ = torch.linalg.qr(torch.cat([piece.mT @ vectors_KK[:, -2:].flip(1) for piece in _centred(path)]))
    pieces = zip(_centred(path), two_P2.split(COLUMNS), strict=True)
    path_K2 = torch.stack([piece @ part_C2 for piece, part_C2 in pieces]).sum(0)
    return two_P2.mT.numpy(), (path_K2 - path_K2[-1]).numpy(), share_2.numpy()


def _centred(path: Sequence[np.ndarray]) -> Iterator[Tensor]:
    """The path minus its mean, in double precision, `COLUMNS` parameters at a time."""
    for start in range(0, len(path[0]), COLUMNS):
        piece = torch.from_numpy(np.stack([theta_P[start : start + COLUMNS] for theta_P in path])).double()
        yield piece - piece.mean(0)


def draw_surface(
    grid: Grid,
    path_K2: np.ndarray,
    full_K2: np.ndarray,
    minimum: np.ndarray | None,
    names: tuple[str, str],
    path: Path,
) -> Figure:
    """Contours of the true loss of a model with two parameters, the path of its updates, and its minimum."""
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
    axes.set(xlabel=names[0], ylabel=names[1], title="The loss and the path of descent (prices are standardised)")
    axes.set(xlim=(grid.u_G[0], grid.u_G[-1]), ylim=(grid.v_G[0], grid.v_G[-1]))
    finish(axes, solid=True)
    return save(figure, path)


def draw_slice(grid: Grid, loss: float, samples: int, path: Path) -> Figure:
    """Contours of the loss around the end of the descent, along two random directions."""
    figure = Figure(figsize=(7.4, 6.2), layout="constrained")
    axes = figure.subplots()
    contours(figure, axes, grid, f"loss of {samples} training samples")
    axes.plot(0, 0, "s", color=RED, ms=7, label=f"end of the descent, loss {loss:.4g}")
    axes.set(
        xlabel="along a random direction (1: as long as each row of weights)",
        ylabel="along another random direction",
        title=f"The loss around the end (filter-normalised, {len(grid.v_G)} x {len(grid.u_G)} points)",
    )
    finish(axes, solid=True)
    return save(figure, path)


def draw_trajectory(
    grid: Grid, path_K2: np.ndarray, ends: Sequence[float], explained: np.ndarray, samples: int, path: Path
) -> Figure:
    """The path of the parameters in the plane where it varies most, with true losses on the plane and at both ends."""
    figure = Figure(figsize=(8, 6.2), layout="constrained")
    axes = figure.subplots()
    contours(figure, axes, grid, f"loss of {samples} training samples, on the plane")
    axes.plot(*path_K2.T, "-", color=ORANGE, lw=1.4)
    axes.plot(*path_K2.T, ".", color=ORANGE, ms=5, label=f"path, {len(path_K2)} snapshots")
    for point, mark, name in ((0, "o", "start"), (-1, "s", "end")):
        axes.plot(*path_K2[point], mark, color=BLACK, ms=7, label=f"{name}, true loss {ends[point]:.4g}")
    axes.set(
        xlabel=f"first principal direction ({explained[0]:.0%} of the path's variance)",
        ylabel=f"second principal direction ({explained[1]:.0%})",
        title=f"The path of all parameters in its principal plane ({len(grid.v_G)} x {len(grid.u_G)} points)",
    )
    finish(axes, solid=True)
    return save(figure, path)


def mesh(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A surface in three dimensions: vertices (V, 3), colours (V, 3) and triangles (F, 3).

    Heights are logarithms of losses. Each axis is scaled to 0..1.
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
    """Fill contours at logarithmically spaced heights above the least loss of the grid."""
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
