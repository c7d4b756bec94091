"""Lightning's TensorBoard logger, and the event file it writes."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from steepest.observe.eventfile import EventFile, event_file


class EventLogger(TensorBoardLogger):
    """Lightning's logger without hparams.yaml: config.yaml holds the same."""

    def save(self) -> None:
        """Do nothing: the events are already on the disk."""


def sink_of(trainer: Trainer) -> EventFile | None:
    """Return the Trainer's event file. It is None without TensorBoard's logger and in all processes but the first."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return event_file(logger.experiment)
    return None
