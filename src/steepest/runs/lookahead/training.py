"""Trains a config in memory, without a run's folder, and records the parameters of each epoch and all losses.

The engine trains here. `lightning/lookahead.py` does the same with a Trainer, for models that need one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steepest.data.windows import Windows
from steepest.engine.descent import UpdateLog
from steepest.evaluate.scoring import part_scorers
from steepest.nets.losses import Loss
from steepest.observe.curvature import Escape
from steepest.observe.instrument import Instrument, View
from steepest.runs.build import build, dtype_of
from steepest.runs.config import Checked, metrics_of
from steepest.runs.finish import put
from steepest.runs.loop import KernelTraining
from steepest.runs.tracker import Tracker


@dataclass
class History(Instrument):
    """Keeps the parameters after each epoch, and the loss of each update."""

    parameters: list[Tensor] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)

    def log(self, view: View, log: UpdateLog) -> None:
        """After updates: keep their losses."""
        self.losses.append(log.losses_K)

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """At the end of an epoch: keep the parameters."""
        self.parameters.append(view.theta())


@dataclass(frozen=True)
class Fit:
    """A finished training.

    Attributes:
        network: the network of the best epoch.
        loss: its loss function.
        parameters_EP: all parameters after each epoch.
        losses_K: the loss of each update.
        epochs: the scores of train and val after each epoch.
        best: the number of the best epoch.
    """

    network: nn.Module
    loss: Loss
    parameters_EP: Tensor
    losses_K: np.ndarray
    epochs: list[dict[str, float]]
    best: int


FitFunction = Callable[[Checked, Windows], Fit]


def fit_with_kernel(checked: Checked, windows: Windows) -> Fit:
    """Train a config for which `build.reason_against` returns None.

    Args:
        checked: the config, without observers.
        windows: the data, in float64.

    Raises:
        ValueError: if the data do not fit the config, or the training fails.
    """
    history = History()
    parts = build(checked, windows)
    parts = replace(parts, instruments=parts.instruments | {"history": history})
    placed = windows.to("cpu", dtype_of(checked))
    training = KernelTraining(
        checked, checked.groups["data"](), parts, placed, part_scorers(placed, own=metrics_of(checked))
    )
    status, reason = training.train()
    if status != "finished":
        raise ValueError(f"the training failed, so there is nothing to audit: {reason}")
    return fit_of(training.tracker, history)


def without_observers(checked: Checked) -> Checked:
    """Return the config without a logger and without the instruments that only observe."""
    callbacks = {name: node for name, node in checked.groups["callbacks"].items() if not _only_observes(node.target)}
    return replace(checked, groups=checked.groups | {"callbacks": callbacks, "logger": {}})


def _only_observes(target: Any) -> bool:
    own = isinstance(target, type) and issubclass(target, Instrument) and target.__module__.startswith("steepest.")
    return own and not issubclass(target, Escape)


@torch.no_grad()
def fit_of(tracker: Tracker, history: History) -> Fit:
    """Return a tracker's finished training, with the best epoch's parameters in its network.

    If the objective was never finite, as on a val part with constant prices, the last epoch counts as the best.
    """
    network = tracker.view.network
    if tracker.best is not None:
        put(network, tracker.best.weights)
    return Fit(
        network.eval(),
        tracker.view.loss,
        torch.stack(history.parameters),
        np.concatenate(history.losses),
        tracker.history,
        len(tracker.history) if tracker.best is None else tracker.best.epochs,
    )
