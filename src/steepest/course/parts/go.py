"""Captures in the game of Go: the rule, and a data set of points where a stone captures or not.

Shapes: B points of a board's side, D points around a move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation, label

from steepest.course.parts.kinds import Kind
from steepest.data.formulas import made_rows
from steepest.data.ranges import Count

STONES, SHARES = (-1, 0, 1), (0.2, 0.3, 0.5)  # the opponent's stone, none, our own; and how often
REACH = 2  # how far a move sees


def groups(board_BB: np.ndarray, colour: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The groups of a colour, each with its liberties: the empty points beside it. Both are masks (B, B)."""
    number_BB, count = label(board_BB == colour)  # neighbours are to the left and right, above and below
    masks = [number_BB == one for one in range(1, count + 1)]
    return [(mask_BB, binary_dilation(mask_BB) & (board_BB == 0)) for mask_BB in masks]


def captures(board_BB: np.ndarray) -> np.ndarray:
    """The points (B, B) at which a stone of ours captures: the only liberty of a group of the opponent's."""
    found_BB = np.zeros(board_BB.shape, bool)
    for _, liberties_BB in groups(board_BB, -1):
        if liberties_BB.sum() == 1:
            found_BB |= liberties_BB
    return found_BB


def random_board(random: np.random.Generator, side: int) -> np.ndarray:
    """A board with random stones, without those that have no liberty."""
    board_BB = random.choice(STONES, (side, side), p=SHARES)
    dead = [
        mask_BB for colour in (-1, 1) for mask_BB, liberties_BB in groups(board_BB, colour) if not liberties_BB.any()
    ]
    for mask_BB in dead:
        board_BB[mask_BB] = 0
    return board_BB


def around(board_BB: np.ndarray, row: int, column: int) -> np.ndarray:
    """What a move at this point sees (D,): the points around it. The edge takes liberties, as stones of ours do."""
    padded = np.pad(board_BB, REACH, constant_values=1)
    seen = padded[row : row + 2 * REACH + 1, column : column + 2 * REACH + 1].ravel()
    return np.delete(seen, len(seen) // 2)


@dataclass(kw_only=True)
class Captures(Kind):
    """What is around an empty point of a board of Go; the class is whether a stone there captures."""

    board: Count = 5  # points of its side

    def read(self) -> pd.DataFrame:
        random, seen, kinds = np.random.default_rng(self.seed), list[np.ndarray](), list[bool]()
        while len(seen) < self.rows:
            board_BB = random_board(random, self.board)
            captures_BB = captures(board_BB)
            for wanted in (False, True):
                points = np.argwhere((board_BB == 0) & (captures_BB == wanted))
                if captures_BB.any() and len(points):
                    seen.append(around(board_BB, *random.choice(points)))
                    kinds.append(wanted)
        return made_rows(np.array(seen[: self.rows]), np.array(kinds[: self.rows]))
