"""The logged curves and the pictures of a run's folder, for Python. This module does not import torch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from steepest.observe.curves import read_curves


def history(folder: Path) -> pd.DataFrame:
    """Every logged scalar of a run.

    Returns:
        One column per tag, indexed by the number of updates done. A scalar that is logged once per epoch is NaN at the
        other updates. A run with ``logger=none`` has no event file; its frame is empty.

    Raises:
        ValueError: if an event file is damaged.
    """
    curves = read_curves(folder, None)
    columns = {tag: pd.Series(curve.values, index=curve.steps) for tag, curve in sorted(curves.items())}
    return pd.DataFrame(columns).rename_axis(index="update")


def figures(folder: Path) -> dict[str, Path]:
    """The pictures of a run: name -> PNG file."""
    return {path.stem: path for path in sorted((folder / "figures").glob("*.png"))}
