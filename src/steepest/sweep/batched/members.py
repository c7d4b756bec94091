"""One run among those that are trained together: what it is made of, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from tensorboard.compat.proto.summary_pb2 import HistogramProto
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from steepest.evaluate.critical import Ending
from steepest.evaluate.names import better
from steepest.nets.plain import PlainModel
from steepest.runs.config import Checked
from steepest.runs.pruning import Trial, trial_of
from steepest.runs.record import RunRecord, Status
from steepest.runs.rules import Epochs, Stationary, Threshold

if TYPE_CHECKING:
    from steepest.lightning.stops import EarlyStop

PlainRule = Epochs | Threshold | Stationary


class Block(NamedTuple):
    """Rows of values to be written, one for each of K updates.

    Attributes:
        tags: the columns' names.
        updates, moments: each row's update (K,), and its time in seconds.
        values: (K, columns).
    """

    tags: Sequence[str]
    updates: np.ndarray
    moments: np.ndarray
    values: np.ndarray


@dataclass
class Moment:
    """A run at the end of an epoch: its parameters, how far it was, and what resuming it takes."""

    theta: list[Tensor]
    epochs: int
    updates: int
    objective: float = math.nan
    optimizer: Any = None
    scheduler: Any = None


@dataclass
class Member:
    """One run.

    Attributes:
        number: of the job in its sweep.
        folder: its own.
        overrides: what the user asked of it.
        checked: its config.
        predictor: its model, with the initial parameters; at the end with the final ones.
        optimizer, scheduler: its own, which know its step size.
        rule: when it ends.
        clip: bound on its gradient; None for none.
        updates, epochs: done.
        status, reason: how it ended; running until then.
        best: the best epoch by the objective.
        history: every epoch's scores, and after how many updates.
        blocks, histograms: what is to be written to TensorBoard.
        held: numbers in the blocks.
        last: as it is to be resumed, at its end; None if it diverged in its first epoch.
        ending: where its descent ended, if that was looked at.
        record: of its folder.
        batch: samples of its last update.
        samples: seen by all its updates together.
        seconds: its share of the training time.
        trial: of a study whose pruner may end it; None otherwise.
    """

    number: int
    folder: Path
    overrides: list[str]
    checked: Checked
    predictor: PlainModel
    optimizer: Optimizer
    scheduler: LRScheduler | None
    rule: PlainRule | EarlyStop
    clip: float | None = None
    updates: int = 0
    epochs: int = 0
    status: Status = "running"
    reason: str = ""
    best: Moment | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    histograms: list[tuple[str, HistogramProto, int]] = field(default_factory=list)
    held: int = 0
    last: Moment | None = None
    ending: Ending | None = None
    record: RunRecord | None = None
    batch: int = 0
    samples: int = 0
    seconds: float = 0.0
    trial: Trial | None = None

    def __post_init__(self) -> None:
        self.trial = trial_of(self.checked.plain)

    @property
    def objective(self) -> str:
        """The score that chooses its best epoch."""
        return self.checked.run.objective

    @property
    def updates_left(self) -> int | None:
        """Until its limit; None without one."""
        return None if self.rule.updates == -1 else self.rule.updates - self.updates

    def keep(self, block: Block) -> None:
        """Keep rows until they are written."""
        self.blocks.append(block)
        self.held += block.values.size

    def written(self) -> None:
        """Forget what was kept."""
        self.blocks, self.histograms, self.held = [], [], 0

    def diverge(self, loss: float) -> None:
        """End it before an update whose loss is no finite number."""
        self.status = "failed"
        self.reason = (
            f"diverged: the training loss is {loss} at update {self.updates + 1} "
            f"(epoch {self.epochs + 1}), which was refused: lower optimizer.lr"
        )

    def after_epoch(
        self, scores: dict[str, float], gradient_norm: float | None, theta: list[Tensor], whole: bool
    ) -> None:
        """Take in an epoch's scores: keep the best, step the schedule, see whether a rule ends the run.

        Args:
            scores: ``train/...`` and ``val/...``, the losses among them.
            gradient_norm: of the whole training part's loss, if the rule looks at it.
            theta: the parameters now; copied if they are the best.
            whole: whether the epoch was done to its end.
        """
        self.epochs += 1
        self.history.append({"updates": float(self.updates)} | scores)
        score = scores.get(self.objective)
        if score is not None and self._is_best(score):
            self.best = Moment([t.detach().clone() for t in theta], self.epochs, self.updates, score)
        if whole and isinstance(self.scheduler, ReduceLROnPlateau) and score is not None:
            self.scheduler.step(score)
        reason = self._rules_reason(scores, gradient_norm)
        if not reason and self.updates == self.rule.updates:
            reason = f"updates: {self.updates} updates done"
        if not reason and self.epochs == self.rule.epochs:
            reason = f"epochs: {self.epochs} epochs done"
        if self.trial is not None:
            pruned = self.trial.report(self.epochs, score, ends=bool(reason))
            reason = reason or pruned
        if reason:
            self.status, self.reason = "finished", reason

    def _is_best(self, score: float) -> bool:
        if self.best is None:
            return True
        return score > self.best.objective if better(self.objective) == "max" else score < self.best.objective

    def _rules_reason(self, scores: dict[str, float], gradient_norm: float | None) -> str:
        rule = self.rule
        if isinstance(rule, Threshold):
            return rule.verdict(self.epochs, scores["train/full_loss"])
        if isinstance(rule, Stationary):
            assert gradient_norm is not None
            return rule.verdict(self.epochs, gradient_norm)
        if not isinstance(rule, Epochs) and rule.monitor in scores:
            stop, _ = rule._evaluate_stopping_criteria(torch.tensor(scores[rule.monitor], dtype=torch.float64))
            if stop:
                rule.stopped_epoch = self.epochs - 1
                return rule.reason
        return ""

    def facts(self) -> dict[str, Any]:
        """How it ended, as metrics.json begins."""
        return {
            "status": self.status,
            "stop_reason": self.reason,
            "updates": self.updates,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "objective": {"name": self.objective, "value": None if self.best is None else self.best.objective},
        }
