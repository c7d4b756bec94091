"""Runs each job of a sweep as a separate `python train.py` process, several at a time.

This module does not import torch.

Each job is a single run in a given folder. It may start more processes (DDP), crash or hang without affecting any other
job.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from steepest.evaluate.names import worst
from steepest.runs.files import now, write_text
from steepest.runs.hydra_internals import config_flags
from steepest.runs.jobs import SWEEP, failed, stopped
from steepest.runs.process import KILL, PARENT, cores, kill_group
from steepest.runs.quoting import hydra_quoted
from steepest.sweep.compose import Composer
from steepest.sweep.manifest import begin_job, job_number, of_task, read_record

log = logging.getLogger(__name__)

OUTPUT = "output.txt"  # a job's stdout and stderr
GRACE = 10.0  # seconds between SIGTERM and SIGKILL
SWEEP_KEYS = (
    "hydra.sweep", "hydra.launcher", "hydra/launcher", "hydra.sweeper", "hydra/sweeper", "hydra.mode", "hydra.run.dir",
)  # fmt: skip
# A distributed launcher that starts the sweep sets these variables; the jobs must not inherit them.
RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")
LAST_LINES = 60


class Processes:
    """Runs jobs in processes.

    Args:
        composer: composes the jobs' configs.
        config: the sweep's config.
        n_jobs: the maximum number of jobs at a time; None: the number of cores.
        timeout: seconds after which a job is stopped; None: no limit.
    """

    def __init__(self, composer: Composer, config: DictConfig, n_jobs: int | None, timeout: float | None) -> None:
        self.composer, self.config, self.timeout = composer, config, timeout
        self.n_jobs = n_jobs or cores()
        self.sweep = Path(str(config.hydra.sweep.dir)).absolute()
        self.running: set[subprocess.Popen] = set()
        self.over = threading.Event()

    def launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run all jobs; return their results in the order of the jobs."""
        with ThreadPoolExecutor(self.n_jobs) as threads:
            try:
                return list(threads.map(self._run, job_overrides, range(first, first + len(job_overrides))))
            except BaseException:
                self.over.set()
                for process in list(self.running):
                    _end(process, KILL)
                raise

    def _run(self, overrides: Sequence[str], number: int) -> JobReturn:
        returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
        returned.return_value = worst(str(self.config.objective))
        if self.over.is_set() or stopped(self.config, self.sweep):
            return returned
        folder = self.sweep / self.composer.preview(overrides, number).subfolder
        task = [o for o in overrides if not o.startswith("hydra.")]
        begin_job(folder, job_number(self.sweep, folder, number), task)
        problem = self._wait(self._start(task, folder))
        if self.over.is_set():
            return returned
        (run, broken_run), (metrics, broken_metrics) = map(read_record, (folder / "run.json", folder / "metrics.json"))
        problem = problem or broken_run or broken_metrics
        if problem is None and run.get("status") == "finished":
            objective = (metrics.get("objective") or {}).get("value")
            returned.return_value = returned.return_value if objective is None else objective
        else:
            self._failed(folder, task, problem)
        return returned

    def _start(self, task: Sequence[str], folder: Path) -> subprocess.Popen:
        typed = OmegaConf.to_container(self.config.hydra.overrides, resolve=False)["hydra"]  # type: ignore[call-overload,index]
        hydra = [o for o in typed if not o.lstrip("+~").startswith(SWEEP_KEYS)]
        flags = config_flags(sys.argv[1:])
        where = f"hydra.run.dir={hydra_quoted(str(folder))}"
        own = str(os.getpid())
        environment = {k: v for k, v in os.environ.items() if k not in RANKS} | {SWEEP: own, PARENT: own}
        with (folder / OUTPUT).open("w") as output:
            process = subprocess.Popen(
                [sys.executable, sys.argv[0], *flags, *task, *hydra, where],
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip
        self.running.add(process)
        return process

    def _wait(self, process: subprocess.Popen) -> str | None:
        """Wait until a job ends. Return its error if the job could not record it."""
        try:
            code = process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            _end(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            _end(process, KILL)  # and all processes that it started
            process.wait()
            return (
                f"it did not finish within hydra.launcher.timeout={self.timeout:g} seconds and was stopped: raise the "
                "limit, or set it to null for no limit"
            )
        finally:
            self.running.discard(process)
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}" if code not in (0, 1, 2) else None

    def _failed(self, folder: Path, task: Sequence[str], problem: str | None) -> None:
        """Record that the job failed, and the reason."""
        run, _ = read_record(folder / "run.json")
        last = (folder / OUTPUT).read_text(errors="replace").splitlines()[-LAST_LINES:]
        reason = problem or (run.get("stop_reason") if run.get("status") == "failed" else None)
        reason = reason or next((line for line in reversed(last) if line.strip()), "it has no record")
        if run.get("status") != "failed" or problem:
            (folder / "metrics.json").unlink(missing_ok=True)
            ended = {"status": "failed", "stop_reason": reason, "ended": now()}
            write_text(folder / "run.json", json.dumps({"started": now()} | run | ended, indent=2) + "\n")
        failed(self.config, folder, self.sweep, of_task(task), reason, [f"The last lines of {OUTPUT}:", "", *last])
        log.error("job %s: %s", folder.name, reason)


def _end(process: subprocess.Popen, how: int) -> None:
    """Send a signal to a job's process and all processes that it started."""
    with suppress(ProcessLookupError):
        kill_group(process.pid, how)
