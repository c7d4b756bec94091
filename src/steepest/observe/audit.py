"""Two instruments that compare a hand-derived gradient with autograd's while a run trains."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from steepest.engine.descent import UpdateLog
from steepest.nets.agreement import BOUND, Disagreement, compare, hand_derived
from steepest.observe.instrument import Instrument, View, check_at_least, every

DIFFERENCES = ("loss_difference", "parameter_difference")


@dataclass
class Audit(Instrument):
    """Compares the gradients of the engine, the textbook, autograd and finite differences, parameter by parameter.

    It uses the current batch. The engine's gradient, before clipping, and the textbook's are compared with
    autograd's in the precision of training; the textbook's is compared with finite differences in double precision.

    Attributes:
        every_n_updates: the number of updates between two checks; the first update is always checked.
        entries: the number of entries of each parameter tensor to check with finite differences.
        bound: the relative error that stops the run; None: 1e-12 in double precision and 1e-5 in single.

    Raises:
        Disagreement: during training, with the name of the parameter.
    """

    every_n_updates: int = 200
    entries: int = 4
    bound: float | None = None

    def __post_init__(self) -> None:
        check_at_least("audit", every_n_updates=(self.every_n_updates, 1), entries=(self.entries, 1))
        if self.bound is not None and not self.bound > 0:
            raise ValueError(f"callbacks.audit.bound={self.bound} must be a number above 0, or null")
        self.found: dict[str, Any] = {"relative_error": 0.0, "updates_looked_at": 0, "engine": ""}

    def next_look(self, updates: int) -> int:
        return every(updates, self.every_n_updates)

    def begin(self, view: View) -> None:
        """Refuse a model without hand-derived gradients."""
        hand_derived(view.network, "callbacks=audit")

    def look(self, view: View) -> None:
        """Compare; stop the run if the gradients disagree."""
        assert view.seen is not None
        x_ND, y_NH, _ = view.seen
        # With several devices, each has its share of the batch, and the gradient is the mean over all of them.
        used = view.gradients if view.world == 1 else None
        network = hand_derived(view.network, "callbacks=audit")
        rows = compare(network, view.loss, x_ND, y_NH, entries=self.entries, used=used)
        largest, update = max(row.largest_error() for row in rows), view.updates + 1
        self.found = {
            "relative_error": max(self.found["relative_error"], largest),
            "updates_looked_at": self.found["updates_looked_at"] + 1,
            "engine": view.engine,
        }
        view.write({"audit/relative_error": largest}, update)
        bound = self.bound or BOUND[x_ND.dtype]
        if faults := [fault for row in rows if (fault := row.fault(bound, view.engine))]:
            raise Disagreement(f"update {update}, {'; '.join(faults)}")

    def result(self) -> dict[str, Any]:
        return {"audit": self.found}

    def state_dict(self) -> dict[str, Any]:
        return self.found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.found = state


@dataclass
class Parity(Instrument):
    """Trains a copy of the network on the same batches by autograd, and records the differences between the two.

    The copy has separate parameters and a separate PyTorch optimizer. Losses and parameters are compared after each
    update.
    """

    def __post_init__(self) -> None:
        # For each update: its number, the two losses of its batch before it and their difference, and the largest
        # difference of any parameter after it.
        self.rows: list[dict[str, float]] = []
        self.resumed: dict[str, Any] = {}

    def next_look(self, updates: int) -> int:
        """Every update is compared."""
        return 0

    def begin(self, view: View) -> None:
        """Copy the model's weights, precision and optimizer state."""
        if view.engine == "autograd":
            raise ValueError(
                "callbacks=parity compares hand-derived gradients with autograd's: use model=mlp_manual or "
                "model=linear_manual"
            )
        self.network, self.optimizer = deepcopy((view.network, view.optimizer))  # in one call: they share parameters
        if self.resumed:
            self.network.load_state_dict(self.resumed["network"])
            self.optimizer.load_state_dict(self.resumed["optimizer"])

    def look(self, view: View) -> None:
        """Train the copy on the same batch."""
        assert view.seen is not None
        x_ND, y_NH, by_hand = view.seen
        with torch.enable_grad():
            loss = view.loss(self.network(x_ND), y_NH)
            self.optimizer.zero_grad()
            loss.backward()
        if view.clip is not None:
            view.clip([p.grad for p in self.network.parameters() if p.grad is not None])
        for copy_group, group in zip(self.optimizer.param_groups, view.optimizer.param_groups, strict=True):
            copy_group["lr"] = group["lr"]  # a scheduler may have changed it
        self.optimizer.step()
        self.losses = by_hand, loss.item()

    def log(self, view: View, log: UpdateLog) -> None:
        """Compare the parameters after the update, unless the engine refused it."""
        if not len(log):
            return
        pairs = zip(view.network.parameters(), self.network.parameters(), strict=True)
        by_hand, by_autograd = self.losses
        row = {
            "update": view.updates,
            "loss_by_hand": by_hand,
            "loss_by_autograd": by_autograd,
            "loss_difference": abs(by_hand - by_autograd),
            "parameter_difference": max((a.detach() - b.detach()).abs().max().item() for a, b in pairs),
        }
        self.rows.append(row)
        view.write({f"parity/{name}": row[name] for name in DIFFERENCES})

    def table(self) -> pd.DataFrame:
        """A row per update, for parity.csv and its figure."""
        return pd.DataFrame(self.rows)

    def result(self) -> dict[str, Any]:
        return {"parity": {name: max(row[name] for row in self.rows) for name in DIFFERENCES}} if self.rows else {}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keep the state until `begin` makes the copy."""
        self.rows, self.resumed = list(state["rows"]), state
