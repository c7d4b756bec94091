"""The instrument that records the path of the parameters for the final pictures, and the best epoch of a run."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from steepest.observe.instrument import Instrument, View, check_at_least
from steepest.observe.theme import ThemeName


@dataclass(frozen=True)
class Kept:
    """The best epoch of a run. The run keeps its model.

    Attributes:
        epoch, last: the numbers of this epoch and of the last epoch.
        updates: the number of updates up to the end of this epoch.
        theta_P: all parameters after this epoch.
    """

    epoch: int
    last: int
    updates: int
    theta_P: np.ndarray

    @classmethod
    def of(cls, epoch: int, last: int, updates: int, network: nn.Module, weights: Mapping[str, torch.Tensor]) -> Kept:
        """Return the best epoch, whose parameters have these values."""
        flat = [weights[name].detach().flatten() for name, _ in network.named_parameters()]
        return cls(epoch, last, updates, torch.cat(flat).cpu().numpy())

    def named(self) -> str:
        """Describe the epoch for captions, such as ``epoch 31 of 50, the best epoch``."""
        return f"epoch {self.epoch:,} of {self.last:,}, the best epoch"

    def caption(self) -> str:
        """Return a sentence for pictures of the whole descent, or "" if the last epoch is the best."""
        if self.epoch == self.last:
            return ""
        return f" The descent ends at epoch {self.last:,}; the best epoch is {self.epoch:,}."

    def until(self, path: Sequence[np.ndarray], updates: Sequence[int]) -> tuple[list[np.ndarray], list[int]]:
        """Cut a path of parameters at the end of this epoch, and return it with the updates of its points."""
        before = bisect_left(updates, self.updates)
        return [*path[:before], self.theta_P], [*updates[:before], self.updates]


@dataclass
class Pictures(Instrument):
    """Stores snapshots of the parameters at evenly spaced epochs. `gallery.py` draws them.

    Attributes:
        most: the maximum number of snapshots. If there are more, every second one is dropped.
        in_sweeps: whether jobs of a sweep draw more than their predictions and losses.
        samples: the maximum number of training samples for the losses in the pictures.
        theme: ``light`` or ``dark``, for all pictures of the run.
    """

    most: int = 100
    in_sweeps: bool = False
    samples: int = 8192
    theme: ThemeName = "light"

    def __post_init__(self) -> None:
        check_at_least("pictures", most=(self.most, 2), samples=(self.samples, 1))
        self.updates: list[int] = []  # the update of each snapshot
        self.snapshots: list[np.ndarray] = []  # all parameters (P,), from the initial to the final ones
        self.every = 1

    def begin(self, view: View) -> None:
        """Keep the initial parameters."""
        self._keep(view)

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Keep the current parameters, if a snapshot is due."""
        if view.epochs % self.every == 0:
            self._keep(view)
        if len(self.snapshots) > self.most:
            # The first one stays, and the spacing stays even.
            self.updates, self.snapshots = self.updates[::2], self.snapshots[::2]
            self.every *= 2

    def end(self, view: View) -> None:
        """Keep the final parameters."""
        self._keep(view)

    def state_dict(self) -> dict[str, Any]:
        """See `Instrument`."""
        kept = torch.from_numpy(np.stack(self.snapshots)) if self.snapshots else None
        return {"every": self.every, "updates": list(self.updates), "snapshots": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Instrument`."""
        if state:
            self.every, self.updates = state["every"], list(state["updates"])
            self.snapshots = [] if state["snapshots"] is None else list(state["snapshots"].numpy())

    def _keep(self, view: View) -> None:
        if not self.updates or self.updates[-1] != view.updates:
            self.snapshots.append(view.theta().numpy())
            self.updates.append(view.updates)
