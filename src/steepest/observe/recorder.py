"""The callback that writes the descent to TensorBoard: loss, gradient norms and parameters of every update.

Numbers of an update are kept as one row of a tensor on the training device and written in bulk, one event an update
with all its values, so that looking costs little. Scores of whole parts are `scores.py`'s.
"""

from __future__ import annotations

from itertools import product

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from steepest.models.predictors import Predictor


def writer_of(trainer: Trainer) -> SummaryWriter | None:
    """The TensorBoard writer of a trainer on its first process; None without such a logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return logger.experiment
    return None


class Recorder(Callback):
    """Writes every update's loss, gradient norms, parameter norms and, of small models, parameters.

    Args:
        scalars: models with up to this many parameters show each of them as a curve; larger ones as histograms.
        histograms: how many times in a run histograms are written, about.
        rows: updates kept before they are written.
    """

    def __init__(self, scalars: int = 64, histograms: int = 50, rows: int = 512) -> None:
        self.scalars, self.histograms, self.rows = scalars, histograms, rows
        self.tags: list[str] = []
        self.begun = False
        self.kept: list[list[Tensor]] = []  # an update each: loss, norms of gradients, then of parameters before it
        self.entries: list[Tensor] = []  # parameters before an update, of small models
        self.first = 0
        self.losses: list[Tensor] = []  # of every update of this process, for the loss figure

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the numbers of an update and write the parameters before the first one."""
        named = _named_parameters(pl_module)
        self.small = sum(p.numel() for p in named.values()) <= self.scalars
        self.parameters: list[Tensor] = list(named.values())
        # What the update was computed from, then what it led to.
        self.tags = ["train/loss", *(f"gradient_norm/{n}" for n in ("total", *named))]
        self.led_to = [f"parameter_norm/{n}" for n in named]
        if self.small:
            self.led_to += [f"parameter/{n}[{','.join(map(str, i))}]" for n, p in named.items() for i in _indices(p)]
        self.kept, self.entries, self.first, self.begun = [], [], trainer.global_step, True
        writer = writer_of(trainer)
        if writer is not None and trainer.global_step == 0:
            write_event(writer, self.led_to, self._parameters().tolist(), 0)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Keep the loss and the gradient of the update at hand, and the parameters that the one before led to."""
        assert isinstance(pl_module, Predictor)
        if trainer.global_step < self.first + len(self.kept):
            return  # an optimizer that looks several times an update: the first look is at the parameters before it
        if len(self.kept) == self.rows:
            self._flush(trainer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        assert len(gradients) == len(self.parameters), "every parameter has a gradient before a step"
        with torch.no_grad():
            self.kept.append([pl_module.at_hand[2], *torch._foreach_norm(gradients + self.parameters)])
            if self.small:
                self.entries.append(torch.cat([p.flatten() for p in self.parameters]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's rows, its learning rate, and now and then histograms."""
        self._flush(trainer)
        writer = writer_of(trainer)
        if writer is None:
            return
        step = trainer.global_step
        rates = [float(group["lr"]) for optimizer in trainer.optimizers for group in optimizer.param_groups]
        write_event(writer, ["learning_rate", "epoch"], [rates[0], trainer.current_epoch + 1], step)
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

    @torch.no_grad()
    def _parameters(self) -> Tensor:
        """What there is to write of the parameters as they are now, in the order of `led_to`."""
        norms = torch.stack(torch._foreach_norm(self.parameters))
        return torch.cat([norms, *(p.flatten() for p in self.parameters if self.small)])

    @torch.no_grad()
    def _flush(self, trainer: Trainer) -> None:
        if not self.begun or not self.kept:
            return
        count, tensors = len(self.kept), len(self.parameters)
        kept_KC = torch.stack([number for row in self.kept for number in row]).view(count, -1)
        gradients_KT, before_KT = kept_KC[:, 1:].split(tensors, dim=1)
        before_KE = torch.cat([before_KT, torch.stack(self.entries)], dim=1) if self.small else before_KT
        after_KE = torch.cat([before_KE[1:], self._parameters().unsqueeze(0)])  # before the next one is after this one
        total_K1 = torch.linalg.vector_norm(gradients_KT, dim=1, keepdim=True)
        rows = torch.cat([kept_KC[:, :1], total_K1, gradients_KT, after_KE], dim=1).cpu()
        self.losses.append(rows[:, 0].clone())
        writer = writer_of(trainer)
        if writer is not None:
            for update, row in enumerate(rows.tolist(), start=self.first + 1):
                write_event(writer, self.tags + self.led_to, row, update)
        self.first += count
        self.kept, self.entries = [], []


def _named_parameters(pl_module: LightningModule) -> dict[str, torch.nn.Parameter]:
    network = pl_module.network
    assert isinstance(network, torch.nn.Module), "what is recorded is the network's"
    return dict(network.named_parameters())


def _indices(parameter: Tensor) -> list[tuple[int, ...]]:
    return list(product(*(range(n) for n in parameter.shape)))


def write_event(writer: SummaryWriter, tags: list[str], values: list[float], step: int) -> None:
    """One event that holds several values: a tenth of the cost of as many `add_scalar`s."""
    summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in zip(tags, values, strict=True)])
    assert writer.file_writer is not None
    writer.file_writer.add_summary(summary, step)
