"""Instruments: objects that observe a run while a Trainer or the threads launcher trains it.

An instrument receives the logs of many updates at a time, and a call at the end of each epoch. An instrument that needs
a single update says which one; the engine stops there and passes it the batch and the gradient of that update. No
Lightning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steepest.data.windows import Windows
from steepest.engine.descent import UpdateLog
from steepest.nets.losses import Loss
from steepest.observe.eventfile import EventFile, encode, write_event

NEVER = 1 << 62  # more updates than any run does


@dataclass
class View:
    """A run as its instruments see it.

    Attributes:
        network, loss, optimizer: of the run; an instrument may change parameters only at the end of an epoch.
        windows: the data, on the device and in the precision of training.
        batches: the number of updates in a complete epoch.
        epochs_limit, updates_limit: the maximum number of epochs and updates of the run, or None for no limit.
        engine: what computes the updates: ``kernel``, ``textbook`` or ``autograd``.
        sink: the event file. It is None without a logger and in all processes except the first.
        listeners: functions of other loggers, which get the scalars of an update.
        world: the number of processes that train together.
        only_batch: the origins of the batch that all updates use (data.one_batch=true), or None.
        of_user: whether the network is one of the user's own, which an instrument may be unable to measure.
        clip: a function that clips gradients in place as the run does, or None if the run does not.
        updates, epochs, samples: done so far; an epoch that was cut short counts.
        batch: the number of samples in the last update.
        seen: during `look`, the batch's inputs, its targets, and its mean loss before the update.
        gradients: during `look`, the gradients of that loss before clipping, a tensor per parameter.
    """

    network: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    windows: Windows
    batches: int
    epochs_limit: int | None
    updates_limit: int | None
    engine: str
    sink: EventFile | None = None
    listeners: tuple[Callable[[dict[str, float], int], None], ...] = ()
    world: int = 1
    only_batch: Tensor | None = None
    of_user: bool = False
    clip: Callable[[Sequence[Tensor]], None] | None = None
    updates: int = 0
    epochs: int = 0
    samples: int = 0
    batch: int = 0
    seen: tuple[Tensor, Tensor, float] | None = None
    gradients: list[Tensor] = field(default_factory=list)

    @property
    def recorded(self) -> bool:
        """Whether anything keeps the curves."""
        return self.sink is not None or bool(self.listeners)

    def write(self, values: dict[str, float], update: int | None = None) -> None:
        """Write scalars at this update, or at the latest one."""
        if not values:
            return
        step = self.updates if update is None else update
        if self.sink is not None:
            write_event(self.sink, list(values), list(values.values()), step)
        for listener in self.listeners:
            listener(values, step)

    def write_rows(
        self, tags: Sequence[str], values_KT: np.ndarray, steps: Sequence[int] | np.ndarray, times: Any
    ) -> None:
        """Write the scalars of several updates: a row per update, a column per tag."""
        if self.sink is not None:
            self.sink.write(encode(tags, values_KT, steps, times))
        for listener in self.listeners:
            for step, values in zip(steps, values_KT.tolist(), strict=True):
                listener(dict(zip(tags, values, strict=True)), int(step))

    def is_due(self, looks: int) -> bool:
        """Whether this epoch is one of about `looks` evenly spaced epochs of the run."""
        return self.epochs % max(1, (self.epochs_limit or 0) // looks) == 0

    def theta(self) -> Tensor:
        """A copy of all current parameters (P,), on the CPU."""
        return torch.cat([p.detach().flatten() for p in self.network.parameters()]).cpu()


class Instrument:
    """Base class of the instruments. The docstring of each method says when it is called."""

    def wants_entries(self, network: nn.Module) -> bool:
        """Whether the logs of updates must hold all parameters."""
        return False

    def next_look(self, updates: int) -> int:
        """Return the number of updates that can run before the next `look`, or 0 to measure the next update."""
        return NEVER

    def begin(self, view: View) -> None:
        """Before the first update of this process."""

    def look(self, view: View) -> None:
        """Before an update that `next_look` requested; `view.seen` and `view.gradients` describe it."""

    def log(self, view: View, log: UpdateLog) -> None:
        """After updates."""

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """At the end of an epoch, with the scores of the previous epoch."""

    def flush(self, view: View) -> None:
        """Write all buffered values: a checkpoint is about to be saved, or the run is over."""

    def end(self, view: View) -> None:
        """After the last update of a run that was not interrupted."""

    def result(self) -> dict[str, Any]:
        """Entries for metrics.json."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as plain data and tensors. A resumed run needs it to report the same results."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore that state."""


def every(updates: int, n: int) -> int:
    """How many updates remain until the count of updates is a multiple of n."""
    return -updates % n


def check_at_least(group: str, **limits: tuple[float, float]) -> None:
    """Raise `ValueError` for an option below its limit: `key=(value, minimum)`."""
    for key, (value, minimum) in limits.items():
        if value < minimum:
            raise ValueError(f"callbacks.{group}.{key}={value} must be {minimum} or more")
