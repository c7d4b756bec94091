"""`hydra/launcher=batched`: all jobs of a sweep that differ only in numbers, trained as one model."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class BatchedLauncher(Launcher):
    """Trains jobs together where they can be, and runs the others one after the other.

    Args:
        workers: processes that train groups side by side; as many as the machine has cores when None.
        at_once: most runs of a group; what the processor's cache or the device holds when None.
    """

    def __init__(self, workers: int | None = None, at_once: int | None = None) -> None:
        for key, value in (("workers", workers), ("at_once", at_once)):
            if value is not None and value < 1:
                raise ValueError(f"hydra.launcher.{key}={value} must be 1 or more, or null")
        self.workers, self.at_once = workers, at_once

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the first job."""
        from steepest.sweep.batched.beside import Beside
        from steepest.sweep.compose import Checker, Composer

        self.context, self.task_function, self.config = hydra_context, task_function, config
        self.beside = Beside(config, self.workers, self.at_once)
        if not OmegaConf.select(config, "sweep.dry_run"):
            self.beside.start()
        self.composer = Composer(hydra_context.config_loader, config)
        # Sweepers compose every job's config once more, only to see whether it can be.
        hydra_context.config_loader = Checker(hydra_context.config_loader, self.composer)  # type: ignore[assignment]

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run these jobs; their results are in their order."""
        from steepest.sweep.batched.launch import Sweep

        sweep = Sweep(self.composer, self.beside, self.context, self.task_function, self.config)
        return sweep.launch(job_overrides, initial_job_idx)
