"""The callback that writes the descent to TensorBoard: loss, gradient norms, parameters and steps of every update.

Looking must cost next to nothing beside a small model's update. So norms are taken while the numbers are still in the
processor's cache, and events are made and written a thousand at a time. Scores of whole parts are `scores.py`'s.

Shapes: K updates kept, P numbers of all parameters, T parameter tensors.
"""

from __future__ import annotations

import time
from itertools import groupby, product
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from steepest.observe.events import write_event, write_histogram, write_rows, writer_of

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
        named = _named_parameters(pl_module)
        self.parameters: list[Tensor] = list(named.values())
        self.small = sum(p.numel() for p in self.parameters) <= self.scalars
        self.tags = ["train/loss", *(f"gradient_norm/{n}" for n in ("total", *named))]  # what an update comes from
        self.led_to = [f"parameter_norm/{n}" for n in named]  # where it leads
        if self.small:
            self.led_to += [f"parameter/{n}[{','.join(map(str, i))}]" for n, p in named.items() for i in _indices(p)]
        self.ratios = [f"update_ratio/{n}" for n in named]
        self.by_epoch = ["learning_rate", "epoch", *(f"parameter_{w}/{n}" for n in named for w in ("mean", "extreme"))]
        self.several_looks = any(isinstance(o, torch.optim.LBFGS) for o in trainer.optimizers)
        self.look: Look | None = None
        self.before: Tensor | None = None
        self.first, self.begun, self.written = trainer.global_step, True, time.monotonic()
        self._clear()
        writer = writer_of(trainer)
        if writer is not None and trainer.global_step == 0:
            norms_T = torch.stack(torch._foreach_norm(self.parameters))
            now = torch.cat([norms_T, self._now()]) if self.small else norms_T
            write_event(writer, self.led_to, now.tolist(), 0)

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
        if self.look is None:
            self.look = self._way_to_look(pl_module)
        # Numbers and arrays only: lists of lists would keep Python's garbage collector busy.
        self.losses_kept.append(pl_module.loss_at_hand)  # type: ignore[arg-type]
        self.moments.append(time.time())
        self.look.take(count)
        since = (self.first + count) % BETWEEN_RATIOS
        if since < 2:
            self._ratio(since)

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the learning rate and the spread of the parameters; now and then write histograms, and all there is."""
        step, named = trainer.global_step, _named_parameters(pl_module)
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        spread = [number for p in self.parameters for number in (p.mean(), p.abs().max())]
        self.kept_epochs.append((step, time.time(), [rate, trainer.current_epoch + 1.0, *map(float, spread)]))
        if (trainer.current_epoch + 1) % max(1, (trainer.max_epochs or 0) // self.histograms) == 0:
            for name, parameter in named.items():
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

    def _way_to_look(self, pl_module: LightningModule) -> Look:
        flat = getattr(pl_module, "flat", None)
        if flat is not None and flat.both.device.type == "cpu":
            return FlatLook(flat.both.numpy(), [p.numel() for p in self.parameters], self.rows)
        return Look(self.parameters, self.small)

    @torch.no_grad()
    def _now(self) -> Tensor:
        """All parameters as they are (P,)."""
        return torch.cat([p.flatten() for p in self.parameters])

    @torch.no_grad()
    def _ratio(self, since: int) -> None:
        """Before an update that is looked at: keep where it went from. After it: how far it went, relative to that."""
        if since == 0:
            self.before = self._now()
        elif self.before is not None:
            sizes = [p.numel() for p in self.parameters]
            steps, states = (self._now() - self.before).split(sizes), self.before.split(sizes)
            ratios = torch.stack(torch._foreach_norm(steps)) / torch.stack(torch._foreach_norm(states))
            self.kept_ratios.append((self.first + len(self.losses_kept) - 1, time.time(), ratios.tolist()))

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
        assert self.look is not None
        tensors = len(self.parameters)
        norms_K2T, entries_KP = self.look.rows(len(self.losses_kept))
        gradients_KT = norms_K2T[:, tensors:]
        now_T = np.array([float(norm) for norm in torch._foreach_norm(self.parameters)])
        # Before the next update is after this one.
        norms_KT = np.vstack([norms_K2T[1:, :tensors], now_T])
        columns = [np.linalg.norm(gradients_KT, axis=1, keepdims=True), gradients_KT, norms_KT]
        if self.small:
            self.entries.append(entries_KP)
            columns.append(np.vstack([entries_KP[1:], self._now().cpu().numpy()]))
        return columns


class Look:
    """Takes what there is to know of an update before it is done, anywhere and of any module.

    Args:
        parameters: whose norms, and gradients' norms, are taken.
        entries: whether the parameters themselves are kept too.
    """

    def __init__(self, parameters: list[Tensor], entries: bool) -> None:
        self.parameters, self.entries = parameters, entries
        self.kept: list[Tensor] = []
        self.kept_entries: list[Tensor] = []

    @torch.no_grad()
    def take(self, number: int) -> None:
        """Look at one update, the `number`th since the rows were asked for."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        assert len(gradients) == len(self.parameters), "every parameter has a gradient before a step"
        self.kept.append(torch.stack(torch._foreach_norm(self.parameters + gradients)))
        if self.entries:
            self.kept_entries.append(torch.cat([p.flatten() for p in self.parameters]))

    def rows(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Of all looks: norms of all parameters, then of all gradients (K, 2 T); the parameters (K, P), if kept."""
        norms_K2T = torch.stack(self.kept).cpu().numpy()
        entries_KP = torch.stack(self.kept_entries).cpu().numpy() if self.entries else np.empty(0)
        self.kept, self.kept_entries = [], []
        return norms_K2T, entries_KP


class FlatLook(Look):
    """The same of a `Flat` on a CPU: dot products of large tensors while they are in the cache, copies of small ones.

    Args:
        both_2P: the parameters, then the gradient.
        sizes: numbers of each parameter tensor.
        rows: most looks between two calls of `rows`.
    """

    COPIED = 256  # a copy of so many numbers costs less than a dot product

    def __init__(self, both_2P: np.ndarray, sizes: list[int], rows: int) -> None:
        self.total, self.sizes = sum(sizes), sizes * 2
        ends = np.cumsum(self.sizes)
        starts = ends - self.sizes
        self.large = [column for column, size in enumerate(self.sizes) if size > self.COPIED]
        self.vectors = [both_2P[starts[column] : ends[column]] for column in self.large]
        self.squares: list[np.floating] = []
        # Runs of small tensors that lie one behind the other, each as its columns.
        runs = groupby(range(len(self.sizes)), lambda column: column not in self.large)
        self.runs = [list(run) for small, run in runs if small]
        self.copied = [both_2P[starts[run[0]] : ends[run[-1]]] for run in self.runs]
        self.copies = [np.empty((rows, len(numbers)), both_2P.dtype) for numbers in self.copied]

    def take(self, number: int) -> None:
        """Look at one update."""
        for vector in self.vectors:
            self.squares.append(vector.dot(vector))
        for rows, numbers in zip(self.copies, self.copied, strict=False):
            rows[number] = numbers

    def rows(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """As of any `Look`; the parameters where all of them were copied."""
        squares_KC = np.empty((count, len(self.sizes)))
        squares_KC[:, self.large] = np.array(self.squares).reshape(count, -1)
        for run, rows in zip(self.runs, self.copies, strict=True):
            starts = np.cumsum([0, *(self.sizes[column] for column in run[:-1])])
            squares_KC[:, run] = np.add.reduceat(np.square(rows[:count], dtype=np.float64), starts, axis=1)
        self.squares = []
        return np.sqrt(squares_KC), np.empty(0) if self.large else self.copies[0][:count, : self.total].copy()


def _named_parameters(pl_module: LightningModule) -> dict[str, torch.nn.Parameter]:
    network = pl_module.network
    assert isinstance(network, torch.nn.Module), "what is recorded is the network's"
    return dict(network.named_parameters())


def _indices(parameter: Tensor) -> list[tuple[int, ...]]:
    return list(product(*(range(n) for n in parameter.shape)))
