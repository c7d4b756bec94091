"""`hydra/sweeper=tune`: Optuna proposes what the jobs of a sweep try."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class TuneSweeper(Sweeper):
    """Asks an Optuna study for trials, launches them in batches as jobs, and tells it what came of them.

    Args:
        n_trials: of this sweep.
        batch: trials proposed and launched at once; what suits the launcher when None.
        seed: of the proposals.
        sampler, pruner: nodes whose `_target_` is below ``optuna.samplers.`` or ``optuna.pruners.``.
        study_name: the sweep's folder's name when None.
        storage: an URL as SQLAlchemy has them or a journal's path; study.journal in the sweep's folder when None.
        params: what is varied: key -> a sweep as in Hydra's overrides; the command line goes before it.
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
        """Run the trials; what their jobs returned."""
        from steepest.sweep.tuning import Options, Tuning

        assert self.config is not None, "it was set up"
        options = Options(
            self.n_trials, self.batch, self.seed, self.sampler, self.pruner, self.study_name, self.storage
        )
        asked = [f"{key!s}={value}" for key, value in (self.params or {}).items()] + arguments
        return Tuning(options, self.config, asked, self.loader, self._launch).run()

    def _launch(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        assert self.launcher is not None, "it was set up"
        self.validate_batch_is_legal(overrides)
        return self.launcher.launch(overrides, initial_job_idx=first)
