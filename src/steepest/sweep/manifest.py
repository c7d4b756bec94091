"""Writes and reads sweep.json: a sweep's command and the state of each job. It exists before the first job starts.

This module does not import torch.

Each job's process writes the job's records: job.json when it starts, run.json and metrics.json when it ends. The
manifest collects them, so a sweep whose process was killed can still be read and continued.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf, open_dict

from steepest.runs.claim import CONFIG_FILE, Claim
from steepest.runs.files import check_links, is_below, now, read_json, unreadable, write_text
from steepest.runs.quoting import resume_sweep_command
from steepest.runs.untrusted import refused_overrides

State = Literal["waiting", "running", "finished", "failed"]
NAME = "sweep.json"
KILLED = "the job has no record of its end: its process was killed"


@dataclass
class JobState:
    """The state of one job.

    Attributes:
        job: the job's number.
        id: a hash of the overrides: equal overrides have equal ids.
        overrides: the job's, without Hydra's.
        status: waiting, running, finished or failed.
        folder: the job's folder, below the sweep's, or None if it is not known yet.
        objective: the score of a finished job.
        error: why a failed job failed.
    """

    job: int
    id: str
    overrides: list[str]
    status: State = "waiting"
    folder: str | None = None
    started: str | None = None
    ended: str | None = None
    objective: float | None = None
    error: str | None = None


@dataclass
class Manifest:
    """A sweep.

    Attributes:
        folder: the sweep's folder.
        command: the command that started the sweep: program, working directory, and the overrides for the task and
            for Hydra.
        objective: the score that ranks its jobs.
        higher_is_better: whether a higher objective is better; None: as `evaluate.names.better` says.
        config: the config without the varied values. A resumed sweep must have the same one.
        jobs: id -> state of the job.
    """

    folder: Path
    command: dict[str, Any]
    objective: str
    config: dict[str, Any]
    higher_is_better: bool | None = None
    status: str = "running"
    started: str = ""
    ended: str | None = None
    jobs: dict[str, JobState] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest in a sweep's folder.

        Raises:
            ValueError: if the folder has no readable sweep.json, or has a link that points outside it.
        """
        path = folder / NAME
        if not path.exists():
            raise ValueError(f"{folder} holds no sweep: there is no {NAME} in it; give the folder of a sweep")
        check_links(folder)
        from pydantic import TypeAdapter  # a tenth of a second, needed only where a sweep is read

        try:
            content = json.loads(path.read_text())
            jobs = {job["id"]: job for job in content["jobs"]}
            manifest = TypeAdapter(cls).validate_python(content | {"folder": folder, "jobs": jobs})
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(
                f"{unreadable(path, error)}; or start the sweep again with another hydra.sweep.dir: the folders of the "
                "finished jobs stay unchanged"
            ) from None
        for job in manifest.jobs.values():
            if job.folder is not None and not is_below(folder, folder / job.folder):
                raise ValueError(f"{path}: the folder of job {job.job}, {job.folder}, is not below {folder}")
        return manifest

    def again(self, typed: Sequence[str]) -> list[str]:
        """Return the overrides that start the sweep again.

        Args:
            typed: the user's overrides on the current command line. sweep.json may not set these by itself.

        Raises:
            ValueError: if sweep.json has overrides that the user must type, or was written in another folder.
        """
        path, recorded = self.folder / NAME, []
        for key in ("task", "hydra"):
            overrides = self.command.get(key)
            if not isinstance(overrides, list) or not all(isinstance(override, str) for override in overrides):
                raise ValueError(f"{path}: command has no {key}, a list of overrides: restore the file from a copy")
            recorded += overrides
        command = resume_sweep_command(self.folder, recorded)
        more = [override for override in typed if override not in recorded]
        if more:
            raise ValueError(f"the sweep was not started with {', '.join(more)}: to continue it, {command}")
        if any(override not in typed for override in refused_overrides(recorded)):
            raise ValueError(
                f"{path} has overrides that a file must not set for you. If you want them, type them: {command}"
            )
        started = Path(str(self.command.get("folder")))
        if started.is_dir() and not started.samefile(Path.cwd()):
            raise ValueError(
                f"the sweep was started in {started}: run this command there, because its paths are relative"
            )
        return recorded

    def write(self) -> None:
        """Write sweep.json."""
        content = {k: v for k, v in vars(self).items() if k not in ("folder", "jobs")}
        content["jobs"] = [asdict(job) for job in sorted(self.jobs.values(), key=lambda job: job.job)]
        write_text(self.folder / NAME, json.dumps(content, indent=1) + "\n")

    def register(self, overrides: Sequence[Sequence[str]], first: int, subdir: str | None) -> list[JobState]:
        """Add jobs that are about to be launched; jobs that are already known keep their state.

        Args:
            overrides: each job's overrides.
            first: the number of the first job; new jobs are numbered from there.
            subdir: the pattern of the jobs' folders, where ``{}`` stands for the number, or None if not known yet.
        """
        states: list[JobState] = []
        for number, job_overrides in enumerate(overrides, start=first):
            task = of_task(job_overrides)
            identity, repeated = job_id(task), 0
            # A sweep may contain the same overrides twice.
            while identity in self.jobs and any(s is self.jobs[identity] for s in states):
                repeated += 1
                identity = job_id([*task, f"again {repeated}"])
            if identity not in self.jobs:
                folder = None if subdir is None else subdir.format(number)
                self.jobs[identity] = JobState(number, identity, task, folder=folder)
            states.append(self.jobs[identity])
        return states

    def look(self, *, over: bool = False) -> bool:
        """Read the folders of jobs that have not ended; return whether any job's status changed.

        Args:
            over: whether all processes have ended: a job without a record of its end was then killed.
        """
        before = [job.status for job in self.jobs.values()]
        for job in self.jobs.values():
            if job.status in ("waiting", "running") and job.folder is not None:
                self._look_at(job, over)
        return before != [job.status for job in self.jobs.values()]

    def _look_at(self, job: JobState, over: bool) -> None:
        folder = self.folder / str(job.folder)
        start, problem = read_record(folder / "job.json")
        if not start and not problem:
            return
        run, run_problem = read_record(folder / "run.json")
        metrics, metrics_problem = read_record(folder / "metrics.json")
        problem = problem or run_problem or metrics_problem
        job.status, job.started = "running", start.get("started") or job.started
        if problem:
            job.status, job.error = "failed", problem
            return
        # A run.json from before this start belongs to an earlier attempt.
        status = run.get("status") if run.get("started", "") >= (job.started or "") else None
        if status == "finished":
            job.objective = (metrics.get("objective") or {}).get("value")
        if status in ("finished", "failed"):
            job.status, job.ended = status, run.get("ended")
            job.error = run.get("stop_reason") if status == "failed" else None
        elif over:
            job.status, job.error = "failed", _first_line(folder / "error.txt") or KILLED

    def count(self, *statuses: State) -> int:
        """The number of jobs with one of these statuses."""
        return sum(job.status in statuses for job in self.jobs.values())


