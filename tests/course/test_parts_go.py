"""The captures of the lesson functions equal those of a flood fill on random boards."""

import numpy as np

from steepest.course.parts.go import REACH, around, captures, random_board

SIDE = 5


def flood_fill(board, point):
    """The stones of the group at `point`, and its empty neighbours."""
    group, liberties, left = set(), set(), [point]
    while left:
        row, column = here = left.pop()
        group.add(here)
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if min(near) >= 0 and max(near) < SIDE and near not in group:
                if board[near] == 0:
                    liberties.add(near)
                elif board[near] == board[point]:
                    left.append(near)
    return group, liberties


def test_captures_are_the_last_liberties_that_a_flood_fill_finds():
    random, found = np.random.default_rng(0), 0
    for _ in range(100):
        board = random_board(random, SIDE)
        expected = np.zeros((SIDE, SIDE), bool)
        for point in map(tuple, np.argwhere(board != 0)):
            liberties = flood_fill(board, point)[1]
            assert liberties, "a stone without a liberty is not on a board"
            if board[point] == -1 and len(liberties) == 1:
                expected[liberties.pop()] = True
        assert (captures(board) == expected).all()
        found += expected.sum()
    assert found > 50


def test_a_corner_sees_stones_of_its_own_beyond_the_edge():
    seen = around(np.zeros((SIDE, SIDE), int), 0, 0)
    width = 2 * REACH + 1
    assert seen.sum() == width**2 - (REACH + 1) ** 2
    assert set(seen) == {0, 1}
