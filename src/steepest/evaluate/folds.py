"""How the test part is evaluated: with one model (holdout), or walk-forward with a model refitted for each fold.

The fields of each class are the keys of a file in conf/evaluation/. This file does not use tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from steepest.data.faults import counted
from steepest.data.ranges import Count

FOLDS = 10  # the default number of folds
Predictions = Literal["test", "all", "none"]
Statistics = Literal["ets", "arima"]


@dataclass(kw_only=True)
class Holdout:
    """One model, trained once, predicts the whole test part.

    Attributes:
        predictions: the parts in the run's table of predictions: ``test``, ``all`` or ``none``. Without a test part,
            ``test`` means the last part with samples.
        statistics: the baselines of statsmodels; see `evaluate/statistics.py`.
        baselines: name -> a baseline of the user's own; see `evaluate/own.py`.
        metrics: name -> a metric of the user's own; see `evaluate/own.py`.
    """

    predictions: Predictions = "test"
    statistics: Sequence[Statistics] = ()
    baselines: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class WalkForward:
    """The test part is cut into folds in time. The model is refitted for each fold on the rows before it.

    Train and val move forward in time with the folds and keep their distance from the fold. The run's own model
    predicts the first fold.

    Attributes:
        folds: the number of folds of about equal length; None: `FOLDS`, unless `step` is given.
        step: the length of a fold in rows; the last fold may be shorter.
        past: the training window. ``expanding``: it starts at the first row; ``sliding``: it keeps its length.
        refit: ``every``: for each fold; N: for every N-th fold; ``never``: one model predicts all folds.
        warm_start: start from the previous fold's model instead of the seed's initial weights.
        predictions, baselines, metrics: as in `Holdout`. The baselines are fitted for each fold, as the model is.
    """

    folds: Count | None = None
    step: Count | None = None
    past: Literal["expanding", "sliding"] = "expanding"
    refit: Count | Literal["every", "never"] = "every"
    warm_start: bool = False
    predictions: Predictions = "test"
    baselines: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.folds is not None and self.step is not None:
            raise ValueError(
                f"evaluation.folds={self.folds} and evaluation.step={self.step} both set the folds: remove one of them"
            )
        for key, value in (("folds", self.folds), ("step", self.step), ("refit", self.refit)):
            if isinstance(value, int) and value < 1:
                raise ValueError(f"evaluation.{key}={value} must be 1 or more")

    def cut(self, rows: int, unit: str = "row") -> list[range]:
        """Return the folds as ranges of the test part's rows.

        Args:
            rows: the number of distinct days in the test part with a prediction.
            unit: the unit of a row, for the message.

        Raises:
            ValueError: if there are more folds than rows.
        """
        count = self.folds or FOLDS
        if self.step is not None:
            return [range(start, min(start + self.step, rows)) for start in range(0, rows, self.step)]
        if count > rows:
            raise ValueError(
                f"evaluation.folds={count}: the test part has predictions on only {counted(rows, unit)}: lower "
                "evaluation.folds or enlarge the test part (data.split)"
            )
        cuts = [fold * rows // count for fold in range(count + 1)]
        return [range(start, stop) for start, stop in pairwise(cuts)]

    def groups(self, folds: int) -> list[range]:
        """Return the folds that share a model, as ranges of fold numbers: one range for each training."""
        size = {"every": 1, "never": folds}[self.refit] if isinstance(self.refit, str) else self.refit
        return [range(start, min(start + size, folds)) for start in range(0, folds, size)]
