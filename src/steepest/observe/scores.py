"""The callback that scores train and val at the end of every epoch, at the parameters of that moment."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from steepest.data.datamodule import WindowDataModule
from steepest.evaluate.baselines import share_of_ups
from steepest.evaluate.evaluation import score, score_outputs


class EpochScores(Callback):
    """Logs ``train/{metric}`` and ``val/{metric}``, in the data's units, for the objective and for TensorBoard.

    Args:
        objective: the score that best checkpoint and early stopping will look for.

    Attributes:
        history: a dict per epoch of this process: updates, and every score logged.
    """

    def __init__(self, objective: str) -> None:
        self.objective = objective
        self.outputs: list[Tensor] = []
        self.history: list[dict[str, float]] = []
        self.share_H: Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute once what scores refer to."""
        windows = _windows(trainer, pl_module)
        self.share_H = share_of_ups(windows) if windows.direction else None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last epoch's predictions."""
        self.outputs = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the predictions the validation step has made."""
        self.outputs.append(outputs["prediction"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score both parts and log; Lightning has finished the epoch's validation by now."""
        windows = _windows(trainer, pl_module)
        values = _named("train", score(pl_module, windows, "train"))
        if self.outputs:
            part = windows.parts["val"]
            origin_N = part.origins(torch.arange(len(part), device=windows.price_T.device))
            target_NH = windows.gather(origin_N).y_NH if windows.direction else None
            outputs_NO = torch.cat(self.outputs)
            values |= _named("val", score_outputs(outputs_NO, origin_N, target_NH, windows, self.share_H))
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None:
            values["val/loss"] = float(loss)
        if self.objective in values and self.objective != "val/loss":
            # Lightning's own book-keeping takes 0.5 ms a number, so it gets this one alone. (Every device has scored the
            # whole part: reducing takes the mean of equal numbers.)
            pl_module.log(self.objective, values[self.objective], logger=False, sync_dist=True)
        self.history.append({"updates": float(trainer.global_step)} | values)
        if trainer.logger is not None:
            trainer.logger.log_metrics(values, step=trainer.global_step)


def _windows(trainer: Trainer, pl_module: LightningModule):
    datamodule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]  # set by fit(datamodule=...)
    assert isinstance(datamodule, WindowDataModule), "scores in the data's units need a WindowDataModule"
    return datamodule.placed(pl_module.device, next(pl_module.parameters()).dtype)


def _named(part: str, scores: dict[str, float | None]) -> dict[str, float]:
    return {f"{part}/{metric}": value for metric, value in scores.items() if value is not None}
