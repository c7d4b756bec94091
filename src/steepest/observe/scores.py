"""The callback that scores train and val at the end of every epoch, at the parameters of that moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.data.datamodule import windows_in_training
from steepest.evaluate.evaluation import score
from steepest.models.predictors import Predictor, full_loss


class EpochScores(Callback):
    """Logs ``train/{metric}``, ``val/{metric}`` and ``val/loss`` at the end of every epoch.

    It walks the parts itself: Lightning's validation loop does not run when a run ends inside an epoch, and costs more.

    Args:
        objective: the score that best checkpoint and early stopping will look for.

    Attributes:
        history: a dict per epoch of this process: updates, and every score logged.
    """

    def __init__(self, objective: str) -> None:
        self.objective = objective
        self.history: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score both parts and log."""
        assert isinstance(pl_module, Predictor), "scores are of a Predictor"
        windows = windows_in_training(trainer, pl_module)
        values = _named("train", score(pl_module, windows, "train")) | _named("val", score(pl_module, windows, "val"))
        if len(windows.parts["val"]):
            values["val/loss"] = full_loss(pl_module, ((b.x_ND, b.y_NH) for _, b in windows.walk("val"))).item()
        if self.objective in values:
            with _double():
                # Lightning's own book-keeping takes 0.5 ms a number, so it gets this one alone. (Every device has
                # scored the whole part: reducing takes the mean of equal numbers.)
                pl_module.log(self.objective, values[self.objective], logger=False, sync_dist=True)
        self.history.append({"updates": float(trainer.global_step)} | values)
        if trainer.logger is not None:
            trainer.logger.log_metrics(values, step=trainer.global_step)


@contextmanager
def _double() -> Iterator[None]:
    """Lightning keeps logged numbers in the default precision; in single, late progress looks like none."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _named(part: str, scores: dict[str, float | None]) -> dict[str, float]:
    return {f"{part}/{metric}": value for metric, value in scores.items() if value is not None}
