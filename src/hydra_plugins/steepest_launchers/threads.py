"""`hydra/launcher=threads`: the jobs of a sweep in one process, each in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from steepest.sweep.threads import Threads


class ThreadsLauncher(Launcher):
    """Trains hand-derived models in parallel threads of this process, and runs other jobs one at a time.

    Args:
        n_jobs: the number of threads; None: the number of cores.
    """

    def __init__(self, n_jobs: int | None = None) -> None:
        if n_jobs is not None and n_jobs < 1:
            raise ValueError(f"hydra.launcher.n_jobs={n_jobs} must be 1 or more, or null")
        self.n_jobs = n_jobs
        self.threads: Threads | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the first job."""
        from steepest.sweep.compose import Checker, Composer

        self.context, self.task_function, self.config = hydra_context, task_function, config
        self.composer = Composer(hydra_context.config_loader, config)
        # Sweepers compose every job's config again to validate it.
        hydra_context.config_loader = Checker(hydra_context.config_loader, self.composer)  # type: ignore[assignment]

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run these jobs; return their results in the order of the jobs."""
        from steepest.sweep.threads import Threads

        if self.threads is None:  # kept between launches: jobs share its data
            self.threads = Threads(self.composer, self.context, self.task_function, self.config, self.n_jobs)
        return self.threads.launch(job_overrides, initial_job_idx)
