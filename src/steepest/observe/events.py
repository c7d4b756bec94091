"""Reads a run's TensorBoard curves back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read_scalars(folder: Path) -> dict[str, pd.Series]:
    """Every scalar curve of a run's folder: tag -> values by update."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 1, "images": 1})
    events.Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        points = events.Scalars(tag)
        curves[tag] = pd.Series([p.value for p in points], index=[p.step for p in points], name=tag)
    return curves
