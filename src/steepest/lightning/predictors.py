"""LightningModules that train a network on batches (x, y) with autograd; `manual.py` has the hand-derived one.

They are thin: the networks are in `nets/networks.py`, the losses in `nets/losses.py`, and callbacks score and record.
Any Lightning `Trainer` can fit them, with any loader of (x, y) pairs.
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
from steepest.runs.build import network_of
from steepest.runs.specs import LinearModel, MLPModel, NetModel, WindowModel
from steepest.runs.stops import Diverged

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
MakeScheduler = Callable[[torch.optim.Optimizer], LRScheduler]


def constructor(options: type) -> Any:
    """An `__init__` that takes the fields of a dataclass, `optimizer` and `scheduler`.

    Its signature lists them by name, because Lightning passes on only those hyper-parameters of a checkpoint that the
    signature contains. This is how each kind of predictor loads the others' checkpoints.
    """

    def __init__(  # noqa: N807
        self: Predictor,
        *sizes: Any,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
        **more: Any,
    ) -> None:
        Predictor.__init__(self, options(*sizes, **more), optimizer, scheduler)

    named, fields = inspect.signature(__init__).parameters, inspect.signature(options).parameters.values()
    signature = inspect.Signature([named["self"], *fields, named["optimizer"], named["scheduler"]])
    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


class Predictor(LightningModule):
    """The base class; use `LinearPredictor`, `MLPPredictor`, `WindowPredictor` or `ManualPredictor`.

    Args:
        spec: the model's options, which checkpoints keep as hyper-parameters.
        optimizer: builds the optimizer from the parameters; None means gradient descent with learning rate 0.01.
        scheduler: builds the learning-rate scheduler from the optimizer; None means a constant rate.

    Attributes:
        network: the function, (N, D) -> (N, O).
        current_batch: for callbacks: inputs, targets and mean loss (a number) of the current update's batch, at
            the parameters before the update.
        takes_share: batches may contain a third entry, this device's share of the samples.
        monitor: the logged score that a `ReduceLROnPlateau` scheduler reads.
    """

    monitor: str = "val/loss"
    takes_share = True
    current_batch: tuple[Tensor, Tensor, float]

    def __init__(
        self,
        spec: LinearModel | NetModel | WindowModel,
        optimizer: MakeOptimizer | None,
        scheduler: MakeScheduler | None,
    ) -> None:
        super().__init__()
        self.spec, self.loss, self.network = spec, loss_of(spec.loss), network_of(spec)
        self.make_optimizer = optimizer or partial(torch.optim.SGD, lr=0.01)
        self.make_scheduler = scheduler
        name_hyperparameters(self, asdict(spec))

    def __setattr__(self, name: str, value: Any) -> None:
        """Store a string directly: Lightning stores a hook's name 30 times per epoch, and PyTorch's method is slow."""
        if name in self.__dict__ and isinstance(value, str | None):
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def forward(self, x_ND: Tensor) -> Tensor:
        """Predictions (N, O) in model space for inputs (N, D)."""
        return self.network(x_ND)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> Any:
        """The batch's loss; where several devices split a batch, weighted by this device's share of the samples."""
        x_ND, y_NH, *share = batch
        loss = self.loss(self(x_ND), y_NH)
        self.check_finite(x_ND, y_NH, loss.detach())
        return loss * share[0] if share else loss

    def check_finite(self, x_ND: Tensor, y_NH: Tensor, loss: Tensor) -> None:
        """Set `current_batch`.

        Raises:
            Diverged: if the loss is not finite; the update is not applied.
        """
        number = loss.item()
        if not math.isfinite(number):
            raise Diverged.at(f"the training loss is {number}", self.global_step + 1, self.current_epoch + 1)
        self.__dict__["current_batch"] = (x_ND, y_NH, number)  # faster than PyTorch's `__setattr__`

    def validation_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Log ``val/loss``, the mean over all samples."""
        x_ND, y_NH, *_ = batch
        self.log("val/loss", self.loss(self(x_ND), y_NH), on_epoch=True, batch_size=len(x_ND), sync_dist=True)

    def test_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Log ``test/loss``, the mean over all samples."""
        x_ND, y_NH, *_ = batch
        self.log("test/loss", self.loss(self(x_ND), y_NH), on_epoch=True, batch_size=len(x_ND), sync_dist=True)

    def predict_step(self, batch: Sequence[Any], batch_idx: int) -> Tensor:
        """Predictions (N, O) in model space for a batch of inputs, or of inputs and targets."""
        return self(batch if isinstance(batch, Tensor) else batch[0])

    def build_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer over the network's parameters."""
        return self.make_optimizer(self.network.parameters())

    def configure_optimizers(self) -> Any:
        """The optimizer and the scheduler, if there is one."""
        optimizer = self.build_optimizer()
        if self.make_scheduler is None:
            return optimizer
        schedule: dict[str, Any] = {"scheduler": self.make_scheduler(optimizer)}
        if isinstance(schedule["scheduler"], ReduceLROnPlateau) and self.automatic_optimization:
            schedule["monitor"] = self.monitor  # Lightning accepts it for automatic optimization only
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save copies of the parameters, which may be views of a larger tensor, and the number of batches per epoch."""
        checkpoint["state_dict"] = {name: value.clone() for name, value in checkpoint["state_dict"].items()}
        if math.isfinite(self.trainer.num_training_batches):
            checkpoint["batches"] = int(self.trainer.num_training_batches)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the run exactly, whichever driver and kind of optimization wrote the checkpoint."""
        # Lightning converts the module to double after loading: without this, double weights would be rounded.
        self.to(dtype=next(iter(checkpoint["state_dict"].values())).dtype)
        if self._trainer is not None and "batches" in checkpoint and "optimizer_states" in checkpoint:
            checkpoint["loops"] = loops_at(self.trainer, checkpoint["global_step"], checkpoint["batches"])


class LinearPredictor(Predictor):
    """p = W x + b by gradient descent.

    Args:
        inputs, outputs, loss, seed, init_scale: the fields of `runs.specs.LinearModel`.
        optimizer: builds the optimizer from the parameters.
        scheduler: builds the learning-rate scheduler from the optimizer.
    """

    __init__ = constructor(LinearModel)


class MLPPredictor(Predictor):
    """A fully connected net by gradient descent; with one hidden layer it is the two-layer net.

    Args:
        inputs, outputs, hidden, activation, loss, seed, init_scale, dropout, weight_norm: the fields of
            `runs.specs.MLPModel`.
        optimizer: builds the optimizer from the parameters.
        scheduler: builds the learning-rate scheduler from the optimizer.
    """

    __init__ = constructor(MLPModel)


class WindowPredictor(Predictor):
    """DLinear, NLinear or RLinear by gradient descent.

    Args:
        inputs, outputs, window, normalise, trend, loss, seed, init_scale: the fields of `runs.specs.WindowModel`.
        optimizer: builds the optimizer from the parameters.
        scheduler: builds the learning-rate scheduler from the optimizer.
    """

    __init__ = constructor(WindowModel)
