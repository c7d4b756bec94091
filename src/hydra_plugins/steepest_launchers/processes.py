"""`hydra/launcher=processes`: each job in a separate process, several at a time."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ProcessesLauncher(Launcher):
    """Runs each job as a separate `python train.py` process.

    Args:
        n_jobs: the maximum number of jobs at a time; None: the number of cores.
        timeout: seconds after which a job is stopped; None: no limit.
    """

    def __init__(self, n_jobs: int | None = None, timeout: float | None = None) -> None:
        if n_jobs is not None and n_jobs < 1:
            raise ValueError(f"hydra.launcher.n_jobs={n_jobs} must be 1 or more, or null")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"hydra.launcher.timeout={timeout} must be above 0 seconds, or null")
        self.n_jobs, self.timeout = n_jobs, timeout

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the first job."""
        from steepest.sweep.compose import Checker, Composer

        self.config = config
        self.composer = Composer(hydra_context.config_loader, config)
        # Sweepers compose every job's config again to validate it.
        hydra_context.config_loader = Checker(hydra_context.config_loader, self.composer)  # type: ignore[assignment]

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run these jobs; return their results in the order of the jobs."""
        from steepest.sweep.processes import Processes

        return Processes(self.composer, self.config, self.n_jobs, self.timeout).launch(job_overrides, initial_job_idx)
