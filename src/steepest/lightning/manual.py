"""The LightningModule with hand-derived gradients: its step does not use autograd.

The derivation is in `nets/`. On the CPU in one process, the compiled kernel of the same formulas (`engine/`) does many
updates in one `training_step` and tells the Trainer how many. On other devices, and where a callback needs every
update, the textbook does one update per step: it sets `p.grad`, and the optimizer steps through Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, Timer
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steepest.data.windows import Order
from steepest.engine.descent import Clip, Descent, UpdateLog, reason_against
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.internals import count_updates, is_last_batch, overriding
from steepest.lightning.predictors import Predictor, constructor
from steepest.nets.networks import MLP, backward, forward
from steepest.runs.build import clip_of
from steepest.runs.specs import ManualModel
from steepest.runs.stops import Diverged

if TYPE_CHECKING:
    from steepest.runs.tracker import Tracker

BACKWARD_HOOKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward")
UPDATE_HOOKS = (*BACKWARD_HOOKS, "on_before_optimizer_step", "on_train_batch_start", "on_train_batch_end")
BETWEEN_CALLS = (ModelCheckpoint, ProgressBar, Timer)  # Lightning's callbacks that do not need single updates


class ManualPredictor(Predictor):
    """A linear model (`hidden=[]`) or a fully connected net, trained with hand-derived gradients.

    Its parameters, and so its checkpoints, are those of `LinearPredictor` and `MLPPredictor`.

    Args:
        inputs, outputs, hidden, ...: the fields of `runs.specs.ManualModel`.
        optimizer: builds the optimizer from the parameters.
        scheduler: builds the learning-rate scheduler from the optimizer.

    Attributes:
        logs: set it to a list to collect the log of every call of the kernel.

    Raises:
        ValueError: for an optimizer that needs the loss several times an update (L-BFGS), for mixed precision, and for
            ``engine="kernel"`` where the kernel cannot train the run.
    """

    automatic_optimization = False  # replaces Lightning's property
    spec: ManualModel
    network: MLP
    descent: Descent | None = None  # set while the kernel trains
    tracker: Tracker | None = None  # set by the run that `train.py` starts
    logs: list[UpdateLog] | None = None

    __init__ = constructor(ManualModel)

    @property
    def clip(self) -> Clip | None:
        """The bound on the gradients."""
        return clip_of(self.spec)

    def gradient(self, x_ND: Tensor, y_NH: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The mean loss of these samples and its gradient, a tensor per parameter, by the textbook."""
        with torch.no_grad():
            layers, activations = self.network.layers(), self.network.activations
            trace = forward(x_ND, layers, activations)
            slope_NO = self.loss.backward(trace.a[-1], y_NH)
            pairs = backward(slope_NO, trace, layers, activations)
            return self.loss(trace.a[-1], y_NH), [g for pair in pairs for g in pair]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Do an `Order`'s updates by the kernel, or one update from a batch (x, y) by the textbook; return its loss."""
        loss = None
        if isinstance(batch, Order):
            self._by_kernel(batch)
        else:
            loss = self._by_textbook(*batch)
        if self.trainer.lr_scheduler_configs:
            self._step_schedulers("step", self.trainer.fit_loop.epoch_loop.batch_idx + 1)
            if is_last_batch(self.trainer):
                self._step_schedulers("epoch", self.current_epoch + 1)
        return loss

    def _by_kernel(self, order: Order) -> None:
        descent, done = self.descent, self.global_step
        assert descent is not None, "the data module yields orders only for the kernel"
        origin_N, requested = order.origin_N.numpy(), -(-len(order.origin_N) // order.size)
        if self.tracker is not None and self.tracker.updates_ahead() == 0:
            batch = descent.windows.gather(order.origin_N)
            self.tracker.look(batch.x_ND, batch.y_NH, *descent.gradient(origin_N))
        log = descent.advance(origin_N, order.size, requested, done)
        if self.tracker is not None:
            self.tracker.log(log)
        if self.logs is not None:
            self.logs.append(log)
        if log.refused:
            raise Diverged.at(log.refused, done + len(log) + 1, self.current_epoch + 1)
        if len(log) < requested:
            self.trainer.train_dataloader.give_back(requested - len(log))  # type: ignore[union-attr]
        count_updates(self.trainer, len(log))

    @torch.no_grad()
    def _by_textbook(self, x_ND: Tensor, y_NH: Tensor, share: float = 1.0) -> Tensor:
        optimizer = self.optimizers()
        loss, gradients = self.gradient(x_ND, y_NH)
        self.check_finite(x_ND, y_NH, loss)
        # Lightning calls the hooks around a backward pass in automatic optimization only.
        self._call("on_before_zero_grad", optimizer)
        self._call("on_before_backward", loss)
        if self.trainer.world_size > 1:
            _average_over_devices(gradients, share)
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self._call("on_after_backward")
        optimizer.step()  # type: ignore[union-attr]
        return loss

    def _call(self, hook: str, *arguments: Any) -> None:
        """Call a hook in Lightning's order: the callbacks that override it, then the module."""
        for callback in overriding(self.trainer, hook):
            getattr(callback, hook)(self.trainer, self, *arguments)
        getattr(self, hook)(*arguments)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient after the callbacks have seen it, as Lightning does in automatic optimization."""
        if self.clip is not None:
            self.clip([p.grad for p in self.network.parameters() if p.grad is not None])

    def build_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer over the network's parameters."""
        optimizer = super().build_optimizer()
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError(
                "L-BFGS evaluates the loss several times per update, hand-derived models once: use model=linear or "
                "model=mlp with it, or optimizer=sgd, momentum, adam or adamw"
            )
        return optimizer

    def on_fit_start(self) -> None:
        """Refuse mixed precision."""
        check_precision(self.trainer)

    def on_train_start(self) -> None:
        """Use the kernel if it can train this run."""
        optimizer = self.trainer.optimizers[0]
        if choose_engine(self, self.trainer, optimizer)[0] == "kernel":
            datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
            windows = datamodule.placed("cpu", next(self.parameters()).dtype)
            entries = self.tracker is not None and self.tracker.wants_entries
            self.descent = Descent(self.network, self.loss, optimizer, windows, self.clip, entries=entries)

    def on_train_epoch_end(self) -> None:
        """Step the schedulers that read a score; the callbacks have logged it by now."""
        if self.trainer.lr_scheduler_configs and is_last_batch(self.trainer):
            self._step_schedulers("epoch", self.current_epoch + 1, plateau=True)

    def _step_schedulers(self, interval: str, after: int, plateau: bool = False) -> None:
        """Step schedulers by Lightning's rules, because Lightning steps those of automatic modules only."""
        for config in self.trainer.lr_scheduler_configs:
            reads_score = isinstance(config.scheduler, ReduceLROnPlateau)
            if config.interval != interval or after % config.frequency or plateau != reads_score:
                continue
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(self.trainer.callback_metrics[self.monitor].item())
            else:
                config.scheduler.step()


def choose_engine(module: ManualPredictor, trainer: Trainer, optimizer: torch.optim.Optimizer) -> tuple[str, str]:
    """``kernel`` or ``textbook``, and why the kernel cannot train this run (empty where it can).

    Raises:
        ValueError: for ``model.engine=kernel`` where it cannot.
    """
    requested = module.spec.engine
    reason = "model.engine=textbook" if requested == "textbook" else _against_kernel(module, trainer, optimizer)
    if reason and requested == "kernel":
        raise ValueError(f"model.engine=kernel: {reason}; use model.engine=auto, or change this")
    return ("textbook", reason) if reason else ("kernel", "")


def _against_kernel(module: ManualPredictor, trainer: Trainer, optimizer: torch.optim.Optimizer) -> str:
    if trainer.world_size > 1:
        return f"{trainer.world_size} processes train the run together"
    if trainer.strategy.root_device.type != "cpu":
        return f"the device is {trainer.strategy.root_device.type}"
    fitting = trainer.train_dataloader is not None  # `run` also calls this before the fit
    if fitting and not isinstance(trainer.datamodule, WindowDataModule):  # type: ignore[attr-defined]
        return "the batches do not come from a WindowDataModule"
    for callback in overriding(trainer, *UPDATE_HOOKS):
        if not (type(callback).__module__.startswith("steepest.lightning.") or isinstance(callback, BETWEEN_CALLS)):
            return f"callback {type(callback).__name__} needs every update"
    overridden = [hook for hook in UPDATE_HOOKS if getattr(type(module), hook) is not getattr(ManualPredictor, hook)]
    if overridden or type(module).training_step is not ManualPredictor.training_step:
        return f"{type(module).__name__} overrides {', '.join(overridden) or 'training_step'}"
    return reason_against(module.network, module.loss, optimizer) or ""


def check_precision(trainer: Trainer) -> None:
    """Raise `ValueError` for mixed precision."""
    if trainer.precision not in ("32-true", "64-true"):
        raise ValueError(
            f"trainer.precision={trainer.precision}: hand-derived gradients are computed in one precision; "
            "use 32-true or 64-true"
        )


def _average_over_devices(gradients: list[Tensor], share: float) -> None:
    """Turn each device's mean over its share of the batch into the mean over the whole batch."""
    world = torch.distributed.get_world_size()
    together = torch.cat([g.flatten() for g in gradients]).mul_(share / world)
    torch.distributed.all_reduce(together)
    for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
