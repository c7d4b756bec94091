"""Collects the updates of a Trainer, one at a time, into the logs that the instruments get."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from steepest.engine.descent import RATIO_PERIOD, UpdateLog
from steepest.runs.tracker import Tracker


class UpdateRows:
    """Collects single updates of PyTorch's optimizer into an `UpdateLog`."""

    MAX_ROWS = 64  # maximum number of updates in a log

    def __init__(self, tracker: Tracker) -> None:
        self.tracker, self.parameters = tracker, list(tracker.view.network.parameters())
        self.entries = tracker.wants_entries
        self.noted: tuple[float, Tensor, int] | None = None  # the current update's loss, gradient norms and samples
        self.looked = False
        self.rows: list[tuple[float, Tensor, Tensor, Tensor | None, float, int]] = []
        self.ratios: list[tuple[int, np.ndarray]] = []

    @torch.no_grad()
    def before(self, current_batch: tuple[Tensor, Tensor, float]) -> None:
        """Note an update before it is done. L-BFGS calls this several times per update; the first call counts."""
        if self.noted is not None:
            return
        x_ND, y_NH, loss = current_batch
        # A user's own module can have parameters that a batch does not reach.
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        if self.tracker.updates_ahead() <= len(self.rows):
            self.deliver()
            self.tracker.look(x_ND, y_NH, loss, gradients)
            self.looked = True
        done = self.tracker.view.updates + len(self.rows)
        self.start = [p.detach().clone() for p in self.parameters] if done % RATIO_PERIOD == 0 else None
        self.noted = loss, torch.stack([torch.linalg.vector_norm(g.double()) for g in gradients]), len(x_ND)

    @torch.no_grad()
    def after(self) -> None:
        """Note the parameters after the update."""
        if self.noted is None:
            return
        norms_Q = torch.stack([torch.linalg.vector_norm(p.double()) for p in self.parameters])
        entries_P = torch.cat([p.flatten() for p in self.parameters]) if self.entries else None
        loss, gradients_Q, samples = self.noted
        if self.start is not None:
            ratios = [float((p - w).norm() / w.norm()) for p, w in zip(self.parameters, self.start, strict=True)]
            self.ratios.append((self.tracker.view.updates + len(self.rows) + 1, np.array(ratios)))
        self.rows.append((loss, gradients_Q, norms_Q, entries_P, time.time(), samples))
        self.noted = None
        if self.looked or len(self.rows) >= self.MAX_ROWS or self.tracker.updates_left() <= len(self.rows):
            self.deliver()
        self.looked = False

    def deliver(self) -> None:
        """Pass the updates noted so far to the tracker."""
        if not self.rows:
            return
        losses, gradients, norms, entries, times, samples = zip(*self.rows, strict=True)
        log = UpdateLog(
            self.tracker.view.updates,
            np.array(losses),
            torch.stack(gradients).cpu().numpy(),
            torch.stack(norms).cpu().numpy(),
            torch.stack(entries).cpu().numpy() if self.entries else None,
            self.ratios,
            np.array(times),
            sum(samples),
            samples[-1],
        )
        self.rows, self.ratios = [], []
        self.tracker.log(log)
