"""The callback that writes the descent to TensorBoard: loss, gradient norms, parameters and steps of every update.

Looking must cost next to nothing beside a small model's update. So norms are taken while the numbers are still in the
processor's cache, and events are made and written a thousand at a time. Scores of whole parts are `scores.py`'s.

Shapes: K updates kept, P numbers of all parameters, T parameter tensors.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from steepest.observe.columns import Tags, update_rows
from steepest.observe.eventfile import write_event, write_histogram, write_rows
from steepest.observe.events import Bulk, writer_of
from steepest.observe.looks import Look, Rows, turn, way_to_look
from steepest.observe.settings import RecorderSettings

PAUSE = 2.0  # seconds; what was seen is written at least so often


class Recorder(RecorderSettings, Bulk):
    """Writes every update's loss, gradient norms, parameter norms and, of small models, parameters.

    Args:
        scalars: models with up to this many parameters show each of them as a curve.
        histograms: how many times in a run histograms of parameters and gradients are written, about.
        rows: most updates kept before they are written.

    Attributes:
        losses: of every update of this process, (K,) arrays.
        entries: of small models, the parameters before each update of this process, (K, P) arrays.
    """

    def __init__(self, scalars: int = 64, histograms: int = 10, rows: int = 1024) -> None:
        super().__init__(scalars, histograms, rows)
        self.begun = False
        self.first = 0
        self.losses: list[np.ndarray] = []
        self.entries: list[np.ndarray] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the numbers of an update and write the parameters before the first one."""
        self.named = _named_parameters(pl_module)
        self.parameters: list[Tensor] = list(self.named.values())
        self.tags = tags = Tags.of({n: p.shape for n, p in self.named.items()}, self.scalars)
        self.several_looks = any(isinstance(o, torch.optim.LBFGS) for o in trainer.optimizers)
        self.look: Look | None = None
        self.first, self.begun, self.written = trainer.global_step, True, time.monotonic()
        self._clear()
        writer = writer_of(trainer)
        if writer is not None and trainer.global_step == 0:
            write_event(writer, tags.led_to, Look(self.parameters, tags.small).now(), 0)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Keep the loss and the gradient of the update at hand, and the parameters that the one before led to."""
        if self.look is None:  # only now a module has all that it trains with
            self.look = way_to_look(pl_module, self.parameters, self.tags.small, self.first)
        if self.several_looks and trainer.global_step < self.first + len(self.losses_kept):
            return  # the first look is at the parameters before the update
        # Numbers and arrays only: lists of lists would keep Python's garbage collector busy.
        self.losses_kept.append(pl_module.loss_at_hand)  # type: ignore[arg-type]
        self.look.take()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time; write when there is much."""
        self.moments += [time.time()] * (len(self.losses_kept) - len(self.moments))
        if len(self.losses_kept) >= self.rows:
            self.catch_up(trainer)

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the learning rate and the spread of the parameters; now and then write histograms, and all there is."""
        assert self.look is not None, "an epoch has updates"
        step = trainer.global_step
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.kept_epochs.append((step, time.time(), [rate, trainer.current_epoch + 1.0, *self.look.spread()]))
        if turn(trainer, self.histograms):
            for name, parameter in self.named.items():
                for what, tensor in (("parameters", parameter), ("gradients", parameter.grad)):
                    if tensor is not None and tensor.numel() > 1:
                        self.kept_histograms.append((f"{what}/{name}", tensor.detach().cpu().numpy().copy(), step))
        if time.monotonic() - self.written > PAUSE:
            self.catch_up(trainer)

    def _clear(self) -> None:
        self.losses_kept: list[float] = []
        self.moments: list[float] = []
        self.kept_epochs: list[tuple[int, float, list[float]]] = []  # update, moment, values
        self.kept_histograms: list[tuple[str, np.ndarray, int]] = []

    def catch_up(self, trainer: Trainer) -> None:
        """Write all there is."""
        if not self.begun:
            return
        writer = writer_of(trainer)
        blocks: list[tuple[list[str], np.ndarray, np.ndarray, np.ndarray]] = []  # tags, updates, moments, values
        if self.look is not None and self.losses_kept:
            found, losses_K = self.look.rows(), np.array(self.losses_kept)
            self.moments += [time.time()] * (len(losses_K) - len(self.moments))  # a run that broke off in a batch
            moments_K = np.array(self.moments)
            updates_K = np.arange(self.first + 1, self.first + 1 + len(losses_K))
            blocks.append((self.tags.update, updates_K, moments_K, self._values(losses_K, found)))
            if found.ratios:
                steps, ratios = map(np.array, zip(*found.ratios, strict=True))
                blocks.append((self.tags.ratios, steps, moments_K[steps - updates_K[0]], ratios))
            self.losses.append(losses_K)
            if self.tags.small:
                self.entries.append(found.entries)
            self.first += len(losses_K)
        if self.kept_epochs:
            steps, moments, values = map(np.array, zip(*self.kept_epochs, strict=True))
            blocks.append((self.tags.epoch, steps, moments, values))
        if writer is not None:
            for tags, steps, moments, values in blocks:
                write_rows(writer, tags, values, steps, moments)
            for tag, numbers, step in self.kept_histograms:
                write_histogram(writer, tag, numbers, step)
        self.written = time.monotonic()
        self._clear()

    def _values(self, losses_K: np.ndarray, found: Rows) -> np.ndarray:
        """What is written of K updates, in the order of their tags."""
        assert self.look is not None
        before_KC = np.hstack([found.norms, found.entries]) if self.tags.small else found.norms
        return update_rows(losses_K, before_KC, np.array(self.look.now()))


def _named_parameters(pl_module: LightningModule) -> dict[str, torch.nn.Parameter]:
    network = pl_module.network
    assert isinstance(network, torch.nn.Module), "what is recorded is the network's"
    return dict(network.named_parameters())
