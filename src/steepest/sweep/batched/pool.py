"""Jobs of several kinds, trained by processes side by side; one that is killed takes only its own jobs with it."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from steepest.sweep.batched.engine import Ground, Group, Job, device_of, ground_key
from steepest.sweep.batched.members import Member
from steepest.training.entry import failed, stopped
from steepest.training.files import read_json

log = logging.getLogger(__name__)

MOST = 256  # jobs of a task: where some end early, another process has the others
TASKS_OF_WIDTHS = 4  # of each process, where widths differ: wide nets take longer


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    number: int
    status: str
    objective: float | None


@dataclass
class Outcome:
    """What came of a task.

    Attributes:
        ended: the jobs that were trained.
        left: numbers of those that cannot be trained together after all.
        fault: why.
    """

    ended: list[Ended] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    fault: str = ""


@dataclass(frozen=True)
class Pool:
    """Processes that train.

    Args:
        config: of the sweep, for what happens on errors.
        workers: processes; as many as there are cores (on a GPU one) when None.
        at_once: most runs of a group; what is fastest when None.
    """

    config: DictConfig
    workers: int | None
    at_once: int | None

    def train(self, kinds: Sequence[Sequence[Job]]) -> list[Outcome]:
        """Train the jobs of these kinds."""
        on_gpu = any(device_of(jobs[0].checked).type == "cuda" for jobs in kinds)
        count = self.workers or (1 if on_gpu else cores())
        tasks: Sequence[Sequence[Job]] = [task for jobs in kinds for task in cut(jobs, count)]
        if min(count, len(tasks)) < 2 or "fork" not in multiprocessing.get_all_start_methods():
            return [self._task(task) for task in tasks]
        outcomes = []
        while tasks:
            done, tasks = self._side_by_side(tasks, min(count, len(tasks)))
            outcomes += done
        return outcomes

    def _side_by_side(
        self, tasks: Sequence[Sequence[Job]], count: int
    ) -> tuple[list[Outcome], Sequence[Sequence[Job]]]:
        """What came of these tasks; and those that another pool has to do, for one of this one's processes died."""
        global _tasks, _pool
        _tasks, _pool = tasks, self  # forked processes find them there
        outcomes, broken = [], []
        with ProcessPoolExecutor(count, multiprocessing.get_context("fork")) as pool:
            futures = {pool.submit(_numbered, number): number for number in range(len(tasks))}
            for future in as_completed(futures):
                try:
                    outcomes.append(future.result())
                except BrokenProcessPool:
                    broken.append(tasks[futures[future]])
        begun = [task for task in broken if any((job.folder / "job.json").exists() for job in task)] or broken
        for task in begun:
            outcomes.append(_of_killed(task))
        return outcomes, [task for task in broken if not any(task is b for b in begun)]

    def _task(self, jobs: Sequence[Job]) -> Outcome:
        """Train jobs of one kind."""
        outcome, config = Outcome(), self.config
        sweep = Path(str(config.hydra.sweep.dir))

        def ended(member: Member) -> None:
            objective = None if member.best is None else member.best.objective
            outcome.ended.append(Ended(member.number, member.status, objective))
            if member.status == "failed":
                failed(config, member.folder, sweep, member.overrides, member.reason)

        try:
            group = Group(jobs, _ground(jobs[0]))
            for piece in group.pieces(jobs, self.at_once):
                if not stopped(config, sweep):
                    group.train(piece, ended)
        except Exception as error:  # whatever it is: each job by itself says it of itself
            log.info("training together failed", exc_info=error)
            over = {e.number for e in outcome.ended}
            outcome.left = [job.number for job in jobs if job.number not in over]
            outcome.fault = f"training them together failed ({type(error).__name__}: {error})"
        return outcome


def cut(jobs: Sequence[Job], count: int) -> list[Sequence[Job]]:
    """Jobs of a kind as tasks for so many processes; those of like widths together."""
    widths = {job.number: job.checked.groups["model"].arguments.get("hidden", ()) for job in jobs}
    kinds = len({tuple(w) for w in widths.values()})
    size = min(MOST, -(-len(jobs) // (count * (TASKS_OF_WIDTHS if kinds > 1 else 1))))
    ordered = sorted(jobs, key=lambda job: widths[job.number], reverse=True)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


_tasks: Sequence[Sequence[Job]] = []
_pool: Pool | None = None
_last: tuple[str, Ground] | None = None  # data of the last task: mostly those of the next one, too


def _numbered(number: int) -> Outcome:
    assert _pool is not None, "set before the fork"
    return _pool._task(_tasks[number])


def _ground(job: Job) -> Ground:
    global _last
    key = ground_key(job.checked)
    if _last is None or _last[0] != key:
        _last = None  # let the memory go first
        _last = (key, Ground(job.checked))
    return _last[1]


def _of_killed(task: Sequence[Job]) -> Outcome:
    """What the folders say of the jobs of a process that was killed."""
    ended = []
    for job in task:
        status = read_json(job.folder / "run.json").get("status")
        objective: Any = read_json(job.folder / "metrics.json").get("objective") or {}
        ended.append(Ended(job.number, str(status), objective.get("value")))
    log.error("the process that trained jobs %s was killed", json.dumps([job.number for job in task]))
    return Outcome(ended)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
