"""The loggers of a run, and the event file that TensorBoard's writes."""

from __future__ import annotations

import importlib.util
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from steepest.observe.eventfile import EventFile, event_file
from steepest.runs.config import Node
from steepest.runs.specs import MLFLOW, WANDB

STORE = Path("outputs/mlflow.db")  # of MLflow: one for all runs
EXTRAS = {WANDB: "wandb", MLFLOW: "mlflow"}  # class -> the package that it needs


class EventLogger(TensorBoardLogger):
    """Lightning's logger without hparams.yaml: config.yaml holds the same."""

    def save(self) -> None:
        """Do nothing: the events are already on the disk."""


def loggers_of(nodes: Mapping[str, Node], folder: Path) -> list[Logger]:
    """Build a config's loggers. Each gets the arguments that its class takes.

    Raises:
        ValueError: if a logger's package is not installed.
    """
    built = []
    for name, node in nodes.items():
        package = EXTRAS.get(node.path, "")
        if package and importlib.util.find_spec(package) is None:
            raise ValueError(f"logger={name} needs {package}: pip install 'steepest[{name}]'")
        # (Each event file tells a running TensorBoard to drop this run's earlier points.)
        given: dict[str, Any] = {"save_dir": str(folder), "purge_step": 0}
        if node.path == MLFLOW:
            STORE.parent.mkdir(exist_ok=True)
            store = node.arguments.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI")
            given["tracking_uri"] = store or f"sqlite:///{STORE.absolute()}"
        taken = inspect.signature(node.target).parameters
        built.append(node(**{key: value for key, value in given.items() if key in taken}))
    return built


def close(logger: Logger, status: str) -> None:
    """End a logger's run."""
    logger.finalize(status)
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


def listeners_of(trainer: Trainer) -> tuple[Callable[[dict[str, float], int], None], ...]:
    """The functions of loggers other than TensorBoard's that take the scalars of an update."""
    others = [logger for logger in trainer.loggers if not isinstance(logger, TensorBoardLogger)]
    return tuple(logger.log_metrics for logger in others) if trainer.is_global_zero else ()


def sink_of(trainer: Trainer) -> EventFile | None:
    """Return the Trainer's event file. It is None without TensorBoard's logger and in all processes but the first."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return event_file(logger.experiment)
    return None
