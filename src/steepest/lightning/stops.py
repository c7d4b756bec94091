"""The stop rules of `stop=...` as callbacks: each looks at a run and says why it stopped it; `rules.py` decides.

Every rule has the two limits `epochs` and `updates` beside its own; whichever comes first ends the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from steepest.lightning.datamodule import windows_in_training
from steepest.evaluate.names import better
from steepest.lightning.predictors import Predictor, full_gradient, full_loss
from steepest.observe.scores import EpochScores
from steepest.runs import rules
from steepest.runs.pruning import Trial


class Epochs(rules.Epochs, Callback):
    """As in `rules.py`; the Trainer has the same limits."""


class Threshold(rules.Threshold, Callback):
    """As in `rules.py`, of the loss of the whole training part at the current parameters.

    (The mean of an epoch's batch losses would not do: each was taken before its update.)
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the full loss with the threshold."""
        if (trainer.current_epoch + 1) % self.every == 0:
            loss = full_loss(_predictor(pl_module), _batches(trainer, pl_module)).item()
            trainer.should_stop = bool(self.verdict(trainer.current_epoch + 1, loss))


class Stationary(rules.Stationary, Callback):
    """As in `rules.py`, of the gradient of the whole training part's loss."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the full gradient's norm with the bound."""
        if (trainer.current_epoch + 1) % self.every == 0:
            gradient = full_gradient(_predictor(pl_module), _batches(trainer, pl_module))
            norm = torch.stack([g.norm() for g in gradient]).norm().item()
            trainer.should_stop = bool(self.verdict(trainer.current_epoch + 1, norm))


class EarlyStop(EarlyStopping):
    """Ends when the objective has not become better for some epochs; Lightning's rule, with this project's limits.

    Args:
        monitor: the objective; which way it is better follows from its name.
        patience: epochs without a better objective.
        min_delta: what counts as better, in the objective's units.
        epochs, updates: limits, as in `Epochs`.
    """

    def __init__(
        self,
        monitor: str,
        patience: int = 20,
        min_delta: float = 0.0,
        epochs: int | None = 500,
        updates: int = -1,
    ) -> None:
        rules.check_limits(epochs, updates)
        if patience < 1:
            raise ValueError(f"stop.patience={patience} must be 1 or more")
        super().__init__(
            monitor,
            min_delta=min_delta,
            patience=patience,
            mode=better(monitor),
            check_finite=False,
            check_on_train_epoch_end=True,
        )
        self.epochs, self.updates = epochs, updates

    @property
    def reason(self) -> str:
        """Why this rule stopped the run; empty if it did not."""
        if not self.stopped_epoch:
            return ""
        best = float(self.best_score)
        return f"early stopping: no better {self.monitor} than {best:.6g} for {self.patience} epochs"


class Pruning(Callback):
    """Ends the hopeless trial of a study, beside the run's own rule: the study's pruner is asked after every epoch.

    Args:
        trial: whose job this run is.
        scores: of the epochs; they come before this callback.
    """

    def __init__(self, trial: Trial, scores: EpochScores) -> None:
        self.trial, self.scores, self.reason = trial, scores, ""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the objective; end the run if the study says so."""
        if trainer.is_global_zero:
            value = self.scores.history[-1].get(self.trial.objective)
            self.reason = self.trial.report(trainer.current_epoch + 1, value, ends=ends_here(trainer))
        self.reason = trainer.strategy.broadcast(self.reason)
        trainer.should_stop = trainer.should_stop or bool(self.reason)


StopRule = Epochs | Threshold | Stationary | EarlyStop


def stop_reason(rules: Sequence[StopRule | Pruning], trainer: Trainer) -> str:
    """Which rule ended a finished fit, in words."""
    for rule in rules:
        if rule.reason:
            return rule.reason
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"updates: {trainer.global_step} updates done"
    return f"epochs: {trainer.current_epoch} epochs done"


def ends_here(trainer: Trainer) -> bool:
    """Whether the epoch that ends now is the run's last."""
    return (
        trainer.should_stop
        or 0 < trainer.max_steps <= trainer.global_step
        or (trainer.max_epochs is not None and 0 < trainer.max_epochs <= trainer.current_epoch + 1)
    )


def _predictor(pl_module: LightningModule) -> Predictor:
    assert isinstance(pl_module, Predictor), "stop rules look at a Predictor's loss"
    return pl_module


def _batches(trainer: Trainer, pl_module: LightningModule) -> Iterable[tuple[Tensor, Tensor]]:
    windows = windows_in_training(trainer, pl_module)
    return ((batch.x_ND, batch.y_NH) for _, batch in windows.walk("train"))
