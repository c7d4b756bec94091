"""The callback that writes the descent to TensorBoard: loss, gradient norms and parameters of every update.

Numbers of an update are kept as one row of a tensor on the training device and written in bulk, one event an update
with all its values, so that looking costs little. Scores of whole parts are `scores.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter


def writer_of(trainer: Trainer) -> SummaryWriter | None:
    """The TensorBoard writer of a trainer on its first process; None without such a logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return logger.experiment
    return None


class Recorder(Callback):
    """Writes every update's loss, gradient norms and parameters.

    Args:
        scalars: models with up to this many parameters show each of them as a curve; larger ones as histograms.
        histograms: how many times in a run histograms are written, about.
        rows: updates kept before they are written.
    """

    def __init__(self, scalars: int = 64, histograms: int = 50, rows: int = 512) -> None:
        self.scalars, self.histograms, self.rows = scalars, histograms, rows
        self.tags: list[str] = []
        self.buffer: Tensor | None = None
        self.filled = 0
        self.first = 0
        self.losses: list[Tensor] = []  # of every update of this process, for the loss figure

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lay out the row of an update and write the parameters before the first one."""
        named = _named_parameters(pl_module)
        self.small = sum(p.numel() for p in named.values()) <= self.scalars
        entries = [f"parameter/{n}[{','.join(map(str, i))}]" for n, p in named.items() for i in _indices(p)]
        self.parameters = list(named.values())
        self.tags = ["train/loss", "gradient_norm/total", *(f"gradient_norm/{n}" for n in named)]
        self.tags += entries if self.small else []
        self.buffer = torch.full(
            (self.rows, len(self.tags)), torch.nan, device=pl_module.device, dtype=self.parameters[0].dtype
        )
        self.filled, self.first = 0, trainer.global_step
        writer = writer_of(trainer)
        if writer is not None and trainer.global_step == 0 and self.small:
            _write(writer, entries, torch.cat([p.detach().flatten() for p in self.parameters]).tolist(), 0)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Keep the norms of the gradients this update uses."""
        assert self.buffer is not None
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        assert len(gradients) == len(self.parameters), "every parameter has a gradient before a step"
        norms = torch.stack(torch._foreach_norm(gradients))
        self.buffer[self.filled, 1] = torch.linalg.vector_norm(norms)
        self.buffer[self.filled, 2 : 2 + len(norms)] = norms

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Finish the row of this update."""
        assert self.buffer is not None
        row = self.buffer[self.filled]
        row[0] = (outputs["loss"] if isinstance(outputs, Mapping) else outputs).detach()
        if self.small:
            row[2 + len(self.parameters) :] = torch.cat([p.detach().flatten() for p in self.parameters])
        self.filled += 1
        if self.filled == self.rows:
            self._flush(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's rows, its learning rate, and now and then histograms."""
        self._flush(trainer)
        writer = writer_of(trainer)
        if writer is None:
            return
        step = trainer.global_step
        rates = [float(group["lr"]) for optimizer in trainer.optimizers for group in optimizer.param_groups]
        _write(writer, ["learning_rate", "epoch"], [rates[0], trainer.current_epoch + 1], step)
        every = max(1, (trainer.max_epochs or 0) // self.histograms)
        if not self.small and (trainer.current_epoch + 1) % every == 0:
            for name, parameter in _named_parameters(pl_module).items():
                writer.add_histogram(f"parameters/{name}", parameter.detach().cpu(), step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is left."""
        self._flush(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what was seen before a run broke off."""
        self._flush(trainer)

    def _flush(self, trainer: Trainer) -> None:
        if self.buffer is None or self.filled == 0:
            return
        rows = self.buffer[: self.filled].cpu()
        self.losses.append(rows[:, 0].clone())
        writer = writer_of(trainer)
        if writer is not None:
            for offset, row in enumerate(rows.tolist()):
                _write(writer, self.tags, row, self.first + offset + 1)
        self.first += self.filled
        self.filled = 0


def _named_parameters(pl_module: LightningModule) -> dict[str, torch.nn.Parameter]:
    network = pl_module.network
    assert isinstance(network, torch.nn.Module), "what is recorded is the network's"
    return dict(network.named_parameters())


def _indices(parameter: Tensor) -> list[tuple[int, ...]]:
    return list(product(*(range(n) for n in parameter.shape)))


def _write(writer: SummaryWriter, tags: list[str], values: list[float], step: int) -> None:
    """One event that holds several values: a tenth of the cost of as many `add_scalar`s."""
    summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in zip(tags, values, strict=True)])
    assert writer.file_writer is not None
    writer.file_writer.add_summary(summary, step)
