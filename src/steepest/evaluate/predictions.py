"""The table of predictions: a row for each sample and day of the horizon.

Shapes: M rows of the table.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.windows import Windows
from steepest.evaluate.scoring import PartScorer


def identified(windows: Windows, scorer: PartScorer) -> pd.DataFrame:
    """A row per sample and day of the horizon: its identification and, in the last column, the actual value."""
    row_M = scorer.origin_N.repeat_interleave(windows.horizon).cpu().numpy()
    columns: dict[str, object] = {"part": scorer.part}
    if windows.ordered:
        ahead_M = torch.arange(1, windows.horizon + 1).repeat(len(scorer)).numpy()
        target = windows.index[row_M + ahead_M]
        columns["series"] = target.get_level_values("series")
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


def predictions_column(windows: Windows, predicted: Tensor) -> np.ndarray:
    """The table's column of predictions: prices, or the probabilities of class 1 (M,)."""
    if windows.classes:
        predicted = predicted.unflatten(-1, (-1, 2)).softmax(-1)[..., 1]
    return predicted.flatten().cpu().numpy()
