"""Any launcher, with the sweep's record: jobs are written down before the first starts, and those done are skipped."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RecordedLauncher(Launcher):
    """Hands jobs to another launcher and keeps the record.

    Args:
        launcher: that runs them.
    """

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the first job."""
        from steepest.sweep.record import SweepRecord

        self.config = config
        self.record = next(c for c in hydra_context.callbacks.callbacks if isinstance(c, SweepRecord))
        self.launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run those of these jobs that are not done yet; the results of all, in their order."""
        states = self.record.register(job_overrides, initial_job_idx, self.config)
        left = [i for i, state in enumerate(states) if state.status != "finished"]
        # On resuming, the jobs that are left keep the numbers, and so the folders, that they had.
        named = [
            [*job_overrides[i], f"hydra.sweep.subdir={states[i].job}"] if len(left) < len(states) else job_overrides[i]
            for i in left
        ]
        with self.record.watching():
            returned = dict(zip(left, self.launcher.launch(named, initial_job_idx), strict=True)) if left else {}
        return [returned.get(i) or _known(states[i].objective, job_overrides[i]) for i in range(len(states))]


def _known(objective: float | None, overrides: Sequence[str]) -> JobReturn:
    returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    returned.return_value = objective
    return returned
