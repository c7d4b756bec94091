"""When gradient descent ends: the stop rules of `stop=...` that hang on numbers alone. No torch, no Lightning.

`stops.py` makes callbacks of them. Every rule has the two limits `epochs` and `updates` beside its own; whichever comes
first ends the run.
"""

from __future__ import annotations

import math


class Epochs:
    """Ends after a number of epochs (each: every batch once) or updates (each: all parameters once).

    Args:
        epochs: the limit; null for none.
        updates: the limit; -1 for none.
    """

    def __init__(self, epochs: int | None = 50, updates: int = -1) -> None:
        check_limits(epochs, updates)
        self.epochs, self.updates, self.reason = epochs, updates, ""


class Threshold:
    """Ends when the loss of the whole training part, at the current parameters, is below a number.

    (The mean of an epoch's batch losses would not do: each was taken before its update.)

    Args:
        loss: the number, in the units of the training loss (standardised by the training rows).
        epochs, updates: limits, as in `Epochs`.
        every_n_epochs: how often it is looked at.
    """

    def __init__(self, loss: float, epochs: int | None = 500, updates: int = -1, every_n_epochs: int = 1) -> None:
        check_limits(epochs, updates, every_n_epochs)
        _check_positive("stop.loss", loss)
        self.loss, self.epochs, self.updates, self.every, self.reason = (
            loss,
            epochs,
            updates,
            every_n_epochs,
            "",
        )

    def verdict(self, epochs: int, loss: float) -> str:
        """Why a run ends after so many epochs, at this loss of the whole training part; empty if it does not."""
        if epochs % self.every == 0 and loss < self.loss:
            self.reason = f"threshold: training loss {loss:.6g} is below {self.loss:g}"
        return self.reason


class Stationary:
    """Ends when the gradient of the whole training part's loss is as good as zero.

    Args:
        gradient_norm: its Euclidean norm must fall below this.
        epochs, updates: limits, as in `Epochs`.
        every_n_epochs: how often it is looked at.
    """

    def __init__(
        self, gradient_norm: float, epochs: int | None = 500, updates: int = -1, every_n_epochs: int = 1
    ) -> None:
        check_limits(epochs, updates, every_n_epochs)
        _check_positive("stop.gradient_norm", gradient_norm)
        self.gradient_norm, self.epochs, self.updates = gradient_norm, epochs, updates
        self.every, self.reason = every_n_epochs, ""

    def verdict(self, epochs: int, norm: float) -> str:
        """Why a run ends after so many epochs, at this norm of the whole part's gradient; empty if it does not."""
        if epochs % self.every == 0 and norm < self.gradient_norm:
            self.reason = f"stationary: gradient norm {norm:.6g} is below {self.gradient_norm:g}"
        return self.reason


def check_limits(epochs: int | None, updates: int, every_n_epochs: int = 1) -> None:
    """Raise `ValueError` for limits that no run can have."""
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
