"""Sends Lightning's messages to the run's log. Importing this file does not import Lightning."""

from __future__ import annotations

import logging

from steepest.runs.process import tame_warnings


def tame_lightning() -> None:
    """Send Lightning's messages to the run's log instead of the screen."""
    import lightning.pytorch  # noqa: F401  # it installs its handlers on import

    tame_warnings()
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # At every save it logs that a checkpoint also holds the optimizer.
    logging.getLogger("lightning.pytorch.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
