"""Joins the rows of all series in one frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from steepest.data.prices.checks import Rows
from steepest.data.prices.memory import empty


def frame_of(kept: list[Rows], names: list[str], block: np.ndarray | None) -> pd.DataFrame:
    """Return a frame indexed by (series, date), with the columns `names`. The list `kept` is emptied to save memory.

    `block` is that of `delimited.py`, or None. If its rows are the prices of the series, in this order, it becomes the
    frame's memory, which saves a copy of a large file.
    """
    series, lengths = [rows.name for rows in kept], [len(rows) for rows in kept]
    first = kept[0].wall_T
    if (first[1:] > first[:-1]).all() and all(np.array_equal(rows.wall_T.view(int), first.view(int)) for rows in kept):
        grid = empty((len(kept), len(first)), np.int32)
        grid[:] = np.arange(len(first), dtype=np.int32)
        days, day_T = first, grid.reshape(-1)
    else:
        days = np.unique(np.concatenate([rows.wall_T for rows in kept]))
        day_T = np.concatenate([days.searchsorted(rows.wall_T).astype(np.int32) for rows in kept])
    if block is not None and len(block) == len(kept) and all(map(_is_same, (r.value_TF for r in kept), block)):
        value_TF = block.reshape(-1, 1)
        kept.clear()
    else:
        value_TF = empty((sum(lengths), len(names)))
        start = 0
        for length in lengths:
            value_TF[start : start + length] = kept.pop(0).value_TF
            start += length
    code_T = empty((sum(lengths),), np.min_scalar_type(-len(series)))
    for i, end in enumerate(np.cumsum(lengths)):
        code_T[end - lengths[i] : end] = i
    index = pd.MultiIndex(
        levels=[series, pd.DatetimeIndex(days)], codes=[code_T, day_T], names=["series", "date"], verify_integrity=False
    )
    return pd.DataFrame(value_TF, index=index, columns=names, copy=False)


def _is_same(value_TF: np.ndarray, row_T: np.ndarray) -> bool:
    """Return whether a series' only column is this row of the block, and not a copy."""
    address = row_T.__array_interface__["data"]
    return value_TF.shape == (len(row_T), 1) and value_TF.__array_interface__["data"][0] == address[0]
