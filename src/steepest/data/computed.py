"""Inputs of the user's own, computed from the prices: `data.computed.NAME={_target_: mine.Name}`.

The same functions are applied to new prices. They must not use later rows; `steepest audit` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from steepest.data.faults import counted

Computed = Mapping[str, Callable[[pd.DataFrame], object]]


def with_computed(frame: pd.DataFrame, computed: Computed) -> pd.DataFrame:
    """Add computed inputs to a checked frame, and leave out the first rows of each series that have no value yet.

    Args:
        frame: the checked frame, indexed by (series, date).
        computed: name -> a function. It gets the rows of one series, indexed by date, with the column ``value`` and the
            additional inputs of the file, and returns a number for each row.

    Raises:
        ValueError: if a function fails, or later rows have no value.
    """
    if not computed:
        return frame
    longer, keep_T, most = frame.copy(), np.ones(len(frame), bool), dict.fromkeys(computed, 0)
    of_series = frame.index.get_level_values("series")
    for name in computed:
        if name in frame.columns:
            raise ValueError(f"data.computed.{name}: the data have a column of this name: use a different name")
        longer[name] = np.nan
    for series in frame.index.unique("series"):
        rows = np.flatnonzero(of_series == series)
        for name, function in computed.items():
            value_T = _values(name, function, frame.loc[series].copy(), str(series))
            known = np.flatnonzero(np.isfinite(value_T))
            first = int(known[0]) if len(known) else len(value_T)
            if len(empty := np.flatnonzero(~np.isfinite(value_T[first:]))) or first == len(value_T):
                row = int(empty[0]) + first if len(empty) else 0
                raise ValueError(
                    f"data.computed.{name} has no finite value in {counted(max(len(empty), 1), 'row')} of {series}, "
                    f"first on {frame.index[rows[row]][1]:%Y-%m-%d}: only the first rows of a series may have none"
                )
            longer.iloc[rows, longer.columns.get_loc(name)] = value_T
            keep_T[rows[:first]] = False
            most[name] = max(most[name], first)
    return _without_first(longer, keep_T, most)


def _without_first(frame: pd.DataFrame, keep_T: np.ndarray, most: Mapping[str, int]) -> pd.DataFrame:
    """Return the kept rows. `attrs` counts the filled rows again, and has a note about the rows left out."""
    filled_T = np.zeros(len(frame), bool)
    filled_T[list(frame.attrs.get("filled", ()))] = True
    kept = frame[keep_T].copy()
    kept.attrs = dict(frame.attrs) | {"filled": tuple(np.flatnonzero(filled_T[keep_T]).tolist())}
    recognised = frame.attrs.get("recognised")
    if recognised and not keep_T.all():
        notes = [f"'{name}' starts in row {rows + 1}; the rows before it are left out" for name, rows in most.items()]
        kept.attrs["recognised"] = recognised | {"notes": [*recognised["notes"], *notes]}
    return kept


def _values(name: str, function: Callable[[pd.DataFrame], object], frame: pd.DataFrame, series: str) -> np.ndarray:
    count = len(frame)
    try:
        value_T = np.asarray(function(frame), dtype=float)
    except Exception as error:  # a function of the user's may raise any error
        raise ValueError(f"data.computed.{name} fails on {series}: {type(error).__name__}: {error}") from error
    if value_T.shape != (count,):
        raise ValueError(f"data.computed.{name} returns the shape {value_T.shape}; it must be ({count},), one per row")
    return value_T
