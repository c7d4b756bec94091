"""Jobs of a sweep in processes of their own: what `python train.py` would do, several side by side. No torch.

A job sees nothing of the sweep: it is a single run whose folder is chosen for it. So it may itself start processes
(DDP), crash, or hang, and no other job notices.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, open_dict

from steepest.evaluate.names import worst
from steepest.sweep.compose import SUBDIR, Composer
from steepest.sweep.manifest import begin_job, of_task
from steepest.entry import SWEEP, failed, stopped
from steepest.runs.files import now, read_json, write_text
from steepest.runs.process import cores

log = logging.getLogger(__name__)

OUTPUT = "output.txt"  # what a job would have said on the screen
GRACE = 10.0  # seconds between asking a job to end and ending it
OWN = (
    "hydra.sweep", "hydra.launcher", "hydra/launcher", "hydra.sweeper", "hydra/sweeper", "hydra.mode", "hydra.run.dir",
)  # fmt: skip
# What a process that was itself started by a distributed launcher would hand on.
RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")
LAST_LINES = 60


class Processes:
    """The jobs of one `launch`.

    Args:
        composer: of their configs.
        config: the sweep's.
        n_jobs: most at a time; as many as there are cores when None.
        timeout: seconds after which a job is ended; never when None.
    """

    def __init__(self, composer: Composer, config: DictConfig, n_jobs: int | None, timeout: float | None) -> None:
        self.composer, self.config, self.timeout = composer, config, timeout
        self.n_jobs = n_jobs or cores()
        self.sweep = Path(str(config.hydra.sweep.dir)).absolute()
        self.running: set[subprocess.Popen] = set()
        self.over = threading.Event()

    def launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run all jobs; their results in their order."""
        with ThreadPoolExecutor(self.n_jobs) as threads:
            try:
                return list(threads.map(self._run, job_overrides, range(first, first + len(job_overrides))))
            except BaseException:
                self.over.set()
                for process in list(self.running):
                    _end(process, signal.SIGKILL)
                raise

    def _run(self, overrides: Sequence[str], number: int) -> JobReturn:
        returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
        returned.return_value = worst(str(self.config.objective))
        if self.over.is_set() or stopped(self.config, self.sweep):
            return returned
        folder = self.folder(overrides, number)
        task = [o for o in overrides if not o.startswith("hydra.")]
        begin_job(folder, int(folder.name) if folder.name.isdigit() else number, task)
        problem = self._wait(self._start(task, folder))
        if self.over.is_set():
            return returned
        metrics, status = read_json(folder / "metrics.json"), read_json(folder / "run.json").get("status")
        if problem is None and status == "finished":
            objective = (metrics.get("objective") or {}).get("value")
            returned.return_value = returned.return_value if objective is None else objective
        else:
            self._failed(folder, task, problem)
        return returned

    def folder(self, overrides: Sequence[str], number: int) -> Path:
        """A job's own."""
        for override in overrides:
            if override.startswith(SUBDIR):
                return self.sweep / override.removeprefix(SUBDIR)
        planned = self.composer.plan(overrides, number)
        if planned is not None:
            return self.sweep / planned.subfolder
        config = self.composer.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return self.sweep / str(config.hydra.sweep.subdir)

    def _start(self, task: Sequence[str], folder: Path) -> subprocess.Popen:
        hydra = [o for o in self.config.hydra.overrides.hydra if not o.lstrip("+~").startswith(OWN)]
        given = get_args_parser().parse_args(sys.argv[1:])
        flags = [
            word
            for flag, value in (
                ("--config-name", given.config_name), ("--config-path", given.config_path),
                ("--config-dir", given.config_dir),
            )
            if value
            for word in (flag, value)
        ]  # fmt: skip
        where = f"hydra.run.dir={quoted(str(folder))}"
        environment = {k: v for k, v in os.environ.items() if k not in RANKS} | {SWEEP: str(os.getpid())}
        with (folder / OUTPUT).open("w") as output:
            process = subprocess.Popen(
                [sys.executable, sys.argv[0], *flags, *task, *hydra, where],
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip
        self.running.add(process)
        return process

    def _wait(self, process: subprocess.Popen) -> str | None:
        """Wait for a job's end; what was wrong with it, if the job cannot have said it itself."""
        try:
            code = process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            _end(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            _end(process, signal.SIGKILL)  # whatever it started
            process.wait()
            return (
                f"it was not done after hydra.launcher.timeout={self.timeout:g} seconds and was ended: give it more, "
                "or null for no limit"
            )
        finally:
            self.running.discard(process)
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}" if code not in (0, 1, 2) else None

    def _failed(self, folder: Path, task: Sequence[str], problem: str | None) -> None:
        """Have the record say that a job failed, and why."""
        run = read_json(folder / "run.json")
        last = (folder / OUTPUT).read_text(errors="replace").splitlines()[-LAST_LINES:]
        said = problem or (run.get("stop_reason") if run.get("status") == "failed" else None)
        said = said or next((line for line in reversed(last) if line.strip()), "it left no record")
        if run.get("status") != "failed" or problem:
            (folder / "metrics.json").unlink(missing_ok=True)
            ended = {"status": "failed", "stop_reason": said, "ended": now()}
            write_text(folder / "run.json", json.dumps({"started": now()} | run | ended, indent=2) + "\n")
        failed(self.config, folder, self.sweep, of_task(task), said, ["What it said last:", "", *last])
        log.error("job %s: %s", folder.name, said)


def quoted(text: str) -> str:
    """A text as a value in Hydra's override grammar."""
    # A backslash is itself, but before a quote.
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + (r"\'" if found[2] else ""), text) + "'"


def _end(process: subprocess.Popen, how: signal.Signals) -> None:
    """Send a signal to a job and all it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, how)
