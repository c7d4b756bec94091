"""All jobs of a sweep: those that can be trained together are, in groups, by processes side by side."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from steepest.evaluate.metrics import better
from steepest.sweep.batched.engine import Group, Job
from steepest.sweep.batched.fits import kind_of, reason_against
from steepest.sweep.batched.members import Member
from steepest.sweep.compose import Composer
from steepest.training.config import check_plain

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """How a job ended."""

    number: int
    status: str
    reason: str
    objective: float | None


_groups: list[Group] = []  # of the sweep at hand: processes that are forked find them here
_done: Any = None  # jobs ended so far, counted by all processes


class Sweep:
    """The jobs of one `launch`.

    Args:
        composer: of their configs.
        context, task_function, config: Hydra's, for jobs that run by themselves.
    """

    def __init__(
        self, composer: Composer, context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.composer, self.context, self.task_function, self.config = composer, context, task_function, config
        self.folder = Path(str(config.hydra.sweep.dir))

    def launch(
        self, job_overrides: Sequence[Sequence[str]], first: int, workers: int | None, at_once: int | None
    ) -> list[JobReturn]:
        """Run all jobs; their results in their order."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        together, alone = self._plan(job_overrides, first)
        self._say(together, alone)
        results = {r.number: r for r in _train(list(together.values()), workers, at_once)}
        returns = []
        for number, overrides in enumerate(job_overrides, start=first):
            if number in results:
                returns.append(self._returned(results[number], overrides))
            else:
                returns.append(self._run_alone(number, overrides))
        return returns

    def _plan(
        self, job_overrides: Sequence[Sequence[str]], first: int
    ) -> tuple[dict[str, list[Job]], dict[str, list[int]]]:
        """Jobs by kind, and numbers of the others by the reason why they are run by themselves."""
        together: dict[str, list[Job]] = {}
        alone: dict[str, list[int]] = {}
        for number, overrides in enumerate(job_overrides, start=first):
            planned = self.composer.plan(overrides, number)
            if planned is None:
                alone.setdefault("its config has parts that only Hydra can resolve", []).append(number)
                continue
            try:
                checked = check_plain(planned.plain)
            except ValueError:
                alone.setdefault("its config is refused", []).append(number)
                continue
            reason = reason_against(checked)
            if reason:
                alone.setdefault(reason, []).append(number)
                continue
            job = Job(number, self.folder / planned.subfolder, planned.overrides, checked, planned.texts)
            together.setdefault(kind_of(checked), []).append(job)
        return together, alone

    def _say(self, together: dict[str, list[Job]], alone: dict[str, list[int]]) -> None:
        sizes = [len(jobs) for jobs in together.values()]
        groups = f" in {len(sizes)} groups" if len(sizes) > 1 else ""
        log.info("%d jobs are trained together%s", sum(sizes), groups)
        for reason, numbers in alone.items():
            log.warning("%d by themselves (%s): %s", len(numbers), ", ".join(map(str, numbers[:10])), reason)

    def _returned(self, result: Result, overrides: Sequence[str]) -> JobReturn:
        returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
        worst = float("-inf") if better(str(self.config.objective)) == "max" else float("inf")
        returned.return_value = worst if result.objective is None or result.status != "finished" else result.objective
        return returned

    def _run_alone(self, number: int, overrides: Sequence[str]) -> JobReturn:
        """As Hydra's basic launcher does."""
        config = self.composer.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        returned = run_job(
            hydra_context=self.context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return returned


def _train(kinds: Sequence[Sequence[Job]], workers: int | None, at_once: int | None) -> list[Result]:
    """Train groups of jobs, each of one kind."""
    global _groups, _done
    if not kinds:
        return []
    results: list[Result] = []
    _groups, tasks = [], []
    for jobs in kinds:
        group = Group(jobs)
        count = workers or (1 if group.device.type == "cuda" else cores())
        most = min(at_once or group.at_once(jobs), -(-len(jobs) // count))
        for start in range(0, len(jobs), most):
            tasks.append((len(_groups), jobs[start : start + most]))
        _groups.append(group)
    on_gpu = any(group.device.type == "cuda" for group in _groups)
    count = min(workers or (1 if on_gpu else cores()), len(tasks))
    _done = multiprocessing.Value("i", 0)
    with _progress(sum(map(len, kinds))) as progressed:
        if count == 1 or "fork" not in multiprocessing.get_all_start_methods():
            for task in tasks:
                results += _train_task(*task)
                progressed(_done.value)
            return results
        with ProcessPoolExecutor(count, multiprocessing.get_context("fork")) as pool:
            waiting: set[Future] = {pool.submit(_train_task, *task) for task in tasks}
            while waiting:
                ready, waiting = wait(waiting, timeout=0.2)
                progressed(_done.value)
                for future in ready:
                    results += future.result()
    return results


def _train_task(group: int, jobs: Sequence[Job]) -> list[Result]:
    results: list[Result] = []

    def ended(member: Member) -> None:
        objective = None if member.best is None else member.best.objective
        results.append(Result(member.number, member.status, member.reason, objective))
        with _done.get_lock():
            _done.value += 1

    _groups[group].train(jobs, ended)
    return results


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar over jobs."""
    from rich.progress import Progress

    with Progress(transient=True) as progress:
        bar = progress.add_task("jobs", total=total)
        yield lambda done: progress.update(bar, completed=done)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
