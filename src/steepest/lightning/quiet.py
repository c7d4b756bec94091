"""Lightning's own lines go to the run's log instead of the screen. Importing this file does not import Lightning."""

from __future__ import annotations

import logging

from steepest.runs.process import tame_warnings


def tame_lightning() -> None:
    """Let Lightning's own lines reach the run's log instead of the screen."""
    import lightning.pytorch  # noqa: F401  # it sets its handlers up when it is imported

    tame_warnings()
    for name in (
        "lightning",
        "lightning.pytorch",
        "lightning.fabric",
        "pytorch_lightning",
        "lightning_fabric",
    ):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # It says at every save that a checkpoint holds the optimizer too.
    logging.getLogger("lightning.pytorch.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
