"""The instrument that trains the automatic twin of a hand-derived model beside it, update by update."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from steepest.engine.descent import UpdateLog
from steepest.observe.instrument import Instrument, View

DIFFERENCES = ("loss_difference", "parameter_difference")


@dataclass
class Parity(Instrument):
    """Trains a copy of the network on the same batches by autograd, and keeps how far the two are apart.

    Each goes its own way: its own parameters, its own optimizer, PyTorch's own step. What is compared is where they
    are after k updates.
    """

    def __post_init__(self) -> None:
        # A dict per update: `update`, `loss_by_hand` and `loss_by_autograd` of its batch before it, `loss_difference`,
        # and `parameter_difference`, the greatest of any parameter after it.
        self.rows: list[dict[str, float]] = []
        self.resumed: dict[str, Any] = {}

    def next_look(self, updates: int) -> int:
        """Every update is looked at."""
        return 0

    def begin(self, view: View) -> None:
        """Make the twin, at the model's weights, in its precision, with its optimizer's state."""
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
        """Let the twin take its step on the same batch."""
        assert view.seen is not None
        x_ND, y_NH, loss = view.seen
        with torch.enable_grad():
            twins = view.loss(self.network(x_ND), y_NH)
            self.optimizer.zero_grad()
            twins.backward()
        other = twins.item()
        self.rows.append(
            {
                "update": view.updates + 1,
                "loss_by_hand": loss,
                "loss_by_autograd": other,
                "loss_difference": abs(loss - other),
            }
        )
        if view.clip is not None:
            view.clip([p.grad for p in self.network.parameters() if p.grad is not None])
        for own, models in zip(self.optimizer.param_groups, view.optimizer.param_groups, strict=True):
            own["lr"] = models["lr"]  # a scheduler may have changed it
        self.optimizer.step()

    def log(self, view: View, log: UpdateLog) -> None:
        """Compare the parameters after the update."""
        if not len(log):
            self.rows.pop()  # it was refused
            return
        pairs = zip(view.network.parameters(), self.network.parameters(), strict=True)
        row = self.rows[-1]
        row["parameter_difference"] = max((a.detach() - b.detach()).abs().max().item() for a, b in pairs)
        view.write({f"parity/{name}": row[name] for name in DIFFERENCES}, int(row["update"]))

    def table(self) -> pd.DataFrame:
        """The rows, for parity.csv and its figure."""
        return pd.DataFrame(self.rows)

    def result(self) -> dict[str, Any]:
        """The greatest differences of the run."""
        return {"parity": {name: max(row[name] for row in self.rows) for name in DIFFERENCES}} if self.rows else {}

    def state_dict(self) -> dict[str, Any]:
        """As of any instrument."""
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {"rows": [dict(row) for row in self.rows]} | state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of any instrument; the twin is made when training begins."""
        self.rows, self.resumed = list(state["rows"]), state
