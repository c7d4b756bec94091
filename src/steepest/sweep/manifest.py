"""sweep.json: what a sweep was asked, and how far each of its jobs is, whole on disk from before the first. No torch.

The truth about a job is in its own folder, written by its own process: job.json when it starts, run.json and
metrics.json when it ends. The manifest gathers that; so a sweep whose process was killed can be read, and gone on with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from steepest.runs.files import now, read_json, write_text

State = Literal["waiting", "running", "finished", "failed"]
NAME = "sweep.json"
NO_WORD = "the job left no record of its end: its process was killed"


@dataclass
class JobState:
    """How far one job is.

    Attributes:
        job: its number.
        id: made from its overrides: the same whenever the same is asked.
        overrides: what is asked of it.
        status: waiting, running, finished or failed.
        folder: its own, below the sweep's; None before it started, where that cannot be known.
        objective: of a finished job.
        error: of a failed one.
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
        folder: the sweep's.
        command: what goes on with it: program, working directory, and overrides of task and of Hydra.
        objective: the score that ranks its jobs.
        config: the jobs' config as it was before anything was varied, to see whether it has changed.
        jobs: by id.
    """

    folder: Path
    command: dict[str, Any]
    objective: str
    config: dict[str, Any]
    status: str = "running"
    started: str = ""
    ended: str | None = None
    jobs: dict[str, JobState] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a sweep's folder.

        Raises:
            ValueError: where there is none.
        """
        path = folder / NAME
        if not path.exists():
            raise ValueError(f"{folder} holds no sweep: there is no {NAME} in it; give the folder of a sweep")
        content = json.loads(path.read_text())
        jobs = [JobState(**job) for job in content.pop("jobs")]
        return cls(folder, **content, jobs={job.id: job for job in jobs})

    def write(self) -> None:
        """Put it on disk."""
        content = {k: v for k, v in vars(self).items() if k not in ("folder", "jobs")}
        content["jobs"] = [asdict(job) for job in sorted(self.jobs.values(), key=lambda job: job.job)]
        write_text(self.folder / NAME, json.dumps(content, indent=1) + "\n")

    def register(self, overrides: Sequence[Sequence[str]], first: int, subdir: str | None) -> list[JobState]:
        """Take up jobs that are about to be launched; those that it knows keep their state.

        Args:
            overrides: of each.
            first: number of the first; jobs it does not know are numbered from there on.
            subdir: the pattern of their folders' names: ``{}`` stands for the number; None where only Hydra knows.
        """
        states: list[JobState] = []
        for number, own in enumerate(overrides, start=first):
            task = of_task(own)
            identity, repeated = job_id(task), 0
            while identity in self.jobs and any(s is self.jobs[identity] for s in states):  # asked twice in one sweep
                repeated += 1
                identity = job_id([*task, f"again {repeated}"])
            if identity not in self.jobs:
                folder = None if subdir is None else subdir.format(number)
                self.jobs[identity] = JobState(number, identity, task, folder=folder)
            states.append(self.jobs[identity])
        return states

    def find(self) -> None:
        """Find the folders of jobs whose names only Hydra knew, by what they say of themselves."""
        if all(job.folder is not None for job in self.jobs.values()):
            return
        for path in self.folder.rglob("job.json"):
            job = self.jobs.get(read_json(path).get("id", ""))
            if job is not None and job.folder is None:
                job.folder = str(path.parent.relative_to(self.folder))

    def look(self, *, over: bool = False) -> bool:
        """Read the folders of jobs that have not ended; say whether anything is new.

        Args:
            over: that no job runs any more: what still says so was killed.
        """
        before = [(job.status, job.folder) for job in self.jobs.values()]
        for job in self.jobs.values():
            if job.status in ("waiting", "running") and job.folder is not None:
                self._look_at(job, over)
        return before != [(job.status, job.folder) for job in self.jobs.values()]

    def _look_at(self, job: JobState, over: bool) -> None:
        folder = self.folder / str(job.folder)
        began, run = read_json(folder / "job.json"), read_json(folder / "run.json")
        if not began:
            return
        job.status, job.started = "running", began.get("started")
        # A run.json from before this start is an earlier try's.
        status = run.get("status") if run.get("started", "") >= (job.started or "") else None
        if status == "finished":
            job.objective = (read_json(folder / "metrics.json").get("objective") or {}).get("value")
        if status in ("finished", "failed"):
            job.status, job.ended = status, run.get("ended")
            job.error = run.get("stop_reason") if status == "failed" else None
        elif over:
            job.status, job.error = "failed", NO_WORD

    def count(self, *statuses: State) -> int:
        """How many jobs are so."""
        return sum(job.status in statuses for job in self.jobs.values())


def job_id(overrides: Iterable[str]) -> str:
    """The same for the same overrides, whenever and wherever."""
    return hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:12]


def of_task(overrides: Iterable[str]) -> list[str]:
    """Overrides of the job itself: neither Hydra's own nor those that only steer the sweep."""
    return [o for o in overrides if not o.lstrip("+~").startswith(("hydra.", "hydra/", "sweep."))]


def changed_keys(before: Any, now: Any, at: str = "") -> list[str]:
    """Where two plain configs differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        return [c for k in keys for c in changed_keys(before.get(k), now.get(k), f"{at}.{k}" if at else str(k))]
    return [] if before == now else [at]


def begin_job(folder: Path, number: int, overrides: list[str]) -> None:
    """Say in a job's folder that it runs, and what it was asked."""
    task = of_task(overrides)
    content = {"job": number, "id": job_id(task), "overrides": task, "status": "running", "started": now()}
    write_text(folder / "job.json", json.dumps(content, indent=2) + "\n")
