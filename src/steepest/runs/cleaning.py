"""`steepest clean`: finds and deletes the folders of runs and sweeps. This module does not import torch.

A folder is deleted only if everything in it belongs to a run or a sweep. A sweep is deleted as a whole or not at all.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import time

from steepest.data.faults import printable
from steepest.runs.claim import Claim, is_locked
from steepest.runs.files import UNFINISHED
from steepest.runs.jobs import FIRST_FAILURE
from steepest.runs.listing import RECORD, read_run, run_folders

SWEEP = "sweep.json"  # a folder with this file is that of a sweep
UNITS = {"h": "hours", "d": "days", "w": "weeks"}
FAILED = ("failed", "killed")
OF_RUN = {
    RECORD, "metrics.json", "config.yaml", "predictions.csv", "predictions.parquet", "folds.csv", "parity.csv",
    "data.parquet", "job.json", "error.txt", "lesson.json", "checkpoints", "figures", ".hydra", "train.log", "run.lock",
    "report.html", "backtest.json", "equity.csv", "model.onnx",
    "csv", "wandb",  # of the loggers
}  # fmt: skip
OF_SWEEP = {
    SWEEP,
    "results.csv",
    "compare.html",
    "data.parquet",
    "multirun.yaml",
    "report.html",
    "sweep.lock",
    FIRST_FAILURE,
    "train.log",
}


@dataclass(frozen=True)
class Found:
    """A run or a sweep that meets the conditions.

    Attributes:
        folder: its folder.
        why: its status and age.
        size: the bytes of its files.
        foreign: a path in the folder that does not belong to it. The folder is then kept.
    """

    folder: Path
    why: str
    size: int
    foreign: Path | None


def parsed_age(text: str) -> timedelta:
    """Parse an age such as 12h, 30d or 2w."""
    found = re.fullmatch(r"(\d{1,6})([hdw])", text)
    if found is None:
        raise ValueError(f"--older-than {text}: write a number and a unit, such as 12h, 30d or 2w")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def search(folder: Path, *, failed: bool, older_than: timedelta | None) -> Iterator[Found]:
    """Yield the runs and sweeps that meet all given conditions and that no process uses.

    Args:
        folder: the folder, which is searched with all its subfolders. Links are not followed.
        failed: only runs that failed or were killed, and sweeps all of whose jobs did.
        older_than: only those whose records have not changed for longer than this.

    Raises:
        ValueError: if no condition is given, or there is no such folder.
    """
    if not failed and older_than is None:
        raise ValueError("give a condition: --failed, --older-than 30d, or both")
    if folder.is_symlink() or not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder; give one that contains runs, such as outputs")
    for path in _units(folder):
        members = [path] if (path / RECORD).exists() else [*run_folders(path)]
        rows = [read_run(member).row for member in members]
        statuses = sorted({str(row.get("status")) for row in rows})
        if not rows or _in_use(path, members) or any(row["problem"] for row in rows) or "running" in statuses:
            continue
        passed = timedelta(seconds=time() - max((member / RECORD).stat().st_mtime for member in members))
        if (failed and not set(statuses) <= set(FAILED)) or (older_than is not None and passed < older_than):
            continue
        size = sum(Path(parent, name).lstat().st_size for parent, _, files in os.walk(path) for name in files)
        yield Found(path, f"{', '.join(statuses)}, {passed.days} days old", size, _foreign(path, members))


def delete(found: Found) -> None:
    """Delete the folder of a run or a sweep, while its locks are held.

    Raises:
        ValueError: if a process uses it now, or if it contains something else.
    """
    members = [found.folder] if (found.folder / RECORD).exists() else [*run_folders(found.folder)]
    with ExitStack() as claims:
        if members != [found.folder]:
            claims.enter_context(Claim(found.folder, "sweep"))
        for member in members:
            claims.enter_context(Claim(member))
        if (foreign := _foreign(found.folder, members)) is not None:
            raise ValueError(f"{found.folder} contains {foreign.name}, which does not belong to a run: move it away")
        shutil.rmtree(found.folder)


def clean_lines(folder: Path, failed: bool, older_than: str | None, yes: bool) -> Iterator[str]:
    """Delete runs and sweeps, or only list them if `yes` is false; yield lines that say so."""
    count = total = 0
    for found in search(folder, failed=failed, older_than=None if older_than is None else parsed_age(older_than)):
        what = f"{printable(str(found.folder))} ({found.why}, {found.size / 1e6:.1f} MB)"
        if found.foreign is not None:
            yield f"kept: {what}: it contains {printable(found.foreign.name)}, which does not belong to a run"
            continue
        if yes:
            delete(found)
        yield f"{'deleted' if yes else 'would delete'}: {what}"
        count, total = count + 1, total + found.size
    done = "Deleted" if yes else "Nothing is deleted. With --yes, this deletes"
    yield f"{done}: {count} folder{'' if count == 1 else 's'}, {total / 1e6:.1f} MB."


def _units(folder: Path) -> Iterator[Path]:
    """Yield the folders of sweeps, and of runs outside sweeps."""
    for parent, inner, files in os.walk(folder):
        path = Path(parent)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if {SWEEP, RECORD} & set(files):
            inner.clear()
            names = {SWEEP, RECORD, "job.json"} & set(files)
            if names != {RECORD, "job.json"} and not any((path / name).is_symlink() for name in names):
                yield path


def _in_use(folder: Path, members: list[Path]) -> bool:
    return is_locked(folder, "sweep") or any(is_locked(member) for member in members)


def _foreign(folder: Path, members: list[Path]) -> Path | None:
    """Return a path in the folder that is not a file or folder of its run, or of its sweep and the sweep's jobs."""
    for member in members:
        for path in member.iterdir():
            own = path.name in OF_RUN or path.name.startswith("events.out.tfevents.")
            if not (own or UNFINISHED.fullmatch(path.name)):
                return path
    above = {parent for member in members for parent in member.parents if parent.is_relative_to(folder)}
    for parent in above:
        for path in parent.iterdir():
            known = path in members or path in above or path.name in OF_SWEEP or UNFINISHED.fullmatch(path.name)
            if not known and not _unstarted(path):
                return path
    return None


def _unstarted(path: Path) -> bool:
    """Return whether this is the folder of a job that was refused before it had a record."""
    return path.is_dir() and not path.is_symlink() and {inner.name for inner in path.iterdir()} <= OF_RUN
