"""When gradient descent ends: the rules of `stop=...`, for both drivers. No Lightning.

Every rule also has the limits `epochs` and `updates`; whichever is reached first ends the run. The reason is part of a
run's state: a resumed run does not continue if its rule has ended it; it may continue if it reached a limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from steepest.data.faults import counted
from steepest.evaluate.names import better


@dataclass(frozen=True)
class EpochEnd:
    """A run at the end of an epoch.

    Attributes:
        epochs, updates: done so far.
        scores: of train and val, at the current parameters.
        gradient_norm: computes the gradient norm of the whole training part's loss.
    """

    epochs: int
    updates: int
    scores: Mapping[str, float]
    gradient_norm: Callable[[], float]


@dataclass
class Epochs:
    """Ends a run after a number of epochs (each uses every batch once) or updates (each changes all parameters once).

    Attributes:
        epochs: the limit; null for none.
        updates: the limit; -1 for none.
    """

    epochs: int | None = 50
    updates: int = -1

    def __post_init__(self) -> None:
        if self.epochs is None and self.updates == -1:
            raise ValueError(
                "stop.epochs=null and stop.updates=-1: a run needs one limit; set stop.epochs or stop.updates"
            )
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"stop.epochs={self.epochs} must be 1 or more, or null for no limit")
        if self.updates != -1 and self.updates < 1:
            raise ValueError(f"stop.updates={self.updates} must be 1 or more, or -1 for no limit")
        self.reason = ""

    @property
    def updates_limit(self) -> int | None:
        """Return the maximum number of updates, or None for no limit."""
        return None if self.updates == -1 else self.updates

    def look(self, at: EpochEnd) -> str:
        """Return why the run ends here, or an empty string if it continues. `reason` is the same string."""
        verdict = self.verdict(at)
        if verdict and not is_verdict(verdict):  # of a rule of the user's
            verdict = f"stop rule: {verdict}"
        self.reason = verdict or self.limit(at.epochs, at.updates)
        return self.reason

    def limit(self, epochs: int, updates: int) -> str:
        """Return the limit that this number of epochs and updates has reached, or an empty string if there is none."""
        if self.updates != -1 and updates >= self.updates:
            return f"updates: {updates} updates done"
        if self.epochs is not None and epochs >= self.epochs:
            return f"epochs: {counted(epochs, 'epoch')} done"
        return ""

    def verdict(self, at: EpochEnd) -> str:
        """Return why the rule itself, without its limits, ends the run here, or an empty string if it does not."""
        return ""

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs."""
        return {"reason": self.reason}

    def load_state_dict(self, state: dict[str, Any], *, epochs: int, updates: int) -> None:
        """Restore the state of a run after this many epochs and updates. Its limits may have been raised since then."""
        vars(self).update(state)
        if not is_verdict(self.reason):
            self.reason = self.limit(epochs, updates)


@dataclass
class Threshold(Epochs):
    """Ends a run when the loss of the whole training part, at the current parameters, is below a number.

    (The mean of an epoch's batch losses is not used: each of them is computed before its update.)

    Attributes:
        loss: the number, in the units of the training loss (standardised by the training rows).
        epochs, updates: limits, as in `Epochs`.
        every_n_epochs: how often the loss is compared.
    """

    epochs: int | None = 500
    loss: float = math.nan
    every_n_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bound("loss", self.loss, self.every_n_epochs)

    def verdict(self, at: EpochEnd) -> str:
        loss = at.scores["train/full_loss"]
        if at.epochs % self.every_n_epochs == 0 and loss < self.loss:
            return f"threshold: training loss {loss:.6g} is below {self.loss:g}"
        return ""


@dataclass
class Stationary(Epochs):
    """Ends a run when the gradient of the whole training part's loss is almost zero.

    Attributes:
        gradient_norm: the gradient's Euclidean norm must fall below this.
        epochs, updates: limits, as in `Epochs`.
        every_n_epochs: how often the norm is computed.
    """

    epochs: int | None = 500
    gradient_norm: float = math.nan
    every_n_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bound("gradient_norm", self.gradient_norm, self.every_n_epochs)

    def verdict(self, at: EpochEnd) -> str:
        if at.epochs % self.every_n_epochs == 0 and (norm := at.gradient_norm()) < self.gradient_norm:
            return f"stationary: gradient norm {norm:.6g} is below {self.gradient_norm:g}"
        return ""


@dataclass
class EarlyStop(Epochs):
    """Ends a run when the objective has not improved for some epochs.

    Attributes:
        monitor: the objective; its name tells whether higher or lower is better.
        patience: epochs without improvement.
        min_delta: the smallest improvement that counts, in the objective's units.
        epochs, updates: limits, as in `Epochs`.
    """

    epochs: int | None = 500
    monitor: str = "val/mse_scaled"
    patience: int = 20
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience < 1:
            raise ValueError(f"stop.patience={self.patience} must be 1 or more")
        if not 0 <= self.min_delta < math.inf:
            raise ValueError(f"stop.min_delta={self.min_delta} must be 0 or more")
        self.best: float | None = None
        self.waited = 0

    def verdict(self, at: EpochEnd) -> str:
        value = at.scores.get(self.monitor)
        if value is None:
            return ""
        sign = -1 if better(self.monitor) == "max" else 1
        if self.best is None or sign * value < sign * self.best - self.min_delta:
            self.best, self.waited = value, 0
            return ""
        self.waited += 1
        if self.waited < self.patience:
            return ""
        return f"early stopping: no better {self.monitor} than {self.best:.6g} for {self.patience} epochs"

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best": self.best, "waited": self.waited}


class Interrupted(Exception):
    """The user interrupted the training of the folds' models."""


class Diverged(ArithmeticError):
    """The training loss or its gradient is not finite. The update was refused."""

    @classmethod
    def at(cls, what: str, update: int, epoch: int) -> Diverged:
        """Return the error for an update of an epoch, both counted from 1."""
        return cls(f"{what} at update {update} (epoch {epoch}), which was not done: lower optimizer.lr")


def is_verdict(reason: str) -> bool:
    """Whether this reason is final: it comes from a rule or a pruner, not from a limit, which can be raised."""
    return reason.startswith(("threshold:", "stationary:", "early stopping:", "pruned:", "stop rule:"))


def _check_bound(key: str, value: float, every_n_epochs: int) -> None:
    """Raise `ValueError` for a bound that is not a number above 0, and for fewer than 1 epoch between comparisons."""
    if not 0 < value < math.inf:
        raise ValueError(f"stop.{key}={value} must be a number above 0")
    if every_n_epochs < 1:
        raise ValueError(f"stop.every_n_epochs={every_n_epochs} must be 1 or more")
