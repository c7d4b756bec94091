"""When gradient descent ends: the rules of `stop=...`, whichever driver trains. No Lightning.

Every rule has the two limits `epochs` and `updates` beside its own; whichever comes first ends the run. A rule's
verdict is state: a run that ended by it does not train on when it is resumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from steepest.evaluate.names import better


@dataclass(frozen=True)
class EpochEnd:
    """A run at the end of an epoch.

    Attributes:
        epochs, updates: done.
        scores: of train and val, at the current parameters.
        gradient_norm: of the whole training part's loss; computed when it is called.
    """

    epochs: int
    updates: int
    scores: Mapping[str, float]
    gradient_norm: Callable[[], float]


@dataclass
class Epochs:
    """Ends after a number of epochs (each: every batch once) or updates (each: all parameters once).

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
        """Most updates; None for no limit."""
        return None if self.updates == -1 else self.updates

    def look(self, at: EpochEnd) -> str:
        """Why a run ends here, kept in `reason`; empty if it does not."""
        self.reason = self.verdict(at) or self.limit(at.epochs, at.updates)
        return self.reason

    def limit(self, epochs: int, updates: int) -> str:
        """Which limit so many epochs and updates have reached; empty for none."""
        if self.updates != -1 and updates >= self.updates:
            return f"updates: {updates} updates done"
        if self.epochs is not None and epochs >= self.epochs:
            return f"epochs: {epochs} epochs done"
        return ""

    def verdict(self, at: EpochEnd) -> str:
        """Why the rule itself ends a run here; empty if it does not."""
        return ""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"reason": self.reason}

    def load_state_dict(self, state: dict[str, Any], *, epochs: int, updates: int) -> None:
        """Take up a run that has done so much; a limit may have been raised since, a verdict stands."""
        vars(self).update(state)
        if not is_verdict(self.reason):
            self.reason = self.limit(epochs, updates)


@dataclass
class Threshold(Epochs):
    """Ends when the loss of the whole training part, at the current parameters, is below a number.

    (The mean of an epoch's batch losses would not do: each was taken before its update.)

    Attributes:
        loss: the number, in the units of the training loss (standardised by the training rows).
        epochs, updates: limits, as in `Epochs`.
        every_n_epochs: how often it is looked at.
    """

    epochs: int | None = 500
    loss: float = math.nan
    every_n_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(loss=self.loss)
        check_every(self.every_n_epochs)

    def verdict(self, at: EpochEnd) -> str:
        """As of any rule."""
        loss = at.scores["train/full_loss"]
        if at.epochs % self.every_n_epochs == 0 and loss < self.loss:
            return f"threshold: training loss {loss:.6g} is below {self.loss:g}"
        return ""


@dataclass
class Stationary(Epochs):
    """Ends when the gradient of the whole training part's loss has all but vanished.

    Attributes:
        gradient_norm: its Euclidean norm must fall below this.
        epochs, updates: limits, as in `Epochs`.
        every_n_epochs: how often it is looked at.
    """

    epochs: int | None = 500
    gradient_norm: float = math.nan
    every_n_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(gradient_norm=self.gradient_norm)
        check_every(self.every_n_epochs)

    def verdict(self, at: EpochEnd) -> str:
        """As of any rule."""
        if at.epochs % self.every_n_epochs == 0 and (norm := at.gradient_norm()) < self.gradient_norm:
            return f"stationary: gradient norm {norm:.6g} is below {self.gradient_norm:g}"
        return ""


@dataclass
class EarlyStop(Epochs):
    """Ends when the objective has not improved for some epochs.

    Attributes:
        monitor: the objective; which way it improves follows from its name.
        patience: epochs without improvement.
        min_delta: what counts as improvement, in the objective's units.
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
            raise ValueError(f"stop.min_delta={self.min_delta} must be a number of 0 or more")
        self.best: float | None = None
        self.waited = 0

    def verdict(self, at: EpochEnd) -> str:
        """As of any rule."""
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
        """As of any rule."""
        return super().state_dict() | {"best": self.best, "waited": self.waited}


def is_verdict(reason: str) -> bool:
    """Whether a run that ended for this reason has ended for good: not at a limit, which can be raised."""
    return reason.startswith(("threshold:", "stationary:", "early stopping:", "pruned:"))


def check_positive(**numbers: float) -> None:
    """Raise `ValueError` for a bound that is not a number above 0."""
    for key, value in numbers.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"stop.{key}={value} must be a number above 0")


def check_every(epochs: int) -> None:
    """Raise `ValueError` for a number of epochs that cannot lie between two looks."""
    if epochs < 1:
        raise ValueError(f"stop.every_n_epochs={epochs} must be 1 or more")
