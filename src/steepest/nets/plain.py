"""A predictor without Lightning: the network, its loss, and what a checkpoint says of how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from steepest.nets.losses import Loss, loss_of
from steepest.nets.networks import MLP, Linear


class Model(Protocol):
    """What is asked of a model that is looked at, a `Predictor` or a `PlainModel`."""

    network: MLP
    loss: Loss


class PlainModel(nn.Module):
    """The function of a `LinearPredictor`, `MLPPredictor` or `ManualPredictor`, by the same names.

    Args:
        options: that constructor's arguments, all of them but optimizer and scheduler.

    Raises:
        ValueError: as that constructor does.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        inputs, outputs, seed, scale = (options[key] for key in ("inputs", "outputs", "seed", "init_scale"))
        if "hidden" in options:
            self.network = MLP(inputs, options["hidden"], outputs, options["activation"], seed, scale)
        else:
            self.network = Linear(inputs, outputs, seed, scale)
        self.loss = loss_of(options["loss"])
        check_updates_per_step(options.get("updates_per_step", 1))
        self.options = dict(options)

    def forward(self, x_ND: Tensor) -> Tensor:
        """Predictions (N, O) in model space for inputs (N, D)."""
        return self.network(x_ND)


def check_updates_per_step(updates: int) -> None:
    """Raise `ValueError` for a number of updates that a step cannot have."""
    if updates < 1:
        raise ValueError(f"model.updates_per_step={updates} must be 1 or more")
