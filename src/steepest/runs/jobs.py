"""Writes and reads the error.txt of a sweep's failed jobs. This module does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from steepest.runs.environment import masked
from steepest.runs.files import write_text
from steepest.runs.quoting import train_command

FIRST_FAILURE = "first_failure"  # the file in a sweep's folder that names the job that ended it (sweep.on_error=stop)
SWEEP = "STEEPEST_SWEEP"  # environment variable of a sweep and of its jobs: the process id of the sweep


def stopped(config: DictConfig, sweep: Path) -> bool:
    """Return whether no more jobs may start, because one has failed and sweep.on_error=stop."""
    return OmegaConf.select(config, "sweep.on_error") == "stop" and (sweep / FIRST_FAILURE).exists()


def is_sweep(config: DictConfig) -> bool:
    """Whether this is a job of a sweep."""
    return config.hydra.mode is not None and config.hydra.mode.name == "MULTIRUN"


def typed(config: DictConfig, kind: str) -> list[str]:
    """The overrides of the task or of Hydra as the user typed them, with interpolations unresolved."""
    typed = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    return [str(override) for override in typed[kind]]  # type: ignore[call-overload,index]


def failed(
    config: DictConfig, folder: Path, sweep: Path, overrides: Sequence[str], message: str, details: Sequence[str] = ()
) -> None:
    """Write error.txt, with the error and the command that reproduces it, and stop the sweep if sweep.on_error=stop.

    Args:
        config: with `sweep.on_error`.
        folder, sweep: the job's folder and the sweep's.
        overrides: the job's overrides.
        message: the error message.
        details: the lines of the traceback.
    """
    again = train_command(o for o in overrides if not o.startswith("sweep."))
    lines = [message, "", "To run this job alone:", f"  {again}", "", *details]
    write_text(folder / "error.txt", masked("\n".join(lines).rstrip()) + "\n")
    if OmegaConf.select(config, "sweep.on_error") == "stop":
        write_text(sweep / FIRST_FAILURE, f"{folder.name}\n")
