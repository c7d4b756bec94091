"""The LightningModule whose gradients are derived by hand: no autograd anywhere in its step.

The derivation is in `networks.py`, `activations.py` and `losses.py`. Here it meets Lightning's manual optimization: the
gradients are put in `p.grad` and the optimizer steps through Lightning, once an update, so that everything that counts,
watches or ends updates works as with `predictors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steepest.nets.names import ActivationName, LossName
from steepest.nets.networks import MLP, Layer, backward, forward
from steepest.nets.plain import check_updates_per_step
from steepest.lightning.predictors import MakeOptimizer, MakeScheduler, Predictor
from steepest.lightning.steps import go_directly, listeners
from steepest.lightning.updates import Flat, clip, lighten

BACKWARD_HOOKS = ("before_zero_grad", "before_backward", "after_backward")


class ManualPredictor(Predictor):
    """A linear model (`hidden=[]`) or a fully connected net by gradient descent with hand-derived gradients.

    Its parameters, and so its checkpoints, are those of `LinearPredictor` and `MLPPredictor`.

    Args:
        inputs: D.
        outputs: O.
        hidden: units of each hidden layer.
        activation: ``sigmoid``, ``relu``, ``tanh``, ``hard_sigmoid`` or ``identity``.
        loss: ``mse``, ``mae``, ``huber``, or ``cross_entropy`` for directions.
        seed: of the initial weights.
        init_scale: of the initial weights; 1 is the usual start.
        updates_per_step: updates done in one `training_step` where the data module hands out several batches at once;
            the trajectory is the same for every number, and the Trainer's own cost is shared. A checkpoint or stop
            rule of your own that looks every few updates needs a divisor of those, or 1.
        gradient_clip_val: bound on the gradient's Euclidean norm, or on each of its numbers; none when None.
        gradient_clip_algorithm: ``norm`` (default) or ``value``.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes what changes its step after every epoch.

    Raises:
        ValueError: for an optimizer that needs the loss several times an update (L-BFGS), and for mixed precision.
    """

    network: MLP
    flat: Flat | None = None  # while it is trained on one device

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (64,),
        activation: ActivationName = "sigmoid",
        loss: LossName = "mse",
        seed: int = 0,
        init_scale: float = 1.0,
        updates_per_step: int = 256,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: Literal["norm", "value"] | None = None,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
    ) -> None:
        super().__init__(MLP(inputs, hidden, outputs, activation, seed, init_scale), loss, optimizer, scheduler)
        check_updates_per_step(updates_per_step)
        self.automatic_optimization = False
        self.updates_per_step = updates_per_step
        self.clip_bound, self.clip_algorithm = gradient_clip_val, gradient_clip_algorithm or "norm"
        self.save_hyperparameters(ignore=["optimizer", "scheduler"], logger=False)

    def gradient(self, x_ND: Tensor, y_NH: Tensor) -> list[Tensor]:
        """The gradient of the mean loss of these samples, a tensor per parameter, in their order: by hand."""
        with torch.no_grad():
            return self._loss_and_gradient(x_ND, y_NH, self.network.layers())[1]

    def _loss_and_gradient(
        self, x_ND: Tensor, y_NH: Tensor, layers: list[Layer], out: list[Layer] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        activations = self.network.activations
        trace = forward(x_ND, layers, activations, once=True)
        loss, slope_NO = self.loss.with_slope(trace.a[-1], y_NH)
        return loss, [g for pair in backward(slope_NO, trace, layers, activations, out, once=True) for g in pair]

    @torch.no_grad()
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One update for a batch (x, y), one for each of a chunk's batches; returns the last one's loss."""
        batches = list(batch.batches()) if hasattr(batch, "batches") else [batch]
        optimizer, layers = self.optimizers(), self.network.layers()
        parameters = [p for layer in layers for p in layer]
        into = self.flat.layers() if self.flat is not None else None
        several, schedulers = self.trainer.world_size > 1, bool(self.trainer.lr_scheduler_configs)
        # Hooks around a backward, which Lightning calls in automatic optimization only.
        at_zero, before, after = (listeners(self.trainer, self, f"on_{hook}") for hook in BACKWARD_HOOKS)
        for number, (x_ND, y_NH, *share) in enumerate(batches, start=1):
            loss, gradients = self._loss_and_gradient(x_ND, y_NH, layers, into)
            self.seen(x_ND, y_NH, loss)
            for listen in at_zero:
                listen(optimizer)
            for listen in before:
                listen(loss)
            if several:
                _average_over_devices(gradients, *share)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            for listen in after:
                listen()
            if after and self.flat is not None:
                self.flat.take_up()
            optimizer.step()  # type: ignore[union-attr]
            if schedulers:
                self._step_schedulers("step", self.trainer.fit_loop.epoch_loop.batch_idx + number)
        self._count(len(batches) - 1)
        if self.trainer.fit_loop.epoch_loop._num_ready_batches_reached():
            self._step_schedulers("epoch", self.current_epoch + 1)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient where Lightning clips that of an automatic module: after callbacks have seen it."""
        if self.clip_bound is not None and self.clip_bound > 0:
            clip(
                [p.grad for p in self.network.parameters() if p.grad is not None], self.clip_bound, self.clip_algorithm
            )

    def build_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer over the network's parameters."""
        optimizer = super().build_optimizer()
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError(
                "L-BFGS evaluates the loss several times an update, a hand-derived step once: take model=linear or "
                "model=mlp with it, or optimizer=sgd, momentum, adam or adamw"
            )
        lighten(optimizer, self)
        return optimizer

    def on_fit_start(self) -> None:
        """Refuse precisions in which forward and backward would not be one computation."""
        if self.trainer.precision not in ("32-true", "64-true"):
            raise ValueError(
                f"trainer.precision={self.trainer.precision}: hand-derived gradients are computed in one precision; "
                "use 32-true or 64-true"
            )

    def on_train_start(self) -> None:
        """Step without what a step does not need."""
        if go_directly(self.trainer, self):
            self.flat = Flat(self.network)

    def on_train_end(self) -> None:
        """Leave nothing of a fit behind but the parameters."""
        self.flat = None

    def on_train_epoch_end(self) -> None:
        """Step schedulers that look at a score, which callbacks have logged by now."""
        if self.trainer.fit_loop.epoch_loop._num_ready_batches_reached():
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

    def _count(self, further: int) -> None:
        """Let Lightning know that this step was so many batches more than the one it counts.

        Then epochs end, progress shows, validation comes and checkpoints resume as if it had handed out each.
        """
        if further == 0:
            return
        loop, fetcher = self.trainer.fit_loop.epoch_loop, self.trainer.fit_loop._data_fetcher
        assert fetcher is not None
        assert fetcher.length is not None, "chunks come from a loader with a length"
        for progress in (loop.batch_progress.current, loop.batch_progress.total):
            assert isinstance(progress, _ProcessedTracker)
            progress.ready += further
            progress.started += further
            progress.processed += further
            progress.completed += further
        fetcher.fetched += further
        fetcher.done = loop.batch_progress.is_last_batch = fetcher.fetched >= fetcher.length
        loop._batches_that_stepped += further


def _average_over_devices(gradients: list[Tensor], share: float = 1.0) -> None:
    """Each device has the mean over its share of the batch; what all need is the mean over the batch."""
    world = torch.distributed.get_world_size()
    together = torch.cat([g.flatten() for g in gradients]).mul_(share / world)
    torch.distributed.all_reduce(together)
    for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
