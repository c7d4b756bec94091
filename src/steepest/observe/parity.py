"""The callback that trains the automatic twin of a hand-derived model beside it, update by update."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.lightning.manual import ManualPredictor
from steepest.lightning.predictors import MLPPredictor
from steepest.observe.eventfile import write_event
from steepest.observe.events import writer_of


class Parity(Callback):
    """Trains an `MLPPredictor` of the same seed on the same batches by autograd, and keeps how far the two are apart.

    Each goes its own way: its own parameters, its own optimizer, PyTorch's own step. What is compared is where they
    are after k updates.

    Attributes:
        rows: a dict per update: ``update``, ``loss_by_hand`` and ``loss_by_autograd`` of its batch before it,
            ``loss_difference``, and ``parameter_difference``, the greatest of any parameter after it.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the twin, at the model's weights and in its precision."""
        if not isinstance(pl_module, ManualPredictor):
            raise ValueError(
                "callbacks=parity compares hand-derived gradients with autograd's: use model=mlp_manual or "
                "model=linear_manual"
            )
        same = ("inputs", "outputs", "hidden", "activation", "loss", "seed")
        self.twin = MLPPredictor(**{key: pl_module.hparams[key] for key in same}, optimizer=pl_module.make_optimizer)
        self.twin.to(pl_module.device, next(pl_module.parameters()).dtype)
        self.optimizer = self.twin.build_optimizer()
        if trainer.global_step:  # a resumed run: both are where the model is
            self.twin.load_state_dict(pl_module.state_dict())
            self.optimizer.load_state_dict(deepcopy(trainer.optimizers[0].state_dict()))  # it would share its tensors
        self.rows = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Finish the row of the update before, begin this one's, and let the twin take its step."""
        assert isinstance(pl_module, ManualPredictor)
        self._finish(pl_module)
        x_ND, y_NH, loss = pl_module.at_hand
        with torch.enable_grad():
            twins = self.twin.loss(self.twin(x_ND), y_NH)
            self.optimizer.zero_grad()
            twins.backward()
        self.rows.append(
            {
                "update": trainer.global_step + 1,
                "loss_by_hand": loss.item(),
                "loss_by_autograd": twins.item(),
                "loss_difference": abs(loss.item() - twins.item()),
            }
        )
        if pl_module.clip_bound:
            by_norm = pl_module.clip_algorithm == "norm"
            cut: Any = torch.nn.utils.clip_grad_norm_ if by_norm else torch.nn.utils.clip_grad_value_
            cut(self.twin.parameters(), pl_module.clip_bound)
        for own, models in zip(self.optimizer.param_groups, optimizer.param_groups, strict=True):
            own["lr"] = models["lr"]  # a scheduler may have changed it
        self.optimizer.step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the last row and write all of them."""
        assert isinstance(pl_module, ManualPredictor)
        self._finish(pl_module)
        writer = writer_of(trainer)
        if writer is not None:
            tags = ["parity/loss_difference", "parity/parameter_difference"]
            for row in self.rows:
                write_event(writer, tags, [row[t.rpartition("/")[2]] for t in tags], int(row["update"]))

    def table(self) -> pd.DataFrame:
        """The rows, for parity.csv and its figure."""
        return pd.DataFrame(self.rows)

    def summary(self) -> dict[str, float]:
        """The greatest differences of the run, for metrics.json."""
        return {key: max(row[key] for row in self.rows) for key in ("loss_difference", "parameter_difference")}

    def _finish(self, model: ManualPredictor) -> None:
        if self.rows:
            pairs = zip(model.network.parameters(), self.twin.network.parameters(), strict=True)
            self.rows[-1]["parameter_difference"] = max((a - b).abs().max().item() for a, b in pairs)
