"""The inputs and outputs of the lesson functions, one panel for each kind.

Shapes: N samples, D inputs, H outputs, B points of a board's side.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes

from steepest.course.parts.go import around, captures, random_board
from steepest.course.runs import Run
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish


def chances(run: Run, x_ND: torch.Tensor) -> np.ndarray:
    """The probability of class 1 (N,), by the net."""
    with torch.no_grad():
        return run.module()(x_ND).softmax(1)[:, 1].numpy()


def moves(run: Run, all_boards: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each board's empty points (N, 2), and the probability that a stone there captures (N,), by the net."""
    points = [np.argwhere(board_BB == 0) for board_BB in all_boards]
    seen = [around(board, *point) for board, some in zip(all_boards, points, strict=True) for point in some]
    chance_N = chances(run, run.scaled(np.array(seen, dtype=float)))
    return list(zip(points, np.split(chance_N, np.cumsum([*map(len, points)])[:-1]), strict=True))


def boards(count: int, side: int, seed: int) -> list[np.ndarray]:
    """Random boards (B, B) of Go on which a stone can capture."""
    random, found = np.random.default_rng(seed), list[np.ndarray]()
    while len(found) < count:
        if captures(board_BB := random_board(random, side)).any():
            found.append(board_BB)
    return found


def draw_sounds(axes: Axes, run: Run) -> None:
    """Draw a sound of each class, with the probability of its vowel."""
    x_ND, y_N1 = run.samples("test")
    for kind, vowel, colour in ((0, "i", BLUE), (1, "a", ORANGE)):
        x_D = x_ND[y_N1[:, 0] == kind][0]
        chance = float(chances(run, x_D[None])[0])
        answer = f"{vowel}: the net says {'a' if chance > 0.5 else 'i'}, {max(chance, 1 - chance):.0%}"
        axes.plot(x_D - 6 * kind, color=colour, label=answer)
    axes.set(title="A sound to a class: which vowel?", xlabel="values, 8000 in a second", yticks=[], ylim=(-10, 8))
    finish(axes)


def draw_shapes(axes: Axes, run: Run, side: int) -> None:
    """Draw a picture of each class, with the net's answer."""
    x_ND, y_N1 = run.samples("test")
    shown, answers = [], []
    for kind in (0, 1):
        x_D = x_ND[y_N1[:, 0] == kind][0]
        chance = float(chances(run, x_D[None])[0])
        windows = run.windows
        shown.append((x_D * windows.input_scale_SF[0] + windows.input_mean_SF[0]).view(side, side))
        answer = f"the net says {'cross' if chance > 0.5 else 'disc'}, {max(chance, 1 - chance):.0%}"
        answers.append(f"{('disc', 'cross')[kind]}:\n{answer}")
    axes.imshow(np.hstack([shown[0], np.full((side, 1), np.nan), shown[1]]), cmap="Blues")
    axes.set_xticks([side / 2 - 0.5, side * 1.5 + 0.5], answers)
    axes.set(title="A picture to a class: disc or cross?", yticks=[])


def draw_board(axes: Axes, run: Run, board_BB: np.ndarray) -> None:
    """Draw a board with our stones in black, the probabilities of its empty points, and a star where stones capture."""
    ((point_N2, chance_N),) = moves(run, [board_BB])
    for colour, face in ((1, BLACK), (-1, "white")):
        row_N, column_N = np.nonzero(board_BB == colour)
        axes.plot(column_N, row_N, "o", ms=24, mfc=face, mec=BLACK)
    for (row, column), chance in zip(point_N2, chance_N, strict=True):
        star = "*" if captures(board_BB)[row, column] else ""
        box = {"fc": "#fff3d6", "ec": "none", "pad": 1.5}
        axes.text(column, row, f"{chance:.0%}{star}", ha="center", va="center", color=GREEN, bbox=box)
    side = len(board_BB)
    axes.set(xticks=range(side), yticks=range(side), xticklabels=[], yticklabels=[], facecolor="#fff3d6")
    axes.set(xlim=(-0.6, side - 0.4), ylim=(side - 0.4, -0.6), aspect="equal")
    axes.set(title="A board to a move: black captures at *")
    axes.grid(color=BLACK, lw=0.8)


def draw_series(axes: Axes, run: Run, title: str, unit: str) -> None:
    """Draw a window, the values after it, and the net's outputs."""
    x_ND, y_NH = run.samples("test")
    with torch.no_grad():
        p_H = run.module()(x_ND[:1])[0]
    ahead_H = np.arange(1, len(p_H) + 1)
    axes.plot(np.arange(1 - len(x_ND[0]), 1), x_ND[0], color=GREEN, label="input")
    axes.plot(ahead_H, y_NH[0], "o", mfc="none", color=GREEN, ms=4, label="actual")
    axes.plot(ahead_H, p_H, "x-", color=BLUE, ms=5, label="output")
    axes.set(title=title, xlabel=unit, ylabel="scaled")
    finish(axes)
