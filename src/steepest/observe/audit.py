"""The instrument that compares gradients while they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steepest.nets.agreement import BOUND, Disagreement, compare
from steepest.observe.instrument import Instrument, View, check_at_least, every


@dataclass
class Audit(Instrument):
    """Compares the engine's gradient, the textbook's, autograd's and finite differences', parameter by parameter.

    What is compared is the batch at hand: the gradient that the engine uses, before clipping, and the textbook's
    against autograd's in the precision of training; the textbook's against finite differences in double precision.

    Attributes:
        every_n_updates: how often; the first update is always looked at.
        entries: numbers of each parameter to take finite differences for.
        bound: the relative error that stops the run; 1e-12 in double precision and 1e-5 in single when None.

    Raises:
        Disagreement: in training, naming the parameter.
    """

    every_n_updates: int = 200
    entries: int = 4
    bound: float | None = None

    def __post_init__(self) -> None:
        check_at_least("audit", every_n_updates=(self.every_n_updates, 1), entries=(self.entries, 1))
        if self.bound is not None and not self.bound > 0:
            raise ValueError(f"callbacks.audit.bound={self.bound} must be a number above 0, or null")
        self.greatest, self.looks, self.engine = 0.0, 0, ""

    def next_look(self, updates: int) -> int:
        """As of any instrument."""
        return every(updates, self.every_n_updates)

    def look(self, view: View) -> None:
        """Compare; stop the run if a gradient is not the gradient."""
        assert view.seen is not None
        x_ND, y_NH, _ = view.seen
        # Of several devices each has its share of the batch, and the gradient the mean over all.
        used = view.gradients if view.world == 1 else None
        rows = compare(view.network, view.loss, x_ND, y_NH, entries=self.entries, used=used)
        greatest, update = max(row.greatest() for row in rows), view.updates + 1
        self.greatest, self.looks, self.engine = max(self.greatest, greatest), self.looks + 1, view.engine
        view.write({"audit/relative_error": greatest}, update)
        bound = self.bound or BOUND[x_ND.dtype]
        if faults := [fault for row in rows if (fault := row.fault(bound, view.engine))]:
            raise Disagreement(f"update {update}, {'; '.join(faults)}")

    def result(self) -> dict[str, Any]:
        """As of any instrument."""
        found = {"relative_error": self.greatest, "updates_looked_at": self.looks, "engine": self.engine}
        return {"audit": found}

    def state_dict(self) -> dict[str, Any]:
        """As of any instrument."""
        return {"greatest": self.greatest, "looks": self.looks, "engine": self.engine}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of any instrument."""
        vars(self).update(state)
