"""The pipeline from a file to predictions: the checked frame, the windows, the predictions of model and baselines.

The last windows of truncated data need rows after them. `padded` appends copies of the last row; only their dates come
from the complete file.

Shapes: N samples, H horizon, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.batches import PreparedData
from steepest.data.future import FutureChange, changed_future
from steepest.data.preparation import filled_rows, series_windows
from steepest.data.sources import SeriesData
from steepest.data.windows import Windows
from steepest.engine.descent import Descent, reason_against
from steepest.evaluate import baselines, statistics
from steepest.evaluate.blocks import outputs_at
from steepest.evaluate.own import predictors
from steepest.runs.build import dtype_of
from steepest.runs.config import Checked, baselines_of, statistics_of
from steepest.runs.lookahead.training import Fit

FirstDays = tuple[pd.Timestamp | None, pd.Timestamp | None]


@dataclass(frozen=True)
class Prepared:
    """A data set after reading and scaling.

    Attributes:
        frame: the checked frame.
        windows: float64 windows.
        placed: the windows in the precision of training.
        fitted: the baselines' parameters, fitted on the training part.
        own: the predictions of the user's own baselines, by name.
    """

    frame: pd.DataFrame
    windows: Windows
    placed: Windows
    fitted: Mapping[str, Tensor]
    own: dict[str, Callable[[Tensor], Tensor]]


def read_frame(dataset: SeriesData, change: FutureChange | None) -> pd.DataFrame:
    """Read the data, with a changed future unless `change` is None.

    Raises:
        ValueError: if the data cannot be read, or if the change did not reach them.
    """
    with changed_future(change):
        frame = dataset.read_with_computed()
    if change is not None and change.rows == 0:
        raise ValueError(
            f"data={type(dataset).__name__}: its read() uses neither read_prices nor check_prices, so the audit cannot "
            "change its future: read the prices with one of them"
        )
    return frame


def padded(frame: pd.DataFrame, real: pd.DataFrame, day: pd.Timestamp, count: int) -> pd.DataFrame:
    """Append up to `count` copies of the last row to each series, with the dates after `day` in `real`."""
    filled_T, of_series = filled_rows(frame), frame.index.get_level_values("series")
    tables, filled = {}, []
    for name in frame.index.unique("series"):
        table = frame.loc[name]
        dates = real.loc[name].index if name in real.index.get_level_values("series") else table.index
        dates = dates[dates > day][:count]
        after = pd.DataFrame([table.iloc[-1]] * len(dates), index=dates, columns=table.columns)
        tables[name] = pd.concat([table, after]) if len(dates) else table
        filled += [filled_T[of_series == name], np.zeros(len(dates), bool)]
    longer = pd.concat(tables, names=["series", "date"])
    longer.attrs = dict(frame.attrs) | {"filled": tuple(np.flatnonzero(np.concatenate(filled)).tolist())}
    return longer


def prepared(checked: Checked, frame: pd.DataFrame, first_days: FirstDays | None = None) -> Prepared:
    """Cut a frame into windows, scale them, and fit the baselines.

    Args:
        checked: the config.
        frame: the checked frame.
        first_days: the first days of val and of test; None: those of the config's split.
    """
    dataset = checked.groups["data"]()
    windows = series_windows(frame, dataset, PreparedData(dataset).where, first_days)
    placed = windows.to("cpu", dtype_of(checked))
    fitted = baselines.fitted(placed) | statistics.fit(placed, statistics_of(checked)).parameters
    return Prepared(frame, windows, placed, fitted, predictors(placed, baselines_of(checked), {}))


@torch.inference_mode()
def predictions(fit: Fit, data: Prepared, origin_N: Tensor) -> dict[str, Tensor]:
    """The predictions of the model and each baseline for these origins: name -> values (N, H), or logits (N, O).

    Values are in the data's units. `model output` is the output in model space.
    """
    windows = data.placed
    outputs_NO = outputs_of(fit, windows, origin_N)
    known = {
        name: predict(origin_N) for name, predict in (data.own | baselines.predictors(windows, data.fitted)).items()
    }
    predicted = outputs_NO if windows.classes else windows.to_price(outputs_NO, origin_N)
    return known | {"model output": outputs_NO, "model": predicted}


def outputs_of(fit: Fit, windows: Windows, origin_N: Tensor) -> Tensor:
    """The model's outputs (N, O), computed by the engine if it supports the model."""
    optimizer = torch.optim.SGD(fit.network.parameters(), lr=0.0)
    if reason_against(fit.network, fit.loss, optimizer) is None:
        return Descent(fit.network, fit.loss, optimizer, windows).predict(origin_N.numpy())
    return outputs_at(fit.network, windows, origin_N)
