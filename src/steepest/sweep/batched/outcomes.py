"""What came of jobs that were trained together. No torch: the sweep's own process reads it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steepest.runs.files import read_json

if TYPE_CHECKING:
    from steepest.sweep.batched.plan import Job

log = logging.getLogger(__name__)


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


def of_killed(task: Sequence[Job], code: int | None) -> tuple[Outcome, list[Job]]:
    """What the folders say of the jobs of a process that was killed; and the jobs that it had not begun."""
    begun = [job for job in task if (job.folder / "job.json").exists()] or task
    ended, lost = [], []
    for job in begun:
        status = str(read_json(job.folder / "run.json").get("status"))
        objective = read_json(job.folder / "metrics.json").get("objective") or {}
        ended.append(Ended(job.number, status, objective.get("value")))
        if status == "running":
            lost.append(job.number)
    said = ", ".join(map(str, lost[:10])) + (", ..." if len(lost) > 10 else "")
    what = (
        f"trained jobs {said} together was killed" if lost else "was to train jobs together ended before it began any"
    )
    log.error("the process that %s (exit code %s); steepest resume tries them again", what, code)
    return Outcome(ended), [job for job in task if not any(job is b for b in begun)]
