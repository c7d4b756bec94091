"""The loss around a descent: true losses on planes through parameter space, the paths across them, and their pictures.

Shapes: P parameters, K points of a path, G points along a side of a grid, M = G * G points of a grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap
from matplotlib.figure import Figure
from torch import Tensor

from steepest.nets.curvature import Surface
from steepest.observe.figures import SCALED, spaced
from steepest.observe.theme import Theme, percent, plain, save

SIDE, SLICE = 61, 41  # points along a side of the grid: of a surface, of a slice
LARGE, LARGE_SLICE = 100_000, 21  # slices of models with more parameters than this have fewer points
SLICE_SAMPLES, SLICE_WORK = 1024, 2**35  # for a slice, maximum of samples, and of samples x parameters x points
HELD = 2**18  # the most numbers in one tensor when several points are evaluated at once; larger tensors miss the cache
COLUMNS = 2**15  # how many parameters of a whole path are held in double precision at once
SETTLED = 1e-6  # the end counts as the minimum if (end - minimum) / (start - minimum) is at most this value
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
    at = lambda piece: origin_P + u_M[piece] * directions_2P[0] + v_M[piece] * directions_2P[1]  # noqa: E731
    return Grid(u_G, v_G, _in_pieces(surface, at, len(u_M)).reshape(len(v_G), len(u_G)).numpy())


def losses(surface: Surface, theta_KP: Tensor) -> Tensor:
    """True losses (K,) at K points, a bounded number of points at once."""
    return _in_pieces(surface, theta_KP.__getitem__, len(theta_KP))


def _in_pieces(surface: Surface, points: Callable[[slice], Tensor], count: int) -> Float[Tensor, " K"]:
    widest = max(size for shape in surface.shapes for size in shape)
    at_once = max(1, HELD // max(sum(surface.sizes), len(surface.x_ND) * widest))
    # (One tensor allocated in advance: small results between large temporary tensors would fragment the heap.)
    loss_K = torch.empty(count, dtype=torch.float64)
    for start in range(0, count, at_once):
        piece = slice(start, start + at_once)
        loss_K[piece] = surface.losses(points(piece))
    return loss_K


def span(*paths_K: np.ndarray, points: int) -> np.ndarray:
    """Coordinates (G,) that cover these values, with a margin of a fifth on both sides."""
    numbers = np.concatenate([np.ravel(path) for path in paths_K])
    numbers = numbers[np.isfinite(numbers)]
    low, high = float(numbers.min()), float(numbers.max())
    margin = 0.2 * max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-9)
    return np.linspace(low - margin, high + margin, points)


def full_batch_path(surface: Surface, start_P: Tensor, optimizer: torch.optim.Optimizer, updates: int) -> np.ndarray:
    """The path (K + 1, P) of the same optimizer with the gradient of all samples, from the start.

    The path ends early once it has settled: when its last 100 updates move by at most `STILL` of its whole extent.

    Args:
        surface: the loss.
        start_P: the first point; it stays as it is.
        optimizer: holds one parameter, which moves along the path.
        updates: the most updates K.
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
    """A random direction (P,): each row of weights has the length of the network's own row, and biases are 0.

    This makes slices of nets of different scales comparable (Li et al. 2018, "Visualizing the loss landscape").
    """
    random = torch.Generator().manual_seed(seed)
    parts = []
    for parameter in surface.parameters(at_P):
        part = torch.zeros_like(parameter.reshape(len(parameter), -1))
        if parameter.dim() > 1:
            part = torch.randn(part.shape, generator=random, dtype=part.dtype)
            part *= parameter.flatten(1).norm(dim=1, keepdim=True) / part.norm(dim=1, keepdim=True)
        parts.append(part.flatten())
    return torch.cat(parts)


