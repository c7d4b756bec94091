"""The table of predictions: one row per sample and day of the horizon.

Shapes: M samples of a block, H horizon, O outputs, R = M * H rows of the table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from steepest.data.windows import Windows
from steepest.engine.pythonlock import released
from steepest.evaluate.cells import inert
from steepest.evaluate.forecasts import Forecast, PartForecasts
from steepest.evaluate.scoring import Block, PartScorer
from steepest.nets.losses import QUANTILES, by_quantile, two_classes

CSV_ROWS = 1_000_000  # a larger table is written as Parquet
NAMES = ("predictions.csv", "predictions.parquet")


class PartTable:
    """The rows of one part, without predictions. Those of a small part are computed once. Threads can share them."""

    def __init__(self, windows: Windows, scorer: PartScorer) -> None:
        self.windows, self.scorer = windows, scorer
        self._kept: dict[tuple[str, int], Any] = {}

    def __len__(self) -> int:
        return len(self.scorer) * self.windows.horizon

    def known(self, block: Block, steps: Sequence[int] | None = None) -> pd.DataFrame:
        """The columns that identify each row of a block, followed by the actual value.

        Args:
            block: the samples.
            steps: the steps of the horizon; None: all.
        """
        if steps is not None:
            return self._known(block, steps)
        known: pd.DataFrame = self._once(self._known, block)
        return known

    def texts(self, block: Block) -> pa.Table:
        """The same rows for a CSV file: dates as text, and series names escaped with `inert`."""
        texts: pa.Table = self._once(self._texts, block)
        return texts

    def _once(self, compute: Callable[[Block], Any], block: Block) -> Any:
        if self.scorer.kept is None:
            return compute(block)
        key = compute.__name__, block.samples.start
        if key not in self._kept:
            self._kept[key] = compute(block)
        return self._kept[key]

    def _known(self, block: Block, steps: Sequence[int] | None = None) -> pd.DataFrame:
        windows, origin_M = self.windows, block.origin_M
        step_H = np.arange(1, windows.horizon + 1) if steps is None else np.array(steps)
        row_R, ahead_R = origin_M.cpu().numpy().repeat(len(step_H)), np.tile(step_H, len(origin_M))
        columns: dict[str, object] = {"part": self.scorer.part}
        if windows.ordered:
            series_T, date_T = (windows.index.get_level_values(level) for level in ("series", "date"))
            columns["series"] = series_T[row_R]
            columns["origin"] = date_T[row_R]
            columns["date"] = date_T[row_R + ahead_R]
            columns["horizon"] = ahead_R
            columns["last"] = windows.price_T.cpu().numpy()[row_R]
        else:
            columns["row"] = windows.index[row_R]
        name, actual_MH = "actual", block.actual_MH
        if actual_MH is None:
            name, actual_MH = "up" if windows.ordered else "class", block.target_MH
        columns[name] = actual_MH[:, step_H - 1].flatten().cpu().numpy()
        return pd.DataFrame(columns)

    def _texts(self, block: Block) -> pa.Table:
        known, names = self.known(block), self.windows.names
        texts = {name: known[name].astype(str) for name in ("origin", "date") if name in known}
        if any(inert(name) != name for name in names) and "series" in known:
            texts["series"] = known["series"].map({name: inert(name) for name in names})
        return pa.Table.from_pandas(known.assign(**texts), preserve_index=False)


def predicted_columns(
    scorer: PartScorer, block: Block, forecast: Forecast, steps: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """The table's columns of predictions for a block: prices, or the probabilities of class 1.

    If the model's outputs are quantiles, each quantile but the median has its own column. `steps` is as in `PartTable`.
    """
    place = slice(None) if steps is None else [step - 1 for step in steps]
    predicted, outputs_MO = forecast
    if block.pricing is None:
        one_MH = two_classes(predicted.double()).softmax(-1)[..., 1]
        columns = {"probability_up" if scorer.ordered else "probability": one_MH}
    else:
        columns = {}
        if outputs_MO.shape[1] > predicted.shape[1]:
            _, *outer = zip(QUANTILES, by_quantile(outputs_MO), strict=True)
            columns = {f"quantile_{q:g}": block.pricing(output_MH) for q, output_MH in outer}
        columns["prediction"] = predicted
    return {name: column_MH[:, place].flatten().cpu().numpy() for name, column_MH in columns.items()}


def frames_of(table: PartTable, forecasts: PartForecasts, steps: Sequence[int] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the table of a part in blocks. Its last two columns are the prediction and the actual value."""
    for block, forecast in forecasts:
        frame = table.known(block, steps).copy(deep=False)
        for name, predicted_R in predicted_columns(table.scorer, block, forecast, steps).items():
            frame.insert(len(frame.columns) - 1, name, predicted_R)
        yield frame


def write_table(
    tables: Mapping[str, PartTable], forecasts: Mapping[str, PartForecasts], path: Path, *, parquet: bool
) -> None:
    """Write the table of these parts as CSV or Parquet, with all numbers in full precision.

    Parquet is written in blocks, so that the table is never in memory.
    """
    if parquet:
        rows = (
            pa.Table.from_pandas(f, preserve_index=False) for p in forecasts for f in frames_of(tables[p], forecasts[p])
        )
        first = next(rows)
        with pyarrow.parquet.ParquetWriter(path, first.schema) as writer:
            for block in itertools.chain([first], rows):
                writer.write_table(block)
        return
    parts = []
    for part, of_part in forecasts.items():
        for block, forecast in of_part:
            table = tables[part].texts(block)
            for name, predicted_R in predicted_columns(tables[part].scorer, block, forecast).items():
                table = table.add_column(table.num_columns - 1, name, pa.array(predicted_R, from_pandas=True))
            parts.append(table)
    with released():
        pyarrow.csv.write_csv(pa.concat_tables(parts), path, pyarrow.csv.WriteOptions(quoting_style="needed"))


def read_table(folder: Path, *, first_step: bool = False) -> pd.DataFrame | None:
    """Read a run's table, or return None if the run has written none.

    Args:
        folder: the run's folder.
        first_step: whether, of a large table, to read only the first step of the horizon.

    Raises:
        ValueError: if the file is damaged.
    """
    found = next((folder / name for name in NAMES if (folder / name).exists()), None)
    if found is None:
        return None
    if found.suffix == ".parquet":
        only = first_step and "horizon" in pyarrow.parquet.read_schema(found).names
        table = pd.read_parquet(found, filters=[("horizon", "==", 1)] if only else None)
    else:
        table = pd.read_csv(found, dtype={"series": str}, keep_default_na=False, na_values=[""])
    needed = {"part"} | ({"origin", "date", "horizon", "last"} if "series" in table else set())
    if missing := sorted(needed - set(table)):
        raise ValueError(f"{found}: the column {missing[0]} is missing: restore the file, or repeat the run")
    return table.assign(**{name: pd.to_datetime(table[name]) for name in ("origin", "date") if name in table})
