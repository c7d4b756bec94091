"""Checks all jobs of a sweep before the first one starts. This module does not import torch.

Each check collects every invalid job and raises one `ValueError`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steepest.runs.claim import CONFIG_FILE
from steepest.runs.environment import masked
from steepest.runs.process import processes
from steepest.sweep.manifest import JobState, Manifest

MAX_NAMED = 8  # maximum number of jobs in a message
LONGEST_NAME = 255  # maximum number of bytes of a file's name on common file systems
DISTINCT = "add something that differs between all jobs, such as ${hydra.job.num}"


def check_folders(manifest: Manifest, sweeps: Mapping[int, str]) -> None:
    """Check that each job has a separate folder, below the sweep's and not inside another job's.

    Args:
        manifest: the sweep's manifest, with the folders of all jobs.
        sweeps: the sweep's folder in the config of each job.

    Raises:
        ValueError: if jobs share a folder, or if a folder contains another job.
    """
    elsewhere = {job: sweep for job, sweep in sweeps.items() if _path(sweep) != _path(manifest.folder)}
    if elsewhere:
        job, sweep = next(iter(elsewhere.items()))
        raise ValueError(
            f"hydra.sweep.dir differs between jobs ({sweep} for job {job}, {manifest.folder} for the sweep): put the "
            "varying part into hydra.sweep.subdir"
        )
    jobs: dict[str, list[int]] = {}
    for state in manifest.jobs.values():
        if state.folder is not None:
            jobs.setdefault(_path(manifest.folder / state.folder), []).append(state.job)
    root = _path(manifest.folder)
    for path, numbers in jobs.items():
        if not Path(path).is_relative_to(root) or path == root:
            raise ValueError(f"hydra.sweep.subdir puts {_named(numbers)} into {path}, not into a folder below {root}")
        if masked(path) != path:
            raise ValueError(
                f"hydra.sweep.subdir puts the value of an environment variable into the folder's name of "
                f"{_named(numbers)}: leave it out"
            )
        longest = max((len(os.fsencode(name)) for name in Path(path).parts), default=0)
        if longest > LONGEST_NAME:
            raise ValueError(
                f"hydra.sweep.subdir gives the folder of {_named(numbers)} a name of {longest} bytes, but the limit is "
                f"{LONGEST_NAME}: shorten it, for example with hydra.job.config.override_dirname.exclude_keys=[...]"
            )
    shared = [f"{_named(numbers)} ({path})" for path, numbers in jobs.items() if len(numbers) > 1]
    if shared:
        raise ValueError(f"hydra.sweep.subdir gives the same folder to {'; to '.join(shared)}: {DISTINCT}")
    for path, numbers in jobs.items():
        outer = next((str(parent) for parent in Path(path).parents if str(parent) in jobs), None)
        if outer is not None:
            raise ValueError(
                f"hydra.sweep.subdir puts the folder of {_named(numbers)} inside that of {_named(jobs[outer])} "
                f"({outer}): choose folders that do not contain each other"
            )


def check_unused(manifest: Manifest, states: Sequence[JobState]) -> None:
    """Check that the folder of each new job contains no other run, because a job replaces its folder's files.

    Raises:
        ValueError: with these jobs and one of their folders.
    """
    used = [
        state
        for state in states
        if state.status == "waiting" and state.started is None and state.folder is not None
        if any((manifest.folder / state.folder / name).exists() for name in ("job.json", CONFIG_FILE))
    ]
    if used:
        raise ValueError(
            f"{manifest.folder / str(used[0].folder)} already contains a run that does not belong to this sweep "
            f"({_named([state.job for state in used])}): choose another hydra.sweep.dir"
        )


def check_processes(trainers: Mapping[int, Mapping[str, Any]], launcher: str) -> None:
    """Check that jobs which start more processes are run by `hydra/launcher=processes`.

    Lightning starts such processes with this process's command line, so each would run the whole sweep again.

    Args:
        trainers: the trainer node of each job.
        launcher: the launcher's ``_target_``.

    Raises:
        ValueError: if a job needs more than one process and the launcher is a different one.
    """
    if launcher.endswith(".ProcessesLauncher"):
        return
    counts = {job: processes(trainer) for job, trainer in trainers.items()}
    several = [job for job, number in counts.items() if number > 1]
    if several:
        trainer = trainers[several[0]]
        raise ValueError(
            f"{_named(several)}: trainer.devices={trainer.get('devices')} with trainer.strategy="
            f"{trainer.get('strategy')} starts {counts[several[0]]} processes for one job, but this launcher runs jobs "
            "in one process: add hydra/launcher=processes"
        )


def _path(folder: Path | str) -> str:
    return os.path.normpath(Path(folder).absolute())


def _named(jobs: list[int]) -> str:
    shown = ", ".join(map(str, jobs[:MAX_NAMED]))
    more = f" and {len(jobs) - MAX_NAMED} more" if len(jobs) > MAX_NAMED else ""
    return f"job{'s' if len(jobs) > 1 else ''} {shown}{more}"
