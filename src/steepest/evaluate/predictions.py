"""The table of predictions: one row per sample and day of the horizon.

Shapes: M rows of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from torch import Tensor

from steepest.data.windows import Windows
from steepest.engine.pythonlock import released
from steepest.evaluate.cells import inert
from steepest.evaluate.scoring import PartScorer
from steepest.nets.losses import QUANTILES, by_quantile

CSV_ROWS = 1_000_000  # a larger table is written as Parquet
NAMES = ("predictions.csv", "predictions.parquet")


class PartTable:
    """The rows of one part, without predictions. They are computed on first use. Threads can share them."""

    def __init__(self, windows: Windows, scorer: PartScorer) -> None:
        self.windows, self.scorer = windows, scorer

    @cached_property
    def known(self) -> pd.DataFrame:
        """The columns that identify each row, followed by the actual value."""
        windows, scorer = self.windows, self.scorer
        row_M = scorer.origin_N.repeat_interleave(windows.horizon).cpu().numpy()
        columns: dict[str, object] = {"part": scorer.part}
        if windows.ordered:
            ahead_M = torch.arange(1, windows.horizon + 1).repeat(len(scorer)).numpy()
            origin, target = windows.index[row_M], windows.index[row_M + ahead_M]
            columns["series"] = target.get_level_values("series")
            columns["origin"] = origin.get_level_values("date")
            columns["date"] = target.get_level_values("date")
            columns["horizon"] = ahead_M
            columns["last"] = windows.price_T.cpu().numpy()[row_M]
        else:
            columns["row"] = windows.index[row_M]
        if windows.classes:
            columns["up" if windows.ordered else "class"] = scorer.target_NH.flatten().cpu().numpy()
        else:
            columns["actual"] = scorer.actual_NH.flatten().cpu().numpy()
        return pd.DataFrame(columns)

    @cached_property
    def texts(self) -> pa.Table:
        """The same rows for a CSV file: dates as text, and series names escaped with `inert`."""
        texts = {name: self.known[name].astype(str) for name in ("origin", "date") if name in self.known}
        names = self.windows.names
        if any(inert(name) != name for name in names) and "series" in self.known:
            texts["series"] = self.known["series"].map({name: inert(name) for name in names})
        return pa.Table.from_pandas(self.known.assign(**texts), preserve_index=False)


def predicted_columns(scorer: PartScorer, predicted: Tensor, outputs_NO: Tensor) -> dict[str, np.ndarray]:
    """The table's columns of predictions (M,): prices, or the probabilities of class 1.

    Args:
        scorer: of the part.
        predicted: predictions in the data's units.
        outputs_NO: the model's outputs. If they are quantiles, each quantile but the median has its own column.
    """
    if scorer.share_H is not None:
        one_NH = predicted.unflatten(-1, (-1, 2)).softmax(-1)[..., 1]
        columns = {"probability_up" if scorer.ordered else "probability": one_NH}
    else:
        columns = {}
        if outputs_NO.shape[1] > predicted.shape[1]:
            _, *outer = zip(QUANTILES, by_quantile(outputs_NO), strict=True)
            columns = {f"quantile_{q:g}": scorer.pricing(output_NH) for q, output_NH in outer}
        columns["prediction"] = predicted
    return {name: column_NH.flatten().cpu().numpy() for name, column_NH in columns.items()}


def frame_of(tables: Mapping[str, PartTable], predicted: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """The table of these parts. Its last two columns are the prediction and the actual value."""
    parts = []
    for part, columns in predicted.items():
        table = tables[part].known.copy(deep=False)
        for name, predicted_M in columns.items():
            table.insert(len(table.columns) - 1, name, predicted_M)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def write_table(
    tables: Mapping[str, PartTable], predicted: Mapping[str, Mapping[str, np.ndarray]], path: Path, *, parquet: bool
) -> None:
    """Write the table of these parts as CSV or Parquet, with all numbers in full precision."""
    if parquet:
        frame_of(tables, predicted).to_parquet(path, index=False)
        return
    parts = []
    for part, columns in predicted.items():
        table = tables[part].texts
        for name, predicted_M in columns.items():
            table = table.add_column(table.num_columns - 1, name, pa.array(predicted_M, from_pandas=True))
        parts.append(table)
    with released():
        pyarrow.csv.write_csv(pa.concat_tables(parts), path, pyarrow.csv.WriteOptions(quoting_style="needed"))


def read_table(folder: Path) -> pd.DataFrame | None:
    """Read a run's table, or return None if the run has written none.

    Raises:
        ValueError: if the file is damaged.
    """
    found = next((folder / name for name in NAMES if (folder / name).exists()), None)
    if found is None:
        return None
    if found.suffix == ".parquet":
        table = pd.read_parquet(found)
    else:
        table = pd.read_csv(found, dtype={"series": str}, keep_default_na=False, na_values=[""])
    needed = {"part"} | ({"origin", "date", "horizon", "last"} if "series" in table else set())
    if missing := sorted(needed - set(table)):
        raise ValueError(f"{found}: the column {missing[0]} is missing: restore the file, or repeat the run")
    return table.assign(**{name: pd.to_datetime(table[name]) for name in ("origin", "date") if name in table})
