"""Describes what was read from a file: as sentences, and as plain data for a run's record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from steepest.data.calendar import day_text, row_unit
from steepest.data.faults import counted, shortened

log = logging.getLogger(__name__)


def described(frame: pd.DataFrame, recognised: dict[str, Any], notes: list[str], filled_T: np.ndarray) -> pd.DataFrame:
    days, code_T = frame.index.levels[1], frame.index.codes[0]
    # The rows of each series are contiguous. With another dtype, NumPy would copy the codes.
    ends = np.searchsorted(code_T, np.arange(int(code_T[-1]) + 1, dtype=code_T.dtype), side="right")
    each = np.diff(ends, prepend=0)
    frame.attrs["recognised"] = recognised | {
        "series": len(each),
        "days": [int(each.min()), int(each.max())],
        "unit": row_unit(frame.index[: ends[0]].get_level_values(1).to_numpy()),
        "first": day_text(days.min()),
        "last": day_text(days.max()),
        "notes": [shortened(note, 300) for note in notes[:20]],
    }
    frame.attrs["filled"] = tuple(np.flatnonzero(filled_T).tolist())
    log.info("%s: %s", recognised["file"], sentence(frame.attrs["recognised"]))
    return frame


def sentences(recognised: Mapping[str, Any]) -> list[str]:
    """Return sentences about the columns used, the changed rows and the suspicious prices."""
    notes = recognised["notes"]
    more = [f"and {len(notes) - 5} more notes in run.json"] if len(notes) > 5 else []
    return [f"Data: {sentence(recognised)}.", *(f"Data: {note}." for note in [*notes[:5], *more])]


def sentence(recognised: Mapping[str, Any]) -> str:
    """Return a summary such as ``price: 'Close/Last', 70 days, 2023-01-02 to 2023-04-07``."""
    low, high = recognised["days"]
    value = recognised["value"]
    price = f"price: '{value}'" if isinstance(value, str) else f"prices: {shortened(', '.join(value), 100)}"
    series = f", {recognised['series']} series" if recognised["series"] > 1 else ""
    by = f" by '{recognised['id']}'" if recognised["id"] else ""
    unit = recognised["unit"]
    days = counted(low, unit) if low == high else f"{low} to {high} {unit}s each"
    return f"{price}{by}{series}, {days}, {recognised['first']} to {recognised['last']}"