def _first_line(path: Path) -> str | None:
    """The first line of a job's error.txt, or None if the job wrote none."""
    if not path.is_file():
        return None
    with path.open(errors="replace") as file:
        return file.readline().strip() or None


def read_record(path: Path) -> tuple[dict[str, Any], str | None]:
    """The content of a job's JSON file, or an error: one damaged file must not stop the whole sweep."""
    try:
        return read_json(path), None
    except ValueError as error:
        return {}, str(error)


def job_id(overrides: Iterable[str]) -> str:
    """A hash of a job's overrides."""
    return hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:12]


def of_task(overrides: Iterable[str]) -> list[str]:
    """The overrides of the job itself, without those of Hydra and of the `sweep` node."""
    return [o for o in overrides if not o.lstrip("+~").startswith(("hydra.", "hydra/", "sweep."))]


def remove_attempt(sweep: Path, job: JobState) -> None:
    """Remove the folder of a job's earlier attempt. `begin_job` wrote the job's overrides into this folder.

    Raises:
        ValueError: if another process has resumed the job alone and is training it, or if the folder contains a run
            that the sweep did not start.
    """
    folder = sweep / str(job.folder)
    start, problem = read_record(folder / "job.json")
    if problem or (start and start.get("overrides") == job.overrides):
        with Claim(folder):
            shutil.rmtree(folder, ignore_errors=True)
    if (folder / CONFIG_FILE).exists():
        raise ValueError(
            f"{folder} contains a run, but its job.json is missing, or is that of another job: restore it, or move the "
            "folder away"
        )


def job_number(sweep: Path, folder: Path, default: int) -> int:
    """The number of the job with this folder; `default` if the sweep has no such job.

    In a resumed sweep, Hydra numbers the jobs from 0 again; the manifest keeps their numbers.
    """
    manifest, _ = read_record(sweep / NAME)
    for job in manifest.get("jobs", []):
        if job["folder"] is not None and os.path.abspath(sweep / job["folder"]) == os.path.abspath(folder):  # noqa: PTH100
            return job["job"]
    return default


def begin_job(folder: Path, number: int, overrides: list[str]) -> None:
    """Write job.json: the job has started, with these overrides."""
    task = of_task(overrides)
    content = {"job": number, "id": job_id(task), "overrides": task, "status": "running", "started": now()}
    write_text(folder / "job.json", json.dumps(content, indent=2) + "\n")


def plain_task(config: DictConfig) -> dict[str, Any]:
    """The jobs' config without the varied values, as plain data, without the `hydra` and `sweep` nodes."""
    task = config.copy()
    with open_dict(task):
        del task["hydra"]
        task.pop("sweep", None)
    plain = OmegaConf.to_container(task, resolve=False)
    return json.loads(json.dumps(plain, default=str))
