"""The callback that scores train and val at the end of every epoch, at the parameters of that moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from steepest.lightning.datamodule import windows_in_training
from steepest.evaluate.exam import Exam, exams
from steepest.evaluate.metrics import numbers
from steepest.evaluate.references import reference_losses
from steepest.lightning.predictors import Predictor
from steepest.observe.eventfile import write_event
from steepest.observe.events import writer_of


class EpochScores(Callback):
    """Logs ``train/{metric}``, ``train/full_loss``, ``val/{metric}`` and ``val/loss`` at the end of every epoch.

    Beside them, as lines to compare with, the losses of baselines: ``reference/train_persistence``, ...

    It walks the parts itself: Lightning's validation loop does not run when a run ends inside an epoch, and costs more.

    Args:
        objective: the score that best checkpoint and early stopping will look for.

    Attributes:
        history: a dict per epoch of this process: updates, and every score logged.
    """

    def __init__(self, objective: str) -> None:
        self.objective = objective
        self.history: list[dict[str, float]] = []
        self.exams: dict[str, Exam] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute once what does not depend on the model."""
        assert isinstance(pl_module, Predictor), "scores are of a Predictor"
        windows = windows_in_training(trainer, pl_module)
        self.exams = {part: exam for part, exam in exams(windows).items() if part != "test"}
        references = reference_losses(pl_module, windows) if writer_of(trainer) is not None else {}
        self.references = {f"reference/{name}": loss for name, loss in references.items()}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score both parts and log."""
        assert isinstance(pl_module, Predictor), "scores are of a Predictor"
        values = {k: v for exam in self.exams.values() for k, v in _values(pl_module, exam).items()}
        if self.objective in values:
            with _double():
                # Lightning's own book-keeping takes 0.5 ms a number, so it gets this one alone. (Every device has
                # scored the whole part: reducing takes the mean of equal numbers.)
                pl_module.log(self.objective, values[self.objective], logger=False, sync_dist=True)
        self.history.append({"updates": float(trainer.global_step)} | values)
        writer = writer_of(trainer)
        if writer is not None:
            shown = values | self.references
            write_event(writer, list(shown), list(shown.values()), trainer.global_step)
        for logger in trainer.loggers:
            if not isinstance(logger, TensorBoardLogger):
                logger.log_metrics(values, step=trainer.global_step)


@torch.no_grad()
def _values(predictor: Predictor, exam: Exam) -> dict[str, float]:
    """The scores and the loss of a part, from one walk through it."""
    outputs_NO = exam.outputs(lambda batch: predictor(batch.x_ND))
    values = {
        f"{exam.part}/{name}": score for name, score in numbers(exam.score(outputs_NO)).items() if score is not None
    }
    loss = "train/full_loss" if exam.part == "train" else "val/loss"  # train/loss is each update's batch's
    return values | {loss: predictor.loss(outputs_NO, exam.target_NH).item()}


@contextmanager
def _double() -> Iterator[None]:
    """Lightning keeps logged numbers in the default precision; in single, late progress looks like none."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
