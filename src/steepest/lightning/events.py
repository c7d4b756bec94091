"""Where Lightning and TensorBoard's event files meet: the logger, and the file behind it."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from steepest.observe.eventfile import EventFile, event_file


class EventLogger(TensorBoardLogger):
    """Lightning's logger without its hparams.yaml: the run's config.yaml says all of that."""

    def save(self) -> None:
        """Events are on disk as they are written."""


def sink_of(trainer: Trainer) -> EventFile | None:
    """The event file of a trainer on its first process; None without TensorBoard's logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return event_file(logger.experiment)
    return None
