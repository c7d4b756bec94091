"""The instrument that checks gradients while a run trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steepest.nets.agreement import BOUND, Disagreement, compare
from steepest.observe.instrument import Instrument, View, check_at_least, every


@dataclass
class Audit(Instrument):
    """Compares the gradients of the engine, the textbook, autograd and finite differences, parameter by parameter.

    It looks at the current batch. The engine's gradient, before clipping, and the textbook's are compared with
    autograd's in the precision of training; the textbook's is compared with finite differences in double precision.

    Attributes:
        every_n_updates: the number of updates from one look to the next; the first update is always looked at.
        entries: how many numbers of each parameter tensor to take finite differences for.
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

    def look(self, view: View) -> None:
        """Compare; stop the run if the gradients disagree."""
        assert view.seen is not None
        x_ND, y_NH, _ = view.seen
        # With several devices, each has its share of the batch, and the gradient is the mean over all of them.
        used = view.gradients if view.world == 1 else None
        rows = compare(view.network, view.loss, x_ND, y_NH, entries=self.entries, used=used)
        greatest, update = max(row.greatest() for row in rows), view.updates + 1
        self.found = {
            "relative_error": max(self.found["relative_error"], greatest),
            "updates_looked_at": self.found["updates_looked_at"] + 1,
            "engine": view.engine,
        }
        view.write({"audit/relative_error": greatest}, update)
        bound = self.bound or BOUND[x_ND.dtype]
        if faults := [fault for row in rows if (fault := row.fault(bound, view.engine))]:
            raise Disagreement(f"update {update}, {'; '.join(faults)}")

    def result(self) -> dict[str, Any]:
        return {"audit": self.found}

    def state_dict(self) -> dict[str, Any]:
        return self.found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.found = state
