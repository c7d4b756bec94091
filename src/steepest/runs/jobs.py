"""Jobs of a sweep that failed: what they leave in their folders, and whether the sweep goes on. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from steepest.runs.files import write_text
from steepest.runs.quoting import train_command

FIRST_FAILURE = "first_failure"  # in a sweep's folder: the job that ended it, where sweep.on_error=stop
SWEEP = "STEEPEST_SWEEP"  # in the environment of a job that has a process of its own: the sweep's process


def stopped(config: DictConfig, sweep: Path) -> bool:
    """Whether the sweep must start no further job: one has failed, and sweep.on_error=stop."""
    return OmegaConf.select(config, "sweep.on_error") == "stop" and (sweep / FIRST_FAILURE).exists()


def failed(
    config: DictConfig, folder: Path, sweep: Path, overrides: Sequence[str], said: str, more: Sequence[str] = ()
) -> None:
    """Leave in a failed job's folder what went wrong and how to see it again; tell the sweep, if it is to stop.

    Args:
        config: with `sweep.on_error`.
        folder, sweep: the job's folder and the sweep's.
        overrides: of the job.
        said: what went wrong, in words.
        more: lines that say where.
    """
    lines = [
        said,
        "",
        "To run it by itself:",
        f"  {train_command(o for o in overrides if not o.startswith('sweep.'))}",
    ]
    write_text(folder / "error.txt", "\n".join([*lines, "", *more]).rstrip() + "\n")
    if OmegaConf.select(config, "sweep.on_error") == "stop":
        write_text(sweep / FIRST_FAILURE, f"{folder.name}\n")
