"""Which runs `steepest board` shows first: the newest run or sweep of a folder. This module does not import torch.

TensorBoard ticks no run at all if more than 40 match its filter of names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from steepest.runs.listing import RECORD
from steepest.sweep.manifest import NAME, read_record
from steepest.sweep.results import Results, read_results
from steepest.sweep.settings import Row

ALL, BEST = 40, 20  # a sweep of up to ALL jobs is shown whole, of a larger one the BEST jobs
EVENTS = "events.out.tfevents.*"


@dataclass(frozen=True)
class Choice:
    """Runs to show first.

    Attributes:
        says: what they are.
        names: a regular expression of their names in TensorBoard, or None for all runs of the folder.
    """

    says: str
    names: str | None


def choose(folder: Path) -> Choice:
    """Choose the folder's own run or sweep, or else the run or sweep in it that started last and has curves."""
    found = sorted(_records(folder), key=lambda record: str(read_record(record)[0].get("started") or ""))
    for record in reversed(found):
        own = record.parent
        jobs = [own] if record.name == RECORD else [own / str(row["folder"]) for row in _ranked(own)]
        jobs = [job for job in jobs if any(job.glob(EVENTS))]
        if not jobs:
            continue
        which = f"{own}" if own == folder else f"{own}, the newest run or sweep of {folder}"
        if record.name == RECORD:
            return Choice(f"the run {which}", None if own == folder else _names(folder, jobs))
        if len(jobs) <= ALL:
            return Choice(f"the jobs of the sweep {which}", None if own == folder else _names(folder, jobs))
        return Choice(f"the best {BEST} of the {len(jobs)} jobs of the sweep {which}", _names(folder, jobs[:BEST]))
    return Choice(f"the runs of {folder}", None)


def _records(folder: Path) -> list[Path]:
    """The records of runs and sweeps in a folder; jobs belong to their sweep. Links are not followed."""
    found = []
    for parent, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        record = next((Path(parent, name) for name in (NAME, RECORD) if name in files), None)
        if record is not None and not record.is_symlink():
            inner.clear()
            found.append(record)
    return found


def _ranked(sweep: Path) -> list[Row]:
    """The rows of the jobs that have a folder; over seeds, those of the best setting first."""
    try:
        _, results = read_results(sweep)
    except ValueError:  # a damaged sweep.json: TensorBoard still shows the other runs
        return []
    return [row for row in _in_order(results) if row["folder"] is not None]


def _in_order(results: Results) -> list[Row]:
    return [row for s in results.settings for row in s.rows] if results.over_seeds else results.ranked


def _names(folder: Path, jobs: Iterable[Path]) -> str:
    """A regular expression of the names of runs, which are their paths below the folder."""
    names = [re.escape(os.path.relpath(job, folder).replace(os.sep, "/")) for job in jobs]
    return f"^({'|'.join(names)})$"
