"""Cuts the test part into folds, and prepares the data of each training. This module does not import Lightning.

For each training, train and val move forward by the number of days from the first target of the test part to the first
target of the training's folds, so all their rows are before this target. The scaler is fitted on the train rows of the
training.

Shapes: N samples of the test part, M samples of one training's folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.batches import PreparedData
from steepest.data.preparation import boundaries, kept_rows, series_windows
from steepest.data.sources import SeriesData
from steepest.data.windows import Windows
from steepest.evaluate.folds import WalkForward


@dataclass(frozen=True)
class Training:
    """One training, on rows before its folds.

    Attributes:
        number: 0 for the run itself, then 1, 2, ...
        start: the first day of train.
        val: the first day of val.
        end: the first day after val. All targets of its folds are on this day or later.
        place_M: the indices of its folds' samples in the test part.
    """

    number: int
    start: pd.Timestamp
    val: pd.Timestamp
    end: pd.Timestamp
    place_M: Tensor


class Folds:
    """The folds of a test part and the trainings that predict them.

    Args:
        spec: how to cut the test part.
        data: the data, with their frame.
        windows: the windows, in the precision of training.

    Attributes:
        trainings: in time order.
        groups: for each training, the range of its fold numbers.
        fold_N: the fold of each sample.
    """

    def __init__(self, spec: WalkForward, data: PreparedData, windows: Windows) -> None:
        assert data.frame is not None
        assert isinstance(data.dataset, SeriesData)
        self.frame, self.spec, self.where, self.windows = data.frame, data.dataset, data.where, windows
        self.origin_N = _origins(windows)
        day_N = first_targets(windows)
        days = np.unique(day_N)
        folds = spec.cut(len(days), windows.unit)
        self.groups = spec.groups(len(folds))
        place_N = np.searchsorted(days, day_N)
        starts = np.array([fold.start for fold in folds])
        self.fold_N = torch.from_numpy(np.searchsorted(starts, place_N, side="right") - 1)
        dates = pd.DatetimeIndex(self.frame.index.get_level_values("date"))
        calendar = dates.unique().sort_values()
        val, test = (calendar.searchsorted(day) for day in boundaries(dates, self.spec.split) if day is not None)
        at = calendar.get_indexer(pd.DatetimeIndex(days))
        self.trainings = []
        for number, group in enumerate(self.groups):
            ahead = int(at[folds[group.start].start] - at[0])
            start = calendar[ahead] if spec.past == "sliding" else calendar[0]
            mine_N = (self.fold_N >= group.start) & (self.fold_N < group.stop)
            self.trainings.append(
                Training(number, start, calendar[val + ahead], calendar[test + ahead], mine_N.nonzero().squeeze(-1))
            )

    def windows_of(self, training: Training) -> tuple[Windows, Tensor]:
        """Return the windows of a training, and the origins (M,) of its folds' samples in them.

        Raises:
            ValueError: if the rows cannot be split or scaled.
        """
        origin_M = self.origin_N[training.place_M]
        series_M = self.windows.series_T[origin_M]
        frame = self._from(training, {self.windows.names[s] for s in series_M.unique().tolist()})
        where = f"{self.where}, fold from {training.end:%Y-%m-%d}"
        windows = series_windows(frame, self.spec, where, (training.val, training.end))
        windows = windows.to("cpu", self.windows.inputs_TF.dtype)
        # Here, a series may start later or be missing. All other rows are the same.
        ends = dict(zip(windows.names, _stops(windows), strict=True))
        known = dict(zip(self.windows.names, _stops(self.windows), strict=True))
        shift_S = torch.tensor([ends.get(name, stop) - stop for name, stop in known.items()])
        return windows, origin_M + shift_S[series_M]

    def _from(self, training: Training, predicted: set[str]) -> pd.DataFrame:
        """The rows from the start of train. A series with too few rows is left out unless a fold needs it."""
        day_T, name_T = (self.frame.index.get_level_values(level) for level in ("date", "series"))
        keep_T = np.asarray(day_T >= training.start)
        if keep_T.all():
            return self.frame
        rows = pd.Series(keep_T & (day_T < training.val)).groupby(name_T.to_numpy()).sum()
        needed = max(self.spec.window, self.spec.longest_window or 0) + self.spec.horizon
        needed += self.spec.transform != "level"
        enough = {str(name) for name, count in rows.items() if count >= needed} | predicted
        return kept_rows(self.frame, keep_T & name_T.isin(list(enough)))


def first_targets(windows: Windows) -> np.ndarray:
    """The day of the first target of each sample of the test part (N,)."""
    return windows.index.get_level_values("date").to_numpy()[_origins(windows).cpu().numpy() + 1]


def _origins(windows: Windows) -> Tensor:
    part = windows.parts["test"]
    return part.origins(torch.arange(len(part), device=windows.price_T.device))


def _stops(windows: Windows) -> list[int]:
    """The row after the last row of each series."""
    return [*windows.start_S[1:].tolist(), len(windows.price_T)]
