"""Joins the rows of all series in one frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from steepest.data.prices.checks import Rows


def frame_of(kept: list[Rows], names: list[str]) -> pd.DataFrame:
    """Return a frame indexed by (series, date), with the columns `names`. The list `kept` is emptied to save memory."""
    series, lengths = [rows.name for rows in kept], [len(rows) for rows in kept]
    first = kept[0].wall_T
    if (first[1:] > first[:-1]).all() and all(np.array_equal(rows.wall_T, first) for rows in kept):
        grid = np.empty((len(kept), len(first)), np.int32)
        grid[:] = np.arange(len(first), dtype=np.int32)
        days, day_T = first, grid.reshape(-1)
    else:
        days = np.unique(np.concatenate([rows.wall_T for rows in kept]))
        day_T = np.concatenate([days.searchsorted(rows.wall_T).astype(np.int32) for rows in kept])
    value_TF = np.empty((sum(lengths), len(names)))
    start = 0
    for length in lengths:
        value_TF[start : start + length] = kept.pop(0).value_TF
        start += length
    codes = [np.repeat(np.arange(len(series), dtype=np.min_scalar_type(-len(series))), lengths), day_T]
    index = pd.MultiIndex(
        levels=[series, pd.DatetimeIndex(days)], codes=codes, names=["series", "date"], verify_integrity=False
    )
    return pd.DataFrame(value_TF, index=index, columns=names, copy=False)
