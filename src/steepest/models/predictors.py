"""LightningModules that train a network on batches (x, y): automatic optimization here.

Thin on purpose: the functions are in `networks.py`, the losses in `losses.py`; what is watched and scored is done by
callbacks. Any Lightning `Trainer` can fit these, with any loader of (x, y) pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from steepest.models.losses import LOSSES
from steepest.models.networks import MLP, Linear

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
LossName = Literal["mse", "mae", "huber", "cross_entropy"]
ActivationName = Literal["sigmoid", "relu", "tanh", "hard_sigmoid", "identity"]


class Diverged(ArithmeticError):
    """The training loss is not a finite number; the update it called for was refused."""


class Predictor(LightningModule):
    """What the predictors share; use `LinearPredictor` or `MLPPredictor`.

    Args:
        network: the function, (N, D) -> (N, O).
        loss: a name in `LOSSES`.
        optimizer: makes the optimizer from the parameters; gradient descent with step 0.01 when None.
    """

    def __init__(self, network: torch.nn.Module, loss: str, optimizer: MakeOptimizer | None) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise ValueError(f"model.loss={loss} must be one of {', '.join(LOSSES)}")
        self.network = network
        self.loss = LOSSES[loss]
        self.make_optimizer = optimizer or partial(torch.optim.SGD, lr=0.01)

    def forward(self, x_ND: Tensor) -> Tensor:
        """Predictions (N, O) in model space for inputs (N, D)."""
        return self.network(x_ND)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> Tensor:
        """The batch's loss, weighed by its share of the update's samples where several devices split a batch."""
        x_ND, y_NH, *share = batch
        loss = self.loss(self(x_ND), y_NH)
        if not torch.isfinite(loss):
            raise Diverged(
                f"the training loss is {loss.item()} at update {self.global_step + 1} "
                f"(epoch {self.current_epoch + 1}), which was refused: lower optimizer.lr"
            )
        return loss * share[0] if share else loss

    def validation_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Log ``val/loss``, the mean over all samples, where a Trainer validates."""
        x_ND, y_NH, *_ = batch
        self.log("val/loss", self.loss(self(x_ND), y_NH), on_epoch=True, batch_size=len(x_ND), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer over the network's parameters."""
        return self.make_optimizer(self.network.parameters())


class LinearPredictor(Predictor):
    """p = W x + b by gradient descent.

    Args:
        inputs: D.
        outputs: O.
        loss: ``mse``, ``mae``, ``huber``, or ``cross_entropy`` for directions.
        seed: of the initial weights.
        optimizer: makes the optimizer from the parameters.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        loss: LossName = "mse",
        seed: int = 0,
        optimizer: MakeOptimizer | None = None,
    ) -> None:
        super().__init__(Linear(inputs, outputs, seed), loss, optimizer)
        self.save_hyperparameters(ignore=["optimizer"])  # plain data only: checkpoints load with weights_only=True


class MLPPredictor(Predictor):
    """A fully connected net by gradient descent; one hidden layer is the two-layer net.

    Args:
        inputs: D.
        outputs: O.
        hidden: units of each hidden layer.
        activation: ``sigmoid``, ``relu``, ``tanh``, ``hard_sigmoid`` or ``identity``.
        loss: ``mse``, ``mae``, ``huber``, or ``cross_entropy`` for directions.
        seed: of the initial weights.
        optimizer: makes the optimizer from the parameters.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (64,),
        activation: ActivationName = "sigmoid",
        loss: LossName = "mse",
        seed: int = 0,
        optimizer: MakeOptimizer | None = None,
    ) -> None:
        super().__init__(MLP(inputs, hidden, outputs, activation, seed), loss, optimizer)
        self.save_hyperparameters(ignore=["optimizer"])


@torch.no_grad()
def full_loss(predictor: Predictor, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The mean loss over all samples of `batches` of (x_ND, y_NH), at the current parameters; a scalar."""
    sums, count = [], 0
    for x_ND, y_NH in batches:
        sums.append(predictor.loss(predictor(x_ND), y_NH) * len(x_ND))
        count += len(x_ND)
    return torch.stack(sums).sum() / count


def full_gradient(predictor: Predictor, batches: Iterable[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The gradient of `full_loss`, a tensor per parameter, in their order; ``p.grad`` is left alone."""
    parameters = list(predictor.network.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    count = 0
    with torch.enable_grad():
        for x_ND, y_NH in batches:
            loss = predictor.loss(predictor(x_ND), y_NH) * len(x_ND)
            torch._foreach_add_(total, list(torch.autograd.grad(loss, parameters)))
            count += len(x_ND)
    return [g / count for g in total]
