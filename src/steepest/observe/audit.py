"""The callback that keeps an eye on the gradients while they are used."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.nets.agreement import BOUND, Disagreement, compare
from steepest.lightning.predictors import Predictor
from steepest.observe.eventfile import write_event
from steepest.observe.events import writer_of


class Audit(Callback):
    """Compares hand-derived, autograd's and finite differences' gradients as training goes, parameter by parameter.

    What is compared is the batch at hand: the gradient in `p.grad`, before clipping, and the hand-derived one against
    autograd's in the precision of training; the hand-derived one against finite differences in double precision.

    Args:
        every_n_updates: how often; the first update is always looked at.
        entries: numbers of each parameter to take finite differences for.
        bound: the relative error that stops the run; 1e-12 in double precision and 1e-5 in single when None.

    Attributes:
        greatest: the greatest relative error so far.
        looks: updates looked at.

    Raises:
        Disagreement: in training, naming the parameter.
    """

    def __init__(self, every_n_updates: int = 200, entries: int = 4, bound: float | None = None) -> None:
        for key, value in (("every_n_updates", every_n_updates), ("entries", entries)):
            if value < 1:
                raise ValueError(f"callbacks.audit.{key}={value} must be 1 or more")
        if bound is not None and not bound > 0:
            raise ValueError(f"callbacks.audit.bound={bound} must be a number above 0, or null")
        self.every, self.entries, self.bound = every_n_updates, entries, bound
        self.greatest, self.looks = 0.0, 0

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look at the update at hand, if it is one's turn."""
        assert isinstance(pl_module, Predictor)
        if trainer.global_step % self.every:
            return
        x_ND, y_NH, _ = pl_module.at_hand
        parameters = list(pl_module.network.parameters())
        # Of several devices each has its share of the batch, and p.grad the mean over all.
        used = [p.grad for p in parameters if p.grad is not None] if trainer.world_size == 1 else None
        rows = compare(pl_module.network, pl_module.loss, x_ND, y_NH, entries=self.entries, used=used)
        greatest, update = max(row.greatest() for row in rows), trainer.global_step + 1
        self.greatest, self.looks = max(self.greatest, greatest), self.looks + 1
        writer = writer_of(trainer)
        if writer is not None:
            write_event(writer, ["audit/relative_error"], [greatest], update)
        bound = self.bound or BOUND[parameters[0].dtype]
        if faults := [fault for row in rows if (fault := row.fault(bound))]:
            raise Disagreement(f"update {update}, {'; '.join(faults)}")
