"""The callback that writes the descent to TensorBoard: loss, gradient norms, parameters and steps of every update.

Looking must cost next to nothing beside a small model's update. So norms are taken while the numbers are still in the
processor's cache, and events are made and written a thousand at a time. Scores of whole parts are `scores.py`'s.

Shapes: K updates kept, P numbers of all parameters, T parameter tensors.
"""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from steepest.observe.events import write_event, write_histogram, write_rows, writer_of
from steepest.observe.looks import Look, way_to_look

BETWEEN_RATIOS = 50  # updates from one look at the size of a step to the next
PAUSE = 2.0  # seconds; what was seen is written at least so often


class Recorder(Callback):
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
        self.scalars, self.histograms, self.rows = scalars, histograms, rows
        self.begun = False
        self.first = 0
        self.losses: list[np.ndarray] = []
        self.entries: list[np.ndarray] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the numbers of an update and write the parameters before the first one."""
        self.named = named = _named_parameters(pl_module)
        self.parameters: list[Tensor] = list(named.values())
        self.small = sum(p.numel() for p in self.parameters) <= self.scalars
        self.tags = ["train/loss", *(f"gradient_norm/{n}" for n in ("total", *named))]  # what an update comes from
        self.led_to = [f"parameter_norm/{n}" for n in named]  # where it leads
        if self.small:
            self.led_to += [f"parameter/{n}[{','.join(map(str, i))}]" for n, p in named.items() for i in _indices(p)]
        self.ratios = [f"update_ratio/{n}" for n in named]
        self.by_epoch = ["learning_rate", "epoch", *(f"parameter_{w}/{n}" for w in ("mean", "extreme") for n in named)]
        self.several_looks = any(isinstance(o, torch.optim.LBFGS) for o in trainer.optimizers)
        self.look = Look(self.parameters, self.small)
        self.look_chosen = False
        self.first = self.started = trainer.global_step
        self.begun, self.written = True, time.monotonic()
        self._clear()
        writer = writer_of(trainer)
        if writer is not None and trainer.global_step == 0:
            write_event(writer, self.led_to, self.look.now(), 0)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Keep the loss and the gradient of the update at hand, and the parameters that the one before led to."""
        count = len(self.losses_kept)
        if self.several_looks and trainer.global_step < self.first + count:
            return  # the first look is at the parameters before the update
        if count >= self.rows:
            self._write(trainer)
            count = 0
        if not self.look_chosen:  # only now a module has all it trains with
            self.look, self.look_chosen = way_to_look(pl_module, self.parameters, self.small), True
        # Numbers and arrays only: lists of lists would keep Python's garbage collector busy.
        self.losses_kept.append(pl_module.loss_at_hand)  # type: ignore[arg-type]
        self.moments.append(time.time())
        self.look.take()
        since = (self.first + count) % BETWEEN_RATIOS
        if since == 0:
            self.look.mark()
        elif since == 1 and self.first + count > self.started:
            self.kept_ratios.append((self.first + count, time.time(), self.look.ratios()))

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the learning rate and the spread of the parameters; now and then write histograms, and all there is."""
        step = trainer.global_step
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.kept_epochs.append((step, time.time(), [rate, trainer.current_epoch + 1.0, *self.look.spread()]))
        if (trainer.current_epoch + 1) % max(1, (trainer.max_epochs or 0) // self.histograms) == 0:
            for name, parameter in self.named.items():
                for what, tensor in (("parameters", parameter), ("gradients", parameter.grad)):
                    if tensor is not None and tensor.numel() > 1:
                        self.kept_histograms.append((f"{what}/{name}", tensor.detach().cpu().numpy().copy(), step))
        if time.monotonic() - self.written > PAUSE:
            self._write(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write all there is: a run that is resumed from here has no gap in its curves."""
        self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is left."""
        self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what was seen before a run broke off."""
        self._write(trainer)

    def _clear(self) -> None:
        self.losses_kept: list[float] = []
        self.moments: list[float] = []
        self.kept_ratios: list[tuple[int, float, list[float]]] = []  # update, moment, values
        self.kept_epochs: list[tuple[int, float, list[float]]] = []
        self.kept_histograms: list[tuple[str, np.ndarray, int]] = []

    @torch.no_grad()
    def _write(self, trainer: Trainer) -> None:
        if not self.begun:
            return
        writer = writer_of(trainer)
        if self.losses_kept:
            losses_K, columns = np.array(self.losses_kept), self._columns()
            updates = range(self.first + 1, self.first + 1 + len(losses_K))
            if writer is not None:
                write_rows(
                    writer, self.tags + self.led_to, np.hstack([losses_K[:, None], *columns]), updates, self.moments
                )
            self.losses.append(losses_K)
            self.first += len(losses_K)
        for tags, rows in ((self.ratios, self.kept_ratios), (self.by_epoch, self.kept_epochs)):
            if rows and writer is not None:
                steps, times, values = zip(*rows, strict=True)
                write_rows(writer, tags, np.array(values), steps, times)
        if writer is not None:
            for tag, numbers, step in self.kept_histograms:
                write_histogram(writer, tag, numbers, step)
        self.written = time.monotonic()
        self._clear()

    def _columns(self) -> list[np.ndarray]:
        """What was kept of K updates, beside their losses."""
        tensors = len(self.parameters)
        norms_K2T, entries_KP = self.look.rows()
        gradients_KT = norms_K2T[:, tensors:]
        # Before the next update is after this one.
        before_KC = np.hstack([norms_K2T[:, :tensors], entries_KP]) if self.small else norms_K2T[:, :tensors]
        if self.small:
            self.entries.append(entries_KP)
        after_KC = np.vstack([before_KC[1:], self.look.now()])
        return [np.linalg.norm(gradients_KT, axis=1, keepdims=True), gradients_KT, after_KC]


def _named_parameters(pl_module: LightningModule) -> dict[str, torch.nn.Parameter]:
    network = pl_module.network
    assert isinstance(network, torch.nn.Module), "what is recorded is the network's"
    return dict(network.named_parameters())


def _indices(parameter: Tensor) -> list[tuple[int, ...]]:
    return list(product(*(range(n) for n in parameter.shape)))
