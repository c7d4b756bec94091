"""`hydra/sweeper=tune`: Optuna proposes the hyper-parameters of a sweep's jobs."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class TuneSweeper(Sweeper):
    """Asks an Optuna study for trials, launches them as jobs in batches, and tells the study their results.

    Args:
        n_trials: the number of trials of this sweep.
        batch: the number of trials proposed and launched together; None: as many as the launcher runs in parallel.
        seed: the seed of the proposals.
        sampler, pruner: nodes whose `_target_` is below ``optuna.samplers.`` or ``optuna.pruners.``.
        study_name: None: the name of the sweep's folder.
        storage: an SQLAlchemy URL or the path of a journal; None: study.journal in the sweep's folder.
        params: the varied keys: key -> a sweep in Hydra's override syntax; the command line overrides it.
    """

    def __init__(
        self,
        n_trials: int,
        batch: int | None,
        seed: int,
        sampler: DictConfig,
        pruner: DictConfig,
        study_name: str | None,
        storage: str | None,
        params: DictConfig | None = None,
    ) -> None:
        for key, value in (("n_trials", n_trials), ("batch", batch)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"hydra.sweeper.{key}={value} must be a whole number, 1 or more")
        self.n_trials, self.batch, self.seed = n_trials, batch, seed
        self.sampler, self.pruner, self.study_name, self.storage = sampler, pruner, study_name, storage
        self.params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.hydra_context, self.config = hydra_context, config
        self.loader = hydra_context.config_loader
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Run the trials; return the results of their jobs."""
        from steepest.sweep.tuning import Options, Tuning

        assert self.config is not None, "Hydra calls setup first"
        options = Options(
            self.n_trials, self.batch, self.seed, self.sampler, self.pruner, self.study_name, self.storage
        )
        overrides = [f"{key!s}={value}" for key, value in (self.params or {}).items()] + arguments
        return Tuning(options, self.config, overrides, self.loader, self._launch).run()

    def _launch(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        assert self.launcher is not None, "Hydra calls setup first"
        self.validate_batch_is_legal(overrides)
        return self.launcher.launch(overrides, initial_job_idx=first)
