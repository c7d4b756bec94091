"""`hydra/launcher=threads`: trains jobs of hand-derived models in this process, each in a thread.

The kernel releases Python's lock, so threads train at the same time. Jobs that a thread cannot train run one after the
other, as with Hydra's basic launcher.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from steepest.engine.pythonlock import hold
from steepest.evaluate.names import worst
from steepest.runs.claim import claim_run
from steepest.runs.config import Checked, check_plain
from steepest.runs.defaults import as_single_run
from steepest.runs.environment import MaskedFormatter
from steepest.runs.errors import described
from steepest.runs.files import write_text
from steepest.runs.jobs import failed, stopped
from steepest.runs.process import cores, keep_freed_memory, tame_warnings
from steepest.sweep.compose import Composer, Texts
from steepest.sweep.manifest import begin_job

if TYPE_CHECKING:
    from steepest.runs.drive import SharedData

log = logging.getLogger(__name__)

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] %(message)s"  # the format of conf/hydra/job_logging/steepest.yaml


@dataclass(frozen=True)
class Job:
    """One job of a sweep, planned.

    Attributes:
        number: its number in the sweep.
        folder: where its files go.
        overrides: the overrides of this job.
        checked: its config.
        texts: the contents of its config files.
    """

    number: int
    folder: Path
    overrides: list[str]
    checked: Checked
    texts: Texts


def plan(
    composer: Composer, sweep: Path, job_overrides: Sequence[Sequence[str]], first: int
) -> tuple[dict[int, Job], dict[str, list[int]]]:
    """The jobs that threads can train, by number; and the numbers of the other jobs, by the reason against a thread.

    Args:
        composer: composes the jobs' configs.
        sweep: the sweep's folder.
        job_overrides: the overrides of each job.
        first: the number of the first job.
    """
    from steepest.runs.build import reason_against

    jobs: dict[int, Job] = {}
    alone: dict[str, list[int]] = {}
    threads: int | None = None
    for number, overrides in enumerate(job_overrides, start=first):
        planned = composer.plan(overrides, number)
        if planned is None:
            alone.setdefault("its config has parts that only Hydra can resolve", []).append(number)
            continue
        try:
            checked = check_plain(planned.plain, typed=planned.overrides)
        except ValueError:
            alone.setdefault("its config is refused", []).append(number)
            continue
        threads = checked.run.threads if threads is None else threads
        reason = reason_against(checked, threads)
        if reason:
            alone.setdefault(reason, []).append(number)
        else:
            jobs[number] = Job(number, sweep / planned.subfolder, planned.overrides, checked, planned.texts)
    return jobs, alone


class Threads:
    """The jobs of one `launch`.

    Args:
        composer: composes the jobs' configs.
        context, task_function, config: Hydra's own, for jobs that a thread cannot train.
        n_jobs: the number of threads; when None, the number of cores.
    """

    def __init__(
        self,
        composer: Composer,
        context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
        n_jobs: int | None,
    ) -> None:
        self.composer, self.n_jobs = composer, n_jobs or cores()
        self.context, self.task_function, self.config = context, task_function, config
        self.sweep = Path(str(config.hydra.sweep.dir))
        self.interrupted = threading.Event()
        self.shared: SharedData | None = None
        self.python = threading.Lock()

    def launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run all jobs, and return their results in order."""
        setup_globals()
        tame_warnings()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs, alone = plan(self.composer, self.sweep, job_overrides, first)
        for reason, numbers in alone.items():
            log.warning("%s not run in a thread: %s", _listed(numbers), reason)
        objectives = self._train(list(jobs.values())) if jobs else {}
        return [
            self._returned(objectives.get(number), own) if number in jobs else self._run_alone(number, own)
            for number, own in enumerate(job_overrides, start=first)
        ]

    def _train(self, jobs: Sequence[Job]) -> dict[int, float | None]:
        """Train these jobs and return the objectives of the finished ones, by job number."""
        import torch

        from steepest.engine.cache import ready
        from steepest.engine.descent import share_threads, without_dynamo
        from steepest.runs.build import dtype_of
        from steepest.runs.drive import SharedData

        count = jobs[0].checked.run.threads
        torch.set_num_threads(count)
        share_threads(count)
        without_dynamo()
        keep_freed_memory()
        for dtype in {dtype_of(job.checked) for job in jobs}:
            ready(str(dtype).removeprefix("torch."))
        shared = self.shared = self.shared or SharedData()
        with self._logs() as logs, ThreadPoolExecutor(min(self.n_jobs, len(jobs))) as pool:
            futures = {job.number: pool.submit(self._run, job, shared, logs) for job in jobs}
            try:
                return {number: future.result() for number, future in futures.items()}
            except BaseException:  # mostly Ctrl-C: the jobs stop within a fraction of a second
                self.interrupted.set()
                for future in futures.values():
                    future.cancel()
                raise

    def _run(self, job: Job, shared: SharedData, logs: _ThreadLogs) -> float | None:
        from steepest.runs.drive import drive

        if self.interrupted.is_set() or stopped(self.config, self.sweep):
            return None
        again = as_single_run(job.overrides, job.checked.plain)
        with hold(self.python), logs.to(job.folder / f"{self.config.hydra.job.name}.log"):
            try:
                hydra = job.folder / ".hydra"
                for name, text in (
                    ("config", job.texts.asked), ("hydra", job.texts.hydra), ("overrides", job.texts.overrides)
                ):  # fmt: skip
                    write_text(hydra / f"{name}.yaml", text)
                begin_job(job.folder, job.number, job.overrides)
                with claim_run(job.folder):
                    metrics = drive(
                        job.checked, job.folder, job.overrides, shared, config_text=job.texts.resolved,
                        interrupted=self.interrupted.is_set,
                    )  # fmt: skip
            except Exception as error:  # a fault of this job: the other jobs continue
                logging.getLogger("steepest.traceback").info("the run failed", exc_info=error)
                message = described(error)
                log.error("job %s: %s", job.number, message)
                failed(self.config, job.folder, self.sweep, again, message, traceback.format_exception(error))
                return None
            if metrics["status"] == "failed":
                log.error("job %s: %s", job.number, metrics["stop_reason"])
                failed(self.config, job.folder, self.sweep, again, metrics["stop_reason"])
            return metrics["objective"]["value"] if metrics["status"] == "finished" else None

    @contextmanager
    def _logs(self) -> Any:
        handler = _ThreadLogs()
        root = logging.getLogger()
        root.addHandler(handler)
        level, root.level = root.level, logging.INFO
        consoles = [(h, h.level) for h in root.handlers if h is not handler]
        for console, _ in consoles:  # each job has a log of its own
            console.setLevel(max(console.level, logging.WARNING))
        try:
            yield handler
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            for console, before in consoles:
                console.setLevel(before)

    def _returned(self, objective: float | None, overrides: Sequence[str]) -> JobReturn:
        returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
        returned.return_value = worst(str(self.config.objective)) if objective is None else objective
        return returned

    def _run_alone(self, number: int, overrides: Sequence[str]) -> JobReturn:
        """Run a job as Hydra's basic launcher does."""
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


class _ThreadLogs(logging.Handler):
    """Writes the log of each thread into the file of the job that it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(MaskedFormatter(FORMAT))
        self.files: dict[int, Any] = {}

    @contextmanager
    def to(self, path: Path) -> Any:
        """Send this thread's log to a file while a job runs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            self.files[threading.get_ident()] = file
            try:
                yield
            finally:
                del self.files[threading.get_ident()]

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record that comes from a thread with a job."""
        file = self.files.get(record.thread or 0)
        if file is not None:
            with suppress(ValueError):  # the file was closed meanwhile
                file.write(self.format(record) + "\n")


def _listed(numbers: Sequence[int]) -> str:
    """The subject of a sentence about these jobs, with its verb."""
    if len(numbers) == 1:
        return f"job {numbers[0]} does"
    return f"{len(numbers)} jobs ({', '.join(map(str, numbers[:10]))}{', ...' if len(numbers) > 10 else ''}) do"
