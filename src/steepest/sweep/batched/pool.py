"""Jobs of several kinds, trained by processes side by side; one that is killed takes only its own jobs with it."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from steepest.sweep.batched import parts
from steepest.sweep.batched.engine import Ground, Group, ground_key
from steepest.sweep.batched.members import Member
from steepest.sweep.batched.outcomes import Ended, Outcome, of_killed
from steepest.sweep.batched.plan import Job
from steepest.entry import failed, stopped
from steepest.runs.process import cores, end_with

log = logging.getLogger(__name__)

MOST = 256  # jobs of a task: where some end early, another process has the others
TASKS_OF_WIDTHS = 4  # of each process, where widths differ: wide nets take longer


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
        with quiet():
            return self._train(kinds)

    def _train(self, kinds: Sequence[Sequence[Job]]) -> list[Outcome]:
        parts.prepare([job for jobs in kinds for job in jobs])
        on_gpu = any(parts.placement(jobs[0].checked)[0].type == "cuda" for jobs in kinds)
        count = self.workers or (1 if on_gpu else cores())
        tasks = [task for jobs in kinds for task in cut(jobs, count)]
        if min(count, len(tasks)) < 2 or "fork" not in multiprocessing.get_all_start_methods():
            return [self._task(task) for task in tasks]
        return self._side_by_side(tasks, min(count, len(tasks)))

    def _side_by_side(self, tasks: Sequence[Sequence[Job]], count: int) -> list[Outcome]:
        """What came of these tasks, done by so many processes."""
        waiting, outcomes = deque(tasks), []
        busy: dict[Any, Worker] = {}
        idle = [Worker(self, tasks) for _ in range(count)]
        try:
            while waiting or busy:
                while waiting and idle:
                    worker = idle.pop()
                    worker.give(waiting.popleft())
                    busy[worker.pipe] = worker
                for worker in [busy[ready] for ready in connection.wait(busy)]:
                    del busy[worker.pipe]
                    try:
                        outcomes.append(worker.pipe.recv())
                        idle.append(worker)
                    except (EOFError, ConnectionResetError):
                        worker.process.join()
                        outcome, untouched = of_killed(worker.task, worker.process.exitcode)
                        outcomes.append(outcome)
                        if untouched:
                            waiting.append(untouched)
                        idle.append(Worker(self, tasks))
        finally:
            for worker in [*idle, *busy.values()]:
                worker.end()
        return outcomes

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
            with parts.nothing_compiled():
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


class Worker:
    """A process that trains what it is given, one task after the other.

    Args:
        pool: whose it is.
        tasks: all there are; a forked process has them, so their jobs are told by number.
    """

    def __init__(self, pool: Pool, tasks: Sequence[Sequence[Job]]) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        jobs = {job.number: job for task in tasks for job in task}
        self.process = context.Process(target=_serve, args=(pool, jobs, theirs, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process ends what comes from it
        self.task: Sequence[Job] = ()

    def give(self, task: Sequence[Job]) -> None:
        """Have it train these jobs."""
        self.task = task
        self.pipe.send([job.number for job in task])

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.terminate()
        self.process.join()


def _serve(pool: Pool, jobs: dict[int, Job], pipe: connection.Connection, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep's own process is asked by it, and ends this one
    end_with(parent)
    gc.freeze()  # what is there by now stays: the garbage collector need not look through it again and again
    while True:
        pipe.send(pool._task([jobs[number] for number in pipe.recv()]))


_last: tuple[str, Ground] | None = None  # data of the last task: mostly those of the next one, too


def _ground(job: Job) -> Ground:
    global _last
    key = ground_key(job.checked)
    if _last is None or _last[0] != key:
        _last = None  # let the memory go first
        _last = (key, Ground(job.checked))
    return _last[1]


@contextmanager
def quiet() -> Iterator[None]:
    """Of Lightning and the data, warnings only: each job says in its own folder what there is to say."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "steepest.data")]
    lightnings, data = (logger.level for logger in loggers)
    levels = [lightnings or logging.INFO, data]  # its import, which may come in between, sets it
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
