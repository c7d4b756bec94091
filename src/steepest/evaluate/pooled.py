"""The predictions of all folds of a walk-forward evaluation, and their scores.

Shapes: N samples of the test part, H horizon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from steepest.data.faults import counted
from steepest.data.windows import Windows
from steepest.evaluate.leads import lead_p_value
from steepest.evaluate.metrics import Scores
from steepest.evaluate.scoring import PartScorer
from steepest.evaluate.significance import significance_in_words


@dataclass(frozen=True)
class TrainingFacts:
    """How the training for one or more folds ended.

    Attributes:
        train_from: the first day of train.
        val_from: the first day of val.
        trained_to: the first day after val; all rows of train and val are before it.
        samples: the number of training samples.
        updates, epochs: the numbers of updates and epochs.
        best_epoch: the epoch whose model predicts the folds.
        objective: the score of this epoch.
        stop_reason: why the training ended.
    """

    train_from: str
    val_from: str
    trained_to: str
    samples: int
    updates: int
    epochs: int
    best_epoch: int
    objective: float
    stop_reason: str


@dataclass(frozen=True)
class Pooled:
    """The predictions of all folds, in the order of the test part's samples and in the data's units.

    Attributes:
        predicted: the predictions of the folds' models: prices (N, H) or, for classes, logits (N, 2 H).
        baselines: name -> predictions; those that learn are fitted on the training rows of the fold's model.
        fold_N: the fold of each sample.
        trainings: how each training ended; the first is the run's own.
        groups: for each training, the range of the folds that its model predicts.
        without_refit: the predictions of the first model for the whole part.
    """

    predicted: Tensor
    baselines: Mapping[str, Tensor]
    fold_N: Tensor
    trainings: list[TrainingFacts]
    groups: list[range]
    without_refit: Tensor


@dataclass(frozen=True)
class WalkForwardScores:
    """The scores of each fold.

    Attributes:
        folds: a row per fold: its days, its training and its scores.
        day_N: the day of each sample's first target.
        loss_N, reference_loss_N, without_refit_loss_N: the losses (as the verdict compares them) of the folds' models,
            of the reference, and of the first model.
        without_refit: the scores of the first model on the whole test part.
        p_value: the p-value of the hypothesis that refitting does not change the loss, or None if it is not tested.
    """

    folds: pd.DataFrame
    day_N: np.ndarray
    loss_N: Tensor
    reference_loss_N: Tensor
    without_refit_loss_N: Tensor
    without_refit: Scores
    p_value: float | None

    def sentence(self) -> str:
        """How the test part was predicted, and whether refitting made a significant difference."""
        folds, count = counted(len(self.folds), "fold"), self.trainings
        models = f"{count} models, each" if count > 1 else "one model,"
        text = f"Walk-forward: {models} trained only on earlier rows, predicted {folds} of the test part."
        skill = self.without_refit["skill"]
        if self.trainings == 1 or skill is None:
            return text
        compared = "" if self.p_value is None else f" {significance_in_words(self.p_value)}."
        return f"{text} Without refitting, the skill would be {skill:.4f}.{compared}"

    @property
    def trainings(self) -> int:
        """The number of models."""
        return int(self.folds["training"].nunique())

    def facts(self) -> dict[str, Any]:
        """The entry of metrics.json."""
        return {
            "folds": len(self.folds),
            "trainings": self.trainings,
            "without_refit": self.without_refit,
            "refit_p_value": self.p_value,
        }


def walk_forward_scores(windows: Windows, scorer: PartScorer, pooled: Pooled, reference_N: Tensor) -> WalkForwardScores:
    """Score each fold, and compare the folds' models with the first one. `reference_N` are the reference's losses."""
    date_N = windows.index.get_level_values("date").to_numpy()[scorer.origin_N.cpu().numpy() + 1]
    walked = scorer.assess(scorer.parts_of(pooled.predicted), pooled.fold_N)
    first = scorer.assess(scorer.parts_of(pooled.without_refit))
    rows = []
    for training, (facts, group) in enumerate(zip(pooled.trainings, pooled.groups, strict=True)):
        for fold in group:
            date_M = date_N[pooled.fold_N.numpy() == fold]
            row = {"fold": fold, "first_day": date_M.min(), "last_day": date_M.max(), "predictions": len(date_M)}
            rows.append(row | {"training": training} | asdict(facts) | walked.by_group[fold])
    p_value = None
    if len(pooled.trainings) > 1:
        p_value, _ = lead_p_value(windows, scorer, walked.loss_N, first.loss_N)
    return WalkForwardScores(
        pd.DataFrame(rows), date_N, walked.loss_N, reference_N, first.loss_N, first.scores, p_value
    )
