"""The instrument that writes every update to TensorBoard: its loss, gradient norms, parameters and step size.

Shapes: K updates, P numbers of all parameters, Q parameter tensors.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from torch import nn

from steepest.engine.descent import UpdateLog
from steepest.nets.networks import MLP
from steepest.observe.eventfile import write_histograms
from steepest.observe.instrument import Instrument, View
from steepest.observe.tags import layout

PAUSE = 2.0  # maximum number of seconds between two writes


class Tags(NamedTuple):
    """The tags of a model's curves.

    Attributes:
        after: the parameters after an update: their norms and, in a small model, their entries.
        update: every update: loss, gradient norms, and `after`.
        ratios: every 50th update: the step's size relative to the parameter.
        epoch: every epoch.
    """

    after: list[str]
    update: list[str]
    ratios: list[str]
    epoch: list[str]

    @classmethod
    def of(cls, shapes: Mapping[str, Sequence[int]], *, entries: bool) -> Tags:
        """The tags for parameters with these names and shapes."""
        after = [f"parameter_norm/{n}" for n in shapes]
        if entries:
            after += [f"parameter/{name}" for name in entry_names(shapes)]
        update = ["train/loss", *(f"gradient_norm/{n}" for n in ("total", *shapes)), *after]
        spread = [f"parameter_{what}/{n}" for what in ("mean", "extreme") for n in shapes]
        return cls(after, update, [f"update_ratio/{n}" for n in shapes], ["learning_rate", "epoch", *spread])


def entry_names(shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """The name of each number of a model's parameters, such as W1[0,0]."""
    return [f"{n}[{','.join(map(str, i))}]" for n, shape in shapes.items() for i in product(*map(range, shape))]


def dashboard(network: nn.Module, instruments: Iterable[Instrument]) -> dict[str, dict[str, list]]:
    """The Custom Scalars dashboard of a run."""
    shapes = {name: p.shape for name, p in network.named_parameters()}
    small = any(instrument.wants_entries(network) for instrument in instruments)
    entries = tuple(entry_names(shapes)) if small else ()
    return layout(network.depth if isinstance(network, MLP) else tuple(shapes), entries)


@dataclass
class Recorder(Instrument):
    """Writes every update's loss, gradient norms, parameter norms and, of small models, parameters.

    Attributes:
        scalars: models with up to this many parameters have one curve per parameter.
        histograms: the approximate number of histograms of each parameter and gradient in a run.
        rows: the maximum number of buffered updates.
    """

    scalars: int = 64
    histograms: int = 10
    rows: int = 1024

    def __post_init__(self) -> None:
        self.losses: list[np.ndarray] = []  # of every update that this process did
        self.entries: list[np.ndarray] = []  # of small models: all parameters after each of these updates
        self.pending: list[UpdateLog] = []
        self.epochs: list[tuple[int, float, list[float]]] = []  # update, time, values
        self.written = time.monotonic()

    def wants_entries(self, network: nn.Module) -> bool:
        """Yes for models with few parameters."""
        return sum(prod(p.shape) for p in network.parameters()) <= self.scalars

    def begin(self, view: View) -> None:
        """Choose the tags, and write the initial parameters."""
        self.small = self.wants_entries(view.network)
        shapes = {n: p.shape for n, p in view.network.named_parameters()}
        self.tags = Tags.of(shapes, entries=self.small)
        self.sizes_Q = np.array([prod(shape) for shape in shapes.values()])
        if view.updates == 0:
            norms = [float(p.detach().double().norm()) for p in view.network.parameters()]
            entries = view.theta().tolist() if self.small else []
            view.write(dict(zip(self.tags.after, [*norms, *entries], strict=True)))

    def log(self, view: View, log: UpdateLog) -> None:
        """Buffer updates; write when there are many."""
        self.pending.append(log)
        self.losses.append(log.losses_K)
        if log.entries_KP is not None and self.small:
            self.entries.append(log.entries_KP)
        if sum(map(len, self.pending)) >= self.rows:
            self._write_updates(view)

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Buffer the learning rate and the spread of the parameters; sometimes write histograms and all buffers."""
        rate = float(view.optimizer.param_groups[0]["lr"])
        theta_P, starts_Q = view.theta().numpy().astype(float), np.cumsum(self.sizes_Q) - self.sizes_Q
        means_Q = np.add.reduceat(theta_P, starts_Q) / self.sizes_Q
        extremes_Q = np.maximum.reduceat(np.abs(theta_P), starts_Q)
        spread = [*means_Q.tolist(), *extremes_Q.tolist()]
        self.epochs.append((view.updates, time.time(), [rate, float(view.epochs), *spread]))
        if view.sink is not None and view.is_due(self.histograms):
            tensors = {
                f"{what}/{name}": tensor.detach().cpu().numpy()
                for name, parameter in view.network.named_parameters()
                for what, tensor in (("parameters", parameter), ("gradients", parameter.grad))
                if tensor is not None and tensor.numel() > 1
            }
            if tensors:
                write_histograms(view.sink, tensors, view.updates)
        if time.monotonic() - self.written > PAUSE:
            self.flush(view)

    def flush(self, view: View) -> None:
        """Write all buffers."""
        self._write_updates(view)
        if self.epochs:
            steps, times, values = zip(*self.epochs, strict=True)
            view.write_rows(self.tags.epoch, np.array(values), steps, times)
        self.epochs, self.written = [], time.monotonic()

    def _write_updates(self, view: View) -> None:
        logs = [log for log in self.pending if len(log)]
        self.pending = []
        if not view.recorded or not logs:
            return
        gradients_KQ = np.concatenate([log.gradient_norms_KQ for log in logs])
        columns = [np.concatenate([log.losses_K for log in logs])[:, None]]
        columns += [np.linalg.norm(gradients_KQ, axis=1, keepdims=True), gradients_KQ]
        columns += [np.concatenate([log.parameter_norms_KQ for log in logs])]
        if self.small:
            columns += [np.concatenate([log.entries_KP for log in logs if log.entries_KP is not None])]
        steps = np.concatenate([np.arange(log.done + 1, log.done + 1 + len(log)) for log in logs])
        times = np.concatenate([log.times_K for log in logs])
        view.write_rows(self.tags.update, np.hstack(columns), steps, times)
        ratios = [(update, ratio_Q) for log in logs for update, ratio_Q in log.ratios]
        if ratios:
            updates, values = zip(*ratios, strict=True)
            places = np.searchsorted(steps, updates)
            view.write_rows(self.tags.ratios, np.array(values), updates, times[places])
