"""A loss surface in three dimensions, for TensorBoard's MESH tab: vertices, colours and triangles.

Shapes: G coordinates of a direction of the plane, V vertices, F triangles, S strokes.
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.textpath import TextPath

from steepest.observe.landscape import Grid


def surface_mesh(grid: Grid, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a surface in three dimensions with its axes: vertices (V, 3), colours (V, 3) and triangles (F, 3).

    Heights are logarithms of losses. Each axis is scaled to 0..1 and labelled with the values at its ends.
    """
    v_GG, u_GG = np.meshgrid(grid.v_G, grid.u_G, indexing="ij")
    heights = np.log(np.maximum(grid.loss_GG, np.finfo(float).tiny))
    sides = [(a - a.min()) / max(a.max() - a.min(), np.finfo(float).tiny) for a in (u_GG, v_GG, heights)]
    vertices = np.stack([side.ravel() for side in sides], axis=1)
    colours = (255 * colormaps["viridis"](vertices[:, 2])[:, :3]).astype(np.uint8)
    corner_GG = np.arange(u_GG.size).reshape(u_GG.shape)
    here, right, below, across = (
        corner_GG[a, b].ravel() for a in (slice(-1), slice(1, None)) for b in (slice(-1), slice(1, None))
    )
    faces = np.concatenate([np.stack([here, right, below], 1), np.stack([right, across, below], 1)])
    ribbon_V3, ribbon_F3 = _ribbons(_axes(grid, names))
    return (
        np.concatenate([vertices, ribbon_V3]).astype(np.float32),
        np.concatenate([colours, np.full(ribbon_V3.shape, 60, np.uint8)]),
        np.concatenate([faces, ribbon_F3 + len(vertices)]).astype(np.int32),
    )


def _axes(grid: Grid, names: tuple[str, str]) -> np.ndarray:
    """Strokes (S, 2, 3) of three axes around the unit cube: lines, names and the values at both ends."""
    x, y, z = np.eye(3)
    corner, other = np.array([-0.05, -0.05, 0.0]), np.array([-0.05, 1.05, 0.0])
    # For each axis: name, values, start, direction, the horizontal and vertical direction of its letters, their offset.
    axes = (
        (names[0], grid.u_G, corner, x, x, y, (-0.5, -1.0)),
        (names[1], grid.v_G, corner, y, -y, x, (-0.5, -1.0)),
        ("loss", np.sort(grid.loss_GG, axis=None), other, z, -y, z, (-1.0, 0.0)),
    )
    strokes = [np.array([[start, start + along] for _, _, start, along, *_ in axes])]
    for name, values, start, along, reading, up, place in axes:
        for where, text in ((0.08, f"{values[0]:.3g}"), (0.5, name), (0.92, f"{values[-1]:.3g}")):
            strokes.append(start + where * along + _letters(text, place) @ np.stack([reading, up]))
    return np.concatenate(strokes)


def _letters(text: str, place: tuple[float, float]) -> np.ndarray:
    """Return the strokes (S, 2, 2) of the letters. `place` moves them by multiples of their width and of a line."""
    outlines = [np.asarray(outline) for outline in TextPath((0, 0), text, size=0.08).to_polygons(closed_only=False)]
    width = max(outline[:, 0].max() for outline in outlines) + 0.03
    moved = np.array([place[0] * width, place[1] * 0.09])
    return np.concatenate([np.stack([o[:-1], o[1:]], 1) for o in outlines]) + moved


def _ribbons(strokes_S23: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn each stroke into a thin three-sided bar: vertices (V, 3) and triangles (F, 3)."""
    across_33 = 0.0025 * np.array([[1.0, 0.3, 0.1], [-0.4, 1.0, -0.3], [-0.2, -0.5, 1.0]])
    corner_S23 = strokes_S23[:, :, None, :] + across_33  # (S, 2, 3 sides, 3)
    side = np.arange(3)
    a, b = side, (side + 1) % 3
    bar_F3 = np.concatenate([np.stack([a, b, a + 3], 1), np.stack([b, b + 3, a + 3], 1)])
    faces = (6 * np.arange(len(strokes_S23))[:, None, None] + bar_F3).reshape(-1, 3)
    return corner_S23.reshape(-1, 3), faces
