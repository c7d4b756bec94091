"""The callback that asks of every update whether it did what the gradient promised."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from steepest.lightning.predictors import Predictor
from steepest.observe.eventfile import write_event
from steepest.observe.events import writer_of


class StepQuality(Callback):
    """Writes each update's predicted and actual decrease of its own batch's loss, and where it ended in the parabola.

    Along the step d from w to w + d the loss is taken for a parabola with the slopes found at both ends,
    s0 = g(w) d and s1 = g(w + d) d. The position of its end is -s1 / s0: -1 where the step began, 0 at the bottom, 1 as
    high up on the other side, below -1 where it grew steeper (after Schneider et al. 2021, "Cockpit"). A step uphill,
    as momentum can take one, has none.

    Args:
        every_n_updates: how often; each look costs one more gradient of the batch.
    """

    def __init__(self, every_n_updates: int = 1) -> None:
        if every_n_updates < 1:
            raise ValueError(f"callbacks.steps.every_n_updates={every_n_updates} must be 1 or more")
        self.every = every_n_updates
        self.before: tuple[list[Tensor], list[Tensor], tuple[Tensor, Tensor, Tensor], int] | None = None

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Judge the update before, whose end is here; keep where this one begins, if it is one's turn."""
        assert isinstance(pl_module, Predictor)
        self._judge(trainer, pl_module)
        if trainer.global_step % self.every == 0:
            parameters = list(pl_module.network.parameters())
            gradients = [p.grad.clone() for p in parameters if p.grad is not None]
            here = [p.detach().clone() for p in parameters]
            self.before = (here, gradients, pl_module.at_hand, trainer.global_step + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the last one."""
        assert isinstance(pl_module, Predictor)
        self._judge(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Judge the last one before a checkpoint too: a resumed run does not know it any more."""
        assert isinstance(pl_module, Predictor)
        self._judge(trainer, pl_module)

    def _judge(self, trainer: Trainer, predictor: Predictor) -> None:
        if self.before is None:
            return
        (start, slopes, (x_ND, y_NH, loss), update), self.before = self.before, None
        with torch.no_grad():
            step = [p.detach() - w for p, w in zip(predictor.network.parameters(), start, strict=True)]
            after = predictor.loss(predictor(x_ND), y_NH)
        s0, s1 = (
            float(sum((g * d).double().sum() for g, d in zip(gradient, step, strict=True)))
            for gradient in (slopes, predictor.gradient(x_ND, y_NH))
        )
        values = {"step/predicted_decrease": -s0, "step/actual_decrease": float(loss - after)}
        if s0 < 0:
            values["step/position"] = -s1 / s0
        writer = writer_of(trainer)
        if writer is not None:
            write_event(writer, list(values), list(values.values()), update)