def principal_plane(path: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane through the last of K points (P,) in which the path varies most.

    The principal directions follow from the (K, K) matrix of inner products, so the whole path is never copied.

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
    surface: Surface,
    path_K2: np.ndarray,
    full_K2: np.ndarray,
    minimum_2: np.ndarray | None,
    path: Path,
    theme: Theme,
    more: str = "",
) -> Grid:
    """Draw the true loss of a model with two parameters, the descents on it, and a close-up of their end.

    Args:
        surface: the loss.
        path_K2: the parameters before the first update and after each update.
        full_K2: the path of the same optimizer with the gradient of all samples.
        minimum_2: the closed-form minimum, or None if there is none.
        path: the file to write.
        theme: the theme of the picture.
        more: a sentence to append to the caption.

    Returns:
        The losses of the grid in the whole picture.
    """
    minimum_M2 = np.empty((0, 2)) if minimum_2 is None else minimum_2[None]
    whole = _grid_around(surface, [path_K2, full_K2, minimum_M2], SIDE)
    zoom = _grid_around(surface, [path_K2[-1 - len(path_K2) // 10 :], full_K2[-1:], minimum_M2], SLICE)
    start, end = losses(surface, torch.tensor(path_K2[[0, -1]])).tolist()
    title, settled = f"The training loss {_changed(start, end)}", False
    if minimum_2 is not None:
        lowest = float(losses(surface, torch.tensor(minimum_M2)))
        settled = end - lowest <= SETTLED * max(start - lowest, 0.0)
        title += ", the minimum" if settled else f"; the minimum is {lowest:.4g}"
    grids = [whole] if settled or np.ptp(zoom.u_G) > np.ptp(whole.u_G) / 2 else [whole, zoom]
    if len(full_K2) <= len(path_K2) and np.allclose(path_K2[: len(full_K2)], full_K2, rtol=1e-4, atol=1e-6):
        caption = f"{len(path_K2) - 1:,} updates, each with all samples."
    else:
        caption = (
            f"Orange: {len(path_K2) - 1:,} updates, one batch each. Dashed: the same optimizer with all "
            f"samples, {len(full_K2) - 1:,} updates."
        )
    with theme.active():
        figure = theme.sheet(title, 4.6 if len(grids) > 1 else 5.6, f"{caption} {SCALED}{more}")
        every = figure.subplots(1, len(grids), squeeze=False, width_ratios=[1.5, 1][: len(grids)])[0]
        for number, (axes, grid) in enumerate(zip(every, grids, strict=True)):
            contours(figure, axes, grid, "loss" if number else "loss of the whole training part", theme.height_map())
            axes.plot(*full_K2.T, color=theme.paper, lw=1.6, ls=(0, (3, 2)))
            axes.plot(*(path_K2[-1 - len(path_K2) // 10 :] if number else path_K2).T, color=theme.orange, lw=1.1)
            axes.plot(*path_K2[0], "o", color=theme.ink, mec=theme.paper, ms=7)
            axes.plot(*path_K2[-1], "s", color="none", mec=theme.ink, mew=1.8, ms=12)
            if minimum_2 is not None:
                axes.plot(*minimum_2, "*", color=theme.red, ms=13 if number or len(grids) == 1 else 0, mec=theme.paper)
            axes.set(xlim=(grid.u_G[0], grid.u_G[-1]), ylim=(grid.v_G[0], grid.v_G[-1]), xlabel="W1 (slope a)")
            axes.locator_params(nbins=5 - number)
            axes.xaxis.set_major_formatter(plain)
            axes.yaxis.set_major_formatter(plain)
        every[0].set(title="b1 (constant b)")
        theme.note(every[0], path_K2[0][0], path_K2[0][1], "start", (7, 4))
        theme.note(every[-1], path_K2[-1][0], path_K2[-1][1], "end", (8, -8))
        if len(grids) > 1:
            every[1].set_title("The end" if minimum_2 is None else "The end, and the minimum")
        if minimum_2 is not None:
            theme.note(every[-1], minimum_2[0], minimum_2[1], "minimum", (-8, 8), theme.red)
        save(figure, path)
    return whole


def _changed(start: float, end: float) -> str:
    """Return the end of a sentence about the change of the loss."""
    if not (math.isfinite(start) and math.isfinite(end)):
        return f"went from {start:.4g} to {end:.4g}"
    if f"{start:.4g}" == f"{end:.4g}":
        return f"stayed at {end:.4g}"
    return f"{'fell' if end < start else 'rose'} from {start:.4g} to {end:.4g}"


def _grid_around(surface: Surface, paths_K2: Sequence[np.ndarray], side: int) -> Grid:
    """Compute the losses of a model with two parameters on a grid around these paths."""
    u_G, v_G = (span(*(points_K2[:, axis] for points_K2 in paths_K2), points=side) for axis in (0, 1))
    return plane(surface, torch.zeros(2, dtype=torch.float64), [*torch.eye(2, dtype=torch.float64)], u_G, v_G)


def draw_slices(surface: Surface, path: Sequence[np.ndarray], figures: Path, theme: Theme, more: str = "") -> None:
    """Draw the loss of a model with more than two parameters on two planes, from K snapshots (P,) of its parameters.

    `slice.png` is the plane through the end along two random directions. `trajectory.png` is the plane in which the
    path varies most, with the path. Models of more than `LARGE` parameters have coarser slices, and slices that
    would take too long use fewer samples; the pictures state both numbers. `more` is appended to the captions.
    """
    side = SLICE if len(path[-1]) <= LARGE else LARGE_SLICE
    chosen = spaced(len(surface.x_ND), min(SLICE_SAMPLES, max(32, SLICE_WORK // (side**2 * len(path[-1])))))
    surface = Surface(surface.network, surface.loss, surface.x_ND[chosen], surface.y_NH[chosen])
    start_P, end_P = (torch.tensor(path[k]).double() for k in (0, -1))
    start, end = float(surface.losses(start_P)), float(surface.losses(end_P))
    caption = f"True losses of {len(chosen):,} training samples at {side} x {side} points"

    axis_G = np.linspace(-1, 1, side)
    grid = plane(surface, end_P, [filter_normalised(surface, end_P, seed) for seed in (0, 1)], axis_G, axis_G)
    lower = float((grid.loss_GG < end).mean())
    title = f"Around the end of the descent, {percent(lower)} of a random plane has a lower loss"
    with theme.active():
        figure = theme.sheet(title, 5.4, f"{caption}. The directions are filter-normalised.{more}")
        axes = figure.subplots()
        contours(figure, axes, grid, "loss", theme.height_map())
        axes.plot(0, 0, "s", color=theme.orange, mec=theme.paper, ms=8)
        theme.note(axes, 0, 0, f"end, loss {end:.4g}", (8, 4))
        axes.set(
            xlabel="along a random direction (1: as long as each row of weights)",
            title="Along another random direction",
        )
        save(figure, figures / "slice.png")

    two_2P, path_K2, explained_2 = principal_plane(path)
    u_G, v_G = (span(path_K2[:, axis], points=side) for axis in (0, 1))
    grid = plane(surface, end_P, [*torch.tensor(two_2P)], u_G, v_G)
    title = f"The loss {_changed(start, end)}"
    with theme.active():
        figure = theme.sheet(title, 5.4, f"{caption}. The path has {len(path_K2)} snapshots.{more}")
        axes = figure.subplots()
        contours(figure, axes, grid, "loss on the plane", theme.height_map())
        axes.plot(*path_K2.T, ".-", color=theme.orange, lw=1.4, ms=5)
        axes.plot(*path_K2[0], "o", color=theme.ink, mec=theme.paper, ms=7)
        axes.plot(*path_K2[-1], "s", color=theme.orange, mec=theme.paper, ms=8)
        theme.note(axes, path_K2[0][0], path_K2[0][1], "start", (7, 4))
        theme.note(axes, path_K2[-1][0], path_K2[-1][1], "end", (8, -6))
        axes.set(
            xlabel=f"first principal direction ({percent(explained_2[0])} of the path's variance)",
            title=f"Second principal direction ({percent(explained_2[1])})",
        )
        save(figure, figures / "trajectory.png")


def contours(figure: Figure, axes: Axes, grid: Grid, label: str, heights: str | Colormap = "viridis") -> None:
    """Draw filled contours at logarithmically spaced heights above the lowest loss, and a colour bar."""
    low, high = float(grid.loss_GG.min()), float(grid.loss_GG.max())
    rise = max(high - low, np.finfo(float).tiny)
    levels = low + rise * np.concatenate([[0], np.geomspace(1e-4, 1, 25)])
    if not np.all(np.diff(levels) > 0):  # a flat plane
        levels = low + np.linspace(0, max(rise, 1e-12 * max(abs(low), 1.0)), 3)
    norm = BoundaryNorm(levels, 256)  # the colours of neighbouring levels are equally far apart
    filled = axes.contourf(grid.u_G, grid.v_G, grid.loss_GG, levels=levels, cmap=heights, norm=norm)
    axes.contour(grid.u_G, grid.v_G, grid.loss_GG, levels=levels, colors="white", linewidths=0.4, alpha=0.6)
    axes.grid(visible=False)
    ticks = levels[[0, *range(7, len(levels), 6)]]
    texts = [f"{tick:.4g}" for tick in ticks]
    if len(set(texts)) < len(texts):  # four digits are too few to distinguish the ticks
        label, texts = f"{label} above {low:.4g}", [f"{tick - low:.2g}" for tick in ticks]
    bar = figure.colorbar(filled, ax=axes, label=label, ticks=ticks)
    bar.ax.yaxis.set_major_formatter(ticker.FixedFormatter(texts))
    bar.outline.set_visible(False)
