"""Where Lightning and TensorBoard's event files meet: the logger, its writer, callbacks that write much at once."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard.writer import SummaryWriter

from steepest.observe.eventfile import event_file


class EventLogger(TensorBoardLogger):
    """Lightning's logger without its hparams.yaml: the run's config.yaml says all of that."""

    def save(self) -> None:
        """Events are on disk as they are written."""


class Bulk(Callback):
    """A callback that holds back what it saw, and writes much of it at once.

    Nothing is held back when a run ends or breaks off, nor when a checkpoint is saved that it can be resumed from: what
    saves that one calls `catch_up`. So a resumed run has no gap in its curves.
    """

    def catch_up(self, trainer: Trainer) -> None:
        """Write all there is."""
        raise NotImplementedError

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is left."""
        self.catch_up(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what was seen before a run broke off."""
        self.catch_up(trainer)


def writer_of(trainer: Trainer) -> SummaryWriter | None:
    """The TensorBoard writer of a trainer on its first process, made quick; None without such a logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            event_file(logger.experiment)
            return logger.experiment
    return None
