"""LightningModules that train a network on batches (x, y) with PyTorch's gradients; `manual.py` has those by hand.

Thin on purpose: the functions are in `nets/networks.py`, the losses in `nets/losses.py`; what is watched and scored is
done by callbacks. Any Lightning `Trainer` can fit these, with any loader of (x, y) pairs.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from steepest.lightning.internals import loops_at, name_hyperparameters
from steepest.nets.losses import loss_of
from steepest.nets.networks import MLP, Linear
from steepest.runs.build import network_of
from steepest.runs.specs import LinearModel, MLPModel

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
MakeScheduler = Callable[[torch.optim.Optimizer], LRScheduler]


def takes(spec: type) -> Callable[[Any], Any]:
    """Let a constructor's signature be the fields of a dataclass, `optimizer` and `scheduler`.

    Lightning hands a constructor those of a checkpoint's hyper-parameters that its signature has: so each kind of
    predictor loads the others' checkpoints.
    """

    def sign(constructor: Any) -> Any:
        own, fields = inspect.signature(constructor).parameters, inspect.signature(spec).parameters.values()
        constructor.__signature__ = inspect.Signature([own["self"], *fields, own["optimizer"], own["scheduler"]])
        return constructor

    return sign


class Diverged(ArithmeticError):
    """The training loss, or its gradient, is not a finite number; the update it called for was refused."""

    @classmethod
    def at(cls, what: str, update: int, epoch: int) -> Diverged:
        """For an update and an epoch, counted from 1."""
        return cls(f"{what} at update {update} (epoch {epoch}), which was refused: lower optimizer.lr")


class Predictor(LightningModule):
    """What the predictors share; use `LinearPredictor`, `MLPPredictor` or `ManualPredictor`.

    Args:
        spec: its options; they are a checkpoint's hyper-parameters.
        network: the function, (N, D) -> (N, O).
        optimizer: makes the optimizer from the parameters; gradient descent with step 0.01 when None.
        scheduler: makes from the optimizer what changes its step after every epoch; nothing when None.

    Attributes:
        at_hand: inputs, targets and mean loss (a number) of the batch that the update at hand is computed from, at the
            parameters before that update; for callbacks.
        monitor: the logged score that a `ReduceLROnPlateau` scheduler looks at.
    """

    monitor: str = "val/loss"
    at_hand: tuple[Tensor, Tensor, float]

    def __init__(
        self,
        spec: LinearModel | MLPModel,
        network: MLP,
        optimizer: MakeOptimizer | None,
        scheduler: MakeScheduler | None,
    ) -> None:
        super().__init__()
        self.loss = loss_of(spec.loss)
        self.network = network
        self.make_optimizer = optimizer or partial(torch.optim.SGD, lr=0.01)
        self.make_scheduler = scheduler
        name_hyperparameters(self, asdict(spec))

    def forward(self, x_ND: Tensor) -> Tensor:
        """Predictions (N, O) in model space for inputs (N, D)."""
        return self.network(x_ND)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> Any:
        """The batch's loss, weighed by its share of the update's samples where several devices split a batch."""
        x_ND, y_NH, *share = batch
        loss = self.loss(self(x_ND), y_NH)
        self.check_finite(x_ND, y_NH, loss.detach())
        return loss * share[0] if share else loss

    def check_finite(self, x_ND: Tensor, y_NH: Tensor, loss: Tensor) -> None:
        """Keep what the next update is computed from.

        Raises:
            Diverged: for a loss that is not a finite number, before the update it calls for.
        """
        number = loss.item()
        if not math.isfinite(number):
            raise Diverged.at(f"the training loss is {number}", self.global_step + 1, self.current_epoch + 1)
        self.__dict__["at_hand"] = (x_ND, y_NH, number)  # past the look for parameters and submodules

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
        """Save the parameters' own numbers, not those of a larger tensor that they are views of; count batches."""
        checkpoint["state_dict"] = {name: value.clone() for name, value in checkpoint["state_dict"].items()}
        if math.isfinite(self.trainer.num_training_batches):
            checkpoint["batches"] = int(self.trainer.num_training_batches)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a checkpoint be taken up to the bit, by either kind of optimization, whichever driver wrote it."""
        # Lightning loads it before it turns the module to double: the digits beyond single would be lost.
        self.to(dtype=next(iter(checkpoint["state_dict"].values())).dtype)
        if self._trainer is not None and "batches" in checkpoint and "optimizer_states" in checkpoint:
            checkpoint["loops"] = loops_at(self.trainer, checkpoint["global_step"], checkpoint["batches"])


class LinearPredictor(Predictor):
    """p = W x + b by gradient descent.

    Args:
        inputs, outputs, loss, seed, init_scale: the fields of `runs.specs.LinearModel`.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes what changes its step after every epoch.
    """

    @takes(LinearModel)
    def __init__(
        self,
        *sizes: Any,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
        **options: Any,
    ) -> None:
        spec = LinearModel(*sizes, **options)
        super().__init__(spec, Linear(spec.inputs, spec.outputs, spec.seed, spec.init_scale), optimizer, scheduler)


class MLPPredictor(Predictor):
    """A fully connected net by gradient descent; one hidden layer is the two-layer net.

    Args:
        inputs, outputs, hidden, activation, loss, seed, init_scale: the fields of `runs.specs.MLPModel`.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes what changes its step after every epoch.
    """

    @takes(MLPModel)
    def __init__(
        self,
        *sizes: Any,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
        **options: Any,
    ) -> None:
        spec = MLPModel(*sizes, **options)
        super().__init__(spec, network_of(spec), optimizer, scheduler)
