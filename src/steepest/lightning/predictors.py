"""LightningModules that train a network on batches (x, y) with PyTorch's gradients; `manual.py` has those by hand.

Thin on purpose: the functions are in `networks.py`, the losses in `losses.py`; what is watched and scored is done by
callbacks. Any Lightning `Trainer` can fit these, with any loader of (x, y) pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steepest.nets.losses import loss_of
from steepest.nets.names import ActivationName, LossName
from steepest.nets.networks import MLP, Linear

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
MakeScheduler = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


class Diverged(ArithmeticError):
    """The training loss is not a finite number; the update it called for was refused."""


class Predictor(LightningModule):
    """What the predictors share; use `LinearPredictor`, `MLPPredictor` or `ManualPredictor`.

    Args:
        network: the function, (N, D) -> (N, O).
        loss: a name in `LOSSES`.
        optimizer: makes the optimizer from the parameters; gradient descent with step 0.01 when None.
        scheduler: makes from the optimizer what changes its step after every epoch; nothing when None.

    Attributes:
        at_hand: the batch (x_ND, y_NH) that the update at hand is computed from, and its mean loss, a scalar, at the
            parameters before that update; for callbacks.
        loss_at_hand: that loss as a number.
        monitor: the logged score that a `ReduceLROnPlateau` scheduler looks at.
    """

    monitor: str = "val/loss"

    at_hand: tuple[Tensor, Tensor, Tensor]
    loss_at_hand: float

    def __init__(
        self, network: MLP, loss: str, optimizer: MakeOptimizer | None, scheduler: MakeScheduler | None
    ) -> None:
        super().__init__()
        self.loss = loss_of(loss)
        self.network = network
        self.make_optimizer = optimizer or partial(torch.optim.SGD, lr=0.01)
        self.make_scheduler = scheduler

    def forward(self, x_ND: Tensor) -> Tensor:
        """Predictions (N, O) in model space for inputs (N, D)."""
        return self.network(x_ND)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> Any:
        """The batch's loss, weighed by its share of the update's samples where several devices split a batch."""
        x_ND, y_NH, *share = batch
        loss = self.loss(self(x_ND), y_NH)
        self.seen(x_ND, y_NH, loss.detach())
        return loss * share[0] if share else loss

    def seen(self, x_ND: Tensor, y_NH: Tensor, loss: Tensor) -> None:
        """Keep what the next update is computed from.

        Raises:
            Diverged: for a loss that is no finite number, before the update it calls for.
        """
        number = loss.item()
        if not math.isfinite(number):
            raise Diverged(
                f"the training loss is {number} at update {self.global_step + 1} "
                f"(epoch {self.current_epoch + 1}), which was refused: lower optimizer.lr"
            )
        # Past the look for parameters and submodules.
        self.__dict__["at_hand"], self.__dict__["loss_at_hand"] = (x_ND, y_NH, loss), number

    def gradient(self, x_ND: Tensor, y_NH: Tensor) -> list[Tensor]:
        """The gradient of the mean loss of these samples, a tensor per parameter, in their order."""
        with torch.enable_grad():
            return list(torch.autograd.grad(self.loss(self(x_ND), y_NH), list(self.network.parameters())))

    def validation_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Log ``val/loss``, the mean over all samples, where a Trainer validates."""
        x_ND, y_NH, *_ = batch
        self.log("val/loss", self.loss(self(x_ND), y_NH), on_epoch=True, batch_size=len(x_ND), sync_dist=True)

    def build_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer over the network's parameters."""
        return self.make_optimizer(self.network.parameters())

    def configure_optimizers(self) -> Any:
        """The optimizer, with the scheduler if there is one."""
        optimizer = self.build_optimizer()
        if self.make_scheduler is None:
            return optimizer
        schedule: dict[str, Any] = {"scheduler": self.make_scheduler(optimizer)}
        if isinstance(schedule["scheduler"], ReduceLROnPlateau) and self.automatic_optimization:
            schedule["monitor"] = self.monitor  # of a manual module Lightning does not keep it
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the parameters' own numbers, not those of a larger tensor that they are views of."""
        checkpoint["state_dict"] = {name: value.clone() for name, value in checkpoint["state_dict"].items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a checkpoint be taken up to the bit, and by either kind of optimization."""
        # Lightning loads it before it turns the module to double: the digits beyond single would be lost.
        self.to(dtype=next(iter(checkpoint["state_dict"].values())).dtype)
        # Each kind counts its updates elsewhere.
        if "loops" not in checkpoint:
            return
        loop = checkpoint["loops"]["fit_loop"]
        steps = {"ready": checkpoint["global_step"], "completed": checkpoint["global_step"]}
        loop["epoch_loop.manual_optimization.optim_step_progress"]["total"].update(steps)
        loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"].update(steps)


class LinearPredictor(Predictor):
    """p = W x + b by gradient descent.

    Args:
        inputs: D.
        outputs: O.
        loss: ``mse``, ``mae``, ``huber``, or ``cross_entropy`` for directions.
        seed: of the initial weights.
        init_scale: of the initial weights; 1 is the usual start.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes what changes its step after every epoch.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        loss: LossName = "mse",
        seed: int = 0,
        init_scale: float = 1.0,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
    ) -> None:
        super().__init__(Linear(inputs, outputs, seed, init_scale), loss, optimizer, scheduler)
        # Plain data only: checkpoints load with weights_only=True.
        self.save_hyperparameters(ignore=["optimizer", "scheduler"], logger=False)


class MLPPredictor(Predictor):
    """A fully connected net by gradient descent; one hidden layer is the two-layer net.

    Args:
        inputs: D.
        outputs: O.
        hidden: units of each hidden layer.
        activation: ``sigmoid``, ``relu``, ``tanh``, ``hard_sigmoid`` or ``identity``.
        loss: ``mse``, ``mae``, ``huber``, or ``cross_entropy`` for directions.
        seed: of the initial weights.
        init_scale: of the initial weights; 1 is the usual start.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes what changes its step after every epoch.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (64,),
        activation: ActivationName = "sigmoid",
        loss: LossName = "mse",
        seed: int = 0,
        init_scale: float = 1.0,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
    ) -> None:
        super().__init__(MLP(inputs, hidden, outputs, activation, seed, init_scale), loss, optimizer, scheduler)
        self.save_hyperparameters(ignore=["optimizer", "scheduler"], logger=False)


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
    total = [torch.zeros_like(p) for p in predictor.network.parameters()]
    count = 0
    for x_ND, y_NH in batches:
        torch._foreach_add_(total, predictor.gradient(x_ND, y_NH), alpha=len(x_ND))
        count += len(x_ND)
    return [g / count for g in total]
