"""The look-ahead audit of one config: changes all rows after a cutoff day, and compares all numbers up to it.

With *fixed parameters*, the model is trained once. For each cutoff day in the test part, the data are read with a
changed future, and every number up to that day is compared. With *refitted parameters*, the model is refitted on the
changed data, and the trainings are compared. All split dates are those of the real data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from steepest.data.batches import PreparedData
from steepest.data.future import FACTOR, KINDS, FutureChange, Kind
from steepest.data.preparation import boundaries, up_to, within
from steepest.data.sources import SeriesData
from steepest.data.windows import Windows
from steepest.runs.checks import check_objective
from steepest.runs.config import Checked
from steepest.runs.lookahead.columns import LeakingColumn, leaking_columns
from steepest.runs.lookahead.comparison import Comparison, Difference, path_comparisons
from steepest.runs.lookahead.glitchdays import GlitchDays, glitch_days
from steepest.runs.lookahead.path import padded, prepared, read_frame
from steepest.runs.lookahead.refits import follows_val, refit_comparisons
from steepest.runs.lookahead.training import FitFunction
from steepest.runs.walk_forward import walks_forward

ROWS_AFTER = 3  # minimum number of days after a cutoff: fewer cannot be shuffled
WORDS = {
    "truncated": "the rows after the day are removed",
    "scaled": f"prices and inputs after the day are multiplied by {FACTOR:g}",
    "shuffled": "the rows after the day are permuted",
    "blanked": "the rows after the day repeat the last row",
}


@dataclass(frozen=True)
class Case:
    """One cutoff day and one kind of change.

    Attributes:
        day: the cutoff: the last unchanged day.
        part: the part that contains this day.
        change: the kind of change.
        refitted: whether the model was refitted.
        comparisons: the comparisons, up to the first difference.
        refused: the error message if reading the changed data or training on them failed, or "".
    """

    day: pd.Timestamp
    part: str
    change: Kind
    refitted: bool
    comparisons: list[Comparison]
    refused: str = ""

    @property
    def count(self) -> int:
        """The number of compared values."""
        return sum(comparison.count for comparison in self.comparisons)

    @property
    def difference(self) -> Difference | None:
        """The first difference, or None."""
        return next((c.difference for c in self.comparisons if c.difference is not None), None)

    @property
    def step(self) -> str:
        """The step of the first difference, or ""."""
        return next((c.step for c in self.comparisons if c.difference is not None), "")


@dataclass
class Findings:
    """The results of an audit.

    Attributes:
        cases: one for each cutoff day and change.
        notes: what was not audited, and why.
        columns: the additional inputs that contain later prices.
        glitches: the suspicious days, and the scores without them.
    """

    cases: list[Case] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: list[LeakingColumn] = field(default_factory=list)
    glitches: GlitchDays | None = None

    @property
    def clean(self) -> bool:
        """Whether no number differs, no case failed, and no input contains later prices."""
        return not self.columns and not any(case.difference or case.refused for case in self.cases)


class LookAhead:
    """The audit of one config.

    Args:
        checked: the config.
        fit: the function that trains it: `fit_with_kernel` or `fit_with_trainer`.
        days: the number of cutoff days in the test part.
        seed: the seed for the choice of days and for the permutations.

    Raises:
        ValueError: if the config or the data cannot be audited.
    """

    def __init__(self, checked: Checked, fit: FitFunction, days: int, seed: int) -> None:
        torch.set_num_threads(checked.run.threads)
        self.checked, self.fit_function, self.days, self.seed = checked, fit, days, seed
        self.random = np.random.default_rng(seed)
        dataset = checked.groups["data"]()
        if not isinstance(dataset, SeriesData):
            raise ValueError(f"data={type(dataset).__name__} has rows without dates, so it has no future to change")
        frame = within(read_frame(dataset, None), dataset, PreparedData(dataset).where)
        self.last_day = pd.DatetimeIndex(frame.index.get_level_values("date")).max()
        self.real = prepared(checked, frame)
        check_objective(checked, self.real.windows)
        if not len(self.real.windows.parts["test"]):
            raise ValueError(
                f"data.split={list(dataset.split)}: the test part is empty, and the audit needs days in it: use "
                "data.split=[0.7,0.15,0.15]"
            )
        self.first_days = boundaries(pd.DatetimeIndex(frame.index.get_level_values("date")), dataset.split)
        self.fit = fit(checked, self.real.windows)

    def run(self) -> Findings:
        """Run all cases and data checks."""
        found = Findings()
        test_days = self._test_days()
        for day in self._chosen(test_days, self.days):
            found.cases += [self._fixed(day, change) for change in KINDS]
        found.cases += self._refits(self._chosen(test_days, 1)[0], "test", KINDS)
        # (Truncation before test would leave no test rows, which is an error. Directions need prices that move.)
        never = {"truncated", "blanked"} if self.real.windows.classes else {"truncated"}
        part = "val" if len(self.real.windows.parts["val"]) else "train"
        found.cases += self._refits(self._chosen(self._val_days(), 1)[0], part, [k for k in KINDS if k not in never])
        if follows_val(self.checked):
            found.notes.append(
                "The learning rate follows a score of val, so the model was not trained with a changed val part."
            )
        if walks_forward(self.checked):
            found.notes.append("evaluation=walk_forward: the run's own model is audited, not those of later folds.")
        found.columns = leaking_columns(self.real.frame, self.real.windows.horizon)
        found.glitches = glitch_days(self.fit, self.real)
        return found

    def _chosen(self, days: pd.DatetimeIndex, count: int) -> list[pd.Timestamp]:
        places = self.random.choice(len(days), size=min(count, len(days)), replace=False)
        return list(days[np.sort(places)])

    def _dates(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.real.frame.index.get_level_values("date").unique()).sort_values()

    def _test_days(self) -> pd.DatetimeIndex:
        """The candidate cutoff days in the test part: after its first complete sample, with enough days left."""
        windows = self.real.windows
        origin_N = windows.parts["test"].origins(torch.arange(len(windows.parts["test"])))
        first = _dates_of(windows, origin_N + windows.horizon).min()
        dates = self._dates()[:-ROWS_AFTER]
        days = dates[dates >= first]
        if not len(days):
            raise ValueError(
                f"the test part has {len(self._dates()[self._dates() >= first])} days with predictions, and the audit "
                f"needs {ROWS_AFTER + 1}: add rows, or change data.split"
            )
        return days

    def _val_days(self) -> pd.DatetimeIndex:
        """The candidate cutoff days before test: the last training day, and all days of val except the last."""
        dates, (val, test) = self._dates(), self.first_days
        assert val is not None, "the test part has samples, so val begins before it"
        assert test is not None
        return dates[dates < val][-1:].append(dates[(dates >= val) & (dates < test)][:-1])

    def _fixed(self, day: pd.Timestamp, kind: Kind) -> Case:
        """Compare the pipeline of the trained model."""
        try:
            frame = self._frame(day, kind)
            if kind == "truncated":
                frame = padded(frame, self.real.frame, day, self.real.windows.horizon)
            changed = prepared(self.checked, frame, self.first_days)
        except ValueError as error:
            return Case(day, "test", kind, False, [], str(error))
        return Case(day, "test", kind, False, list(path_comparisons(self.fit, self.real, changed, day)))

    def _refits(self, day: pd.Timestamp, part: str, kinds: Sequence[Kind]) -> Iterator[Case]:
        """Refit for each kind of change, and compare."""
        for kind in kinds:
            try:
                frame = self._frame(day, kind)
                changed = prepared(self.checked, frame, self.first_days)
                depends = part != "test" and follows_val(self.checked)
                fit = None if depends else self.fit_function(self.checked, changed.windows)
            except ValueError as error:
                yield Case(day, part, kind, True, [], str(error))
                continue
            comparisons = refit_comparisons(self.real, changed, self.fit, fit, day, val_is_known=part == "test")
            yield Case(day, part, kind, True, list(comparisons))

    def _frame(self, day: pd.Timestamp, kind: Kind) -> pd.DataFrame:
        dataset = self.checked.groups["data"]()
        return up_to(read_frame(dataset, FutureChange(kind, day, self.seed)), self.last_day)


def _dates_of(windows: Windows, row_N: torch.Tensor) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(windows.index.get_level_values("date")[row_N.numpy()])
