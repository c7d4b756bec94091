"""The LightningModule whose gradients are derived by hand: no autograd anywhere in its step.

The derivation is in `nets/`. On the CPU in one process the step is the compiled kernel of the same formulas
(`engine/`): one `training_step` makes many updates, and tells the Trainer so. Elsewhere, and where somebody must see
every update, it is the textbook itself, one update a step: gradients are put in `p.grad`, and the optimizer steps
through Lightning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, Timer
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steepest.data.windows import Order
from steepest.engine.descent import Descent, UpdateLog, reason_against
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.internals import count_updates, is_last_batch, overriding
from steepest.lightning.predictors import Diverged, MakeOptimizer, MakeScheduler, Predictor, takes
from steepest.nets.networks import backward, forward
from steepest.runs.build import clip_of, network_of
from steepest.runs.specs import ManualModel

if TYPE_CHECKING:
    from steepest.runs.tracker import Tracker

BACKWARD_HOOKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward")
UPDATE_HOOKS = (*BACKWARD_HOOKS, "on_before_optimizer_step", "on_train_batch_start", "on_train_batch_end")
BETWEEN_CALLS = (ModelCheckpoint, ProgressBar, Timer)  # Lightning's, which are content with the ends of calls


class ManualPredictor(Predictor):
    """A linear model (`hidden=[]`) or a fully connected net by gradient descent with hand-derived gradients.

    Its parameters, and so its checkpoints, are those of `LinearPredictor` and `MLPPredictor`.

    Args:
        inputs, outputs, hidden, ...: the fields of `runs.specs.ManualModel`.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes what changes its step after every epoch.

    Attributes:
        kept: set it to a list to have every update's log appended there.

    Raises:
        ValueError: for an optimizer that needs the loss several times an update (L-BFGS), for mixed precision, and for
            ``engine="kernel"`` where the kernel cannot train the run.
    """

    descent: Descent | None = None  # while the kernel trains it
    tracker: Tracker | None = None  # of a run that `train.py` began
    kept: list[UpdateLog] | None = None

    @takes(ManualModel)
    def __init__(
        self,
        *sizes: Any,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
        **options: Any,
    ) -> None:
        self.spec = spec = ManualModel(*sizes, **options)
        super().__init__(spec, network_of(spec), optimizer, scheduler)
        self.automatic_optimization = False
        self.updates_per_step = spec.updates_per_step
        self.clip = clip_of(spec)

    def gradient(self, x_ND: Tensor, y_NH: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The mean loss of these samples and its gradient, a tensor per parameter, by the textbook."""
        with torch.no_grad():
            layers, activations = self.network.layers(), self.network.activations
            trace = forward(x_ND, layers, activations)
            slope_NO = self.loss.backward(trace.a[-1], y_NH)
            pairs = backward(slope_NO, trace, layers, activations)
            return self.loss(trace.a[-1], y_NH), [g for pair in pairs for g in pair]

    @torch.no_grad()
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """As many updates as an `Order` has batches, by the kernel; or one, of a batch (x, y). The last one's loss."""
        loss = self._by_kernel(batch) if isinstance(batch, Order) else self._by_textbook(*batch)
        if self.trainer.lr_scheduler_configs:
            self._step_schedulers("step", self.trainer.fit_loop.epoch_loop.batch_idx + 1)
            if is_last_batch(self.trainer):
                self._step_schedulers("epoch", self.current_epoch + 1)
        return loss

    def _by_kernel(self, order: Order) -> Tensor:
        descent, done = self.descent, self.global_step
        assert descent is not None, "orders are handed out while the kernel trains"
        origin_N, asked = order.origin_N.numpy(), -(-len(order.origin_N) // order.size)
        if self.tracker is not None and self.tracker.updates_ahead() == 0:
            batch = descent.windows.gather(order.origin_N)
            self.tracker.look(batch.x_ND, batch.y_NH, *descent.gradient(origin_N))
        log = descent.advance(origin_N, order.size, asked, done)
        if self.tracker is not None:
            self.tracker.log(log)
        if self.kept is not None:
            self.kept.append(log)
        if log.refused:
            raise Diverged.at(log.refused, done + len(log) + 1, self.current_epoch + 1)
        if len(log) < asked:
            self.trainer.train_dataloader.give_back(asked - len(log))  # type: ignore[union-attr]
        count_updates(self.trainer, len(log))
        return torch.tensor(log.losses_K[-1])

    def _by_textbook(self, x_ND: Tensor, y_NH: Tensor, share: float = 1.0) -> Tensor:
        optimizer = self.optimizers()
        loss, gradients = self.gradient(x_ND, y_NH)
        self.check_finite(x_ND, y_NH, loss)
        # Hooks around a backward, which Lightning calls in automatic optimization only.
        at_zero, before, after = (self._listeners(hook) for hook in BACKWARD_HOOKS)
        for listen in at_zero:
            listen(optimizer)
        for listen in before:
            listen(loss)
        if self.trainer.world_size > 1:
            _average_over_devices(gradients, share)
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        for listen in after:
            listen()
        optimizer.step()  # type: ignore[union-attr]
        return loss

    def _listeners(self, hook: str) -> list[Callable[..., None]]:
        """What is called at a hook, in Lightning's order: callbacks that have one of their own, then the module."""
        found: list[Callable[..., None]] = []
        for callback in overriding(self.trainer, hook):
            found.append(partial(getattr(callback, hook), self.trainer, self))
        if getattr(type(self), hook) is not getattr(LightningModule, hook):
            found.append(getattr(self, hook))
        return found

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient where Lightning clips that of an automatic module: after callbacks have seen it."""
        if self.clip is not None:
            self.clip([p.grad for p in self.network.parameters() if p.grad is not None])

    def build_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer over the network's parameters."""
        optimizer = super().build_optimizer()
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError(
                "L-BFGS evaluates the loss several times an update, a hand-derived step once: take model=linear or "
                "model=mlp with it, or optimizer=sgd, momentum, adam or adamw"
            )
        return optimizer

    def on_fit_start(self) -> None:
        """Refuse precisions in which forward and backward would not be one computation."""
        check_precision(self.trainer)

    def on_train_start(self) -> None:
        """Take the kernel where it can train this run."""
        optimizer = self.trainer.optimizers[0]
        if choose_engine(self, self.trainer, optimizer)[0] == "kernel":
            datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
            windows = datamodule.placed("cpu", next(self.parameters()).dtype)
            entries = self.tracker is not None and self.tracker.wants_entries
            self.descent = Descent(self.network, self.loss, optimizer, windows, self.clip, entries=entries)

    def on_train_epoch_end(self) -> None:
        """Step schedulers that look at a score, which callbacks have logged by now."""
        if is_last_batch(self.trainer):
            self._step_schedulers("epoch", self.current_epoch + 1, plateau=True)

    def _step_schedulers(self, interval: str, after: int, plateau: bool = False) -> None:
        """Lightning steps the schedulers of automatic modules only; by the same rules here."""
        for config in self.trainer.lr_scheduler_configs:
            looks = isinstance(config.scheduler, ReduceLROnPlateau)
            if config.interval != interval or after % config.frequency or plateau != looks:
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
    asked = module.spec.engine
    reason = "model.engine=textbook" if asked == "textbook" else _against_kernel(module, trainer, optimizer)
    if reason and asked == "kernel":
        raise ValueError(f"model.engine=kernel: {reason}; use model.engine=auto, or change that")
    return ("textbook", reason) if reason else ("kernel", "")


def _against_kernel(module: ManualPredictor, trainer: Trainer, optimizer: torch.optim.Optimizer) -> str:
    if trainer.world_size > 1:
        return f"{trainer.world_size} processes train the run together"
    if trainer.strategy.root_device.type != "cpu":
        return f"the device is {trainer.strategy.root_device.type}"
    began = trainer.train_dataloader is not None  # a run is asked before it begins, too
    if began and not isinstance(trainer.datamodule, WindowDataModule):  # type: ignore[attr-defined]
        return "the batches do not come from a WindowDataModule"
    for callback in overriding(trainer, *UPDATE_HOOKS):
        if not (type(callback).__module__.startswith("steepest.lightning.") or isinstance(callback, BETWEEN_CALLS)):
            return f"callback {type(callback).__name__} looks at every update"
    own = [hook for hook in UPDATE_HOOKS if getattr(type(module), hook) is not getattr(ManualPredictor, hook)]
    if own or type(module).training_step is not ManualPredictor.training_step:
        return f"{type(module).__name__} has its own {', '.join(own) or 'training_step'}"
    return reason_against(module.network, module.loss, optimizer) or ""


def check_precision(trainer: Trainer) -> None:
    """Raise `ValueError` for mixed precision."""
    if trainer.precision not in ("32-true", "64-true"):
        raise ValueError(
            f"trainer.precision={trainer.precision}: hand-derived gradients are computed in one precision; "
            "use 32-true or 64-true"
        )


def _average_over_devices(gradients: list[Tensor], share: float) -> None:
    """Each device has the mean over its share of the batch; what all need is the mean over the batch."""
    world = torch.distributed.get_world_size()
    together = torch.cat([g.flatten() for g in gradients]).mul_(share / world)
    torch.distributed.all_reduce(together)
    for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
