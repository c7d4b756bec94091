"""When gradient descent ends: the stop rules of `stop=...`, each a callback that says why it stopped the run.

Every rule has the two limits `epochs` and `updates` beside its own; whichever comes first ends the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from steepest.data.datamodule import windows_in_training
from steepest.evaluate.metrics import better
from steepest.models.predictors import Predictor, full_gradient, full_loss
from steepest.observe.scores import EpochScores
from steepest.training.pruning import Trial


class Epochs(Callback):
    """Ends after a number of epochs (each: every batch once) or updates (each: all parameters once).

    Args:
        epochs: the limit; null for none.
        updates: the limit; -1 for none.
    """

    def __init__(self, epochs: int | None = 50, updates: int = -1) -> None:
        _check_limits(epochs, updates)
        self.epochs, self.updates, self.reason = epochs, updates, ""


class Threshold(Callback):
    """Ends when the loss of the whole training part, at the current parameters, is below a number.

    (The mean of an epoch's batch losses would not do: each was taken before its update.)

    Args:
        loss: the number, in the units of the training loss (standardised by the training rows).
        epochs, updates: limits, as in `Epochs`.
        every_n_epochs: how often it is looked at.
    """

    def __init__(self, loss: float, epochs: int | None = 500, updates: int = -1, every_n_epochs: int = 1) -> None:
        _check_limits(epochs, updates, every_n_epochs)
        _check_positive("stop.loss", loss)
        self.loss, self.epochs, self.updates, self.every, self.reason = (
            loss,
            epochs,
            updates,
            every_n_epochs,
            "",
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the full loss with the threshold."""
        if (trainer.current_epoch + 1) % self.every == 0:
            loss = full_loss(_predictor(pl_module), _batches(trainer, pl_module)).item()
            trainer.should_stop = bool(self.verdict(trainer.current_epoch + 1, loss))

    def verdict(self, epochs: int, loss: float) -> str:
        """Why a run ends after so many epochs, at this loss of the whole training part; empty if it does not."""
        if epochs % self.every == 0 and loss < self.loss:
            self.reason = f"threshold: training loss {loss:.6g} is below {self.loss:g}"
        return self.reason


class Stationary(Callback):
    """Ends when the gradient of the whole training part's loss is as good as zero.

    Args:
        gradient_norm: its Euclidean norm must fall below this.
        epochs, updates: limits, as in `Epochs`.
        every_n_epochs: how often it is looked at.
    """

    def __init__(
        self, gradient_norm: float, epochs: int | None = 500, updates: int = -1, every_n_epochs: int = 1
    ) -> None:
        _check_limits(epochs, updates, every_n_epochs)
        _check_positive("stop.gradient_norm", gradient_norm)
        self.gradient_norm, self.epochs, self.updates = gradient_norm, epochs, updates
        self.every, self.reason = every_n_epochs, ""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the full gradient's norm with the bound."""
        if (trainer.current_epoch + 1) % self.every == 0:
            gradient = full_gradient(_predictor(pl_module), _batches(trainer, pl_module))
            norm = torch.stack([g.norm() for g in gradient]).norm().item()
            trainer.should_stop = bool(self.verdict(trainer.current_epoch + 1, norm))

    def verdict(self, epochs: int, norm: float) -> str:
        """Why a run ends after so many epochs, at this norm of the whole part's gradient; empty if it does not."""
        if epochs % self.every == 0 and norm < self.gradient_norm:
            self.reason = f"stationary: gradient norm {norm:.6g} is below {self.gradient_norm:g}"
        return self.reason


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
        _check_limits(epochs, updates)
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


def _check_limits(epochs: int | None, updates: int, every_n_epochs: int = 1) -> None:
    if epochs is None and updates == -1:
        raise ValueError("stop.epochs=null and stop.updates=-1: a run needs one limit; set stop.epochs or stop.updates")
    if epochs is not None and epochs < 1:
        raise ValueError(f"stop.epochs={epochs} must be 1 or more, or null for no limit")
    if updates != -1 and updates < 1:
        raise ValueError(f"stop.updates={updates} must be 1 or more, or -1 for no limit")
    if every_n_epochs < 1:
        raise ValueError(f"stop.every_n_epochs={every_n_epochs} must be 1 or more")


def _check_positive(key: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{key}={value} must be a number above 0")
