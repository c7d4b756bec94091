"""All jobs of a sweep: those that can be trained together are, in groups, by processes side by side.

No torch here, but for jobs that are run by themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from steepest.evaluate.names import worst
from steepest.sweep.batched.beside import Beside
from steepest.sweep.batched.outcomes import Ended
from steepest.sweep.batched.plan import Job, plan
from steepest.sweep.compose import Composer
from steepest.entry import tame_warnings

log = logging.getLogger(__name__)


class Sweep:
    """The jobs of one `launch`.

    Args:
        composer: of their configs.
        beside: the process that trains them.
        context, task_function, config: Hydra's, for jobs that run by themselves.
    """

    def __init__(
        self,
        composer: Composer,
        beside: Beside,
        context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        self.composer, self.beside = composer, beside
        self.context, self.task_function, self.config = context, task_function, config
        self.folder = Path(str(config.hydra.sweep.dir))

    def launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run all jobs; their results in their order."""
        setup_globals()
        tame_warnings()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        together, alone = plan(self.composer, self.folder, job_overrides, first)
        log.info("%d jobs are trained together%s", *_counted(together))
        self._say(alone)
        if not together:
            self.beside.end()  # the cores are for those that run by themselves
        outcomes = self.beside.train(list(together.values())) if together else []
        unfit: dict[str, list[int]] = {}
        for outcome in outcomes:
            if outcome.left:
                unfit.setdefault(outcome.fault, []).extend(outcome.left)
        self._say(unfit)
        ended = {e.number: e for outcome in outcomes for e in outcome.ended}
        by_themselves = {number for numbers in [*alone.values(), *unfit.values()] for number in numbers}
        return [
            self._run_alone(number, own) if number in by_themselves else self._returned(ended.get(number), own)
            for number, own in enumerate(job_overrides, start=first)
        ]

    def _say(self, alone: dict[str, list[int]]) -> None:
        for reason, numbers in alone.items():
            log.warning("%d by themselves (%s): %s", len(numbers), _listed(numbers), reason)

    def _returned(self, ended: Ended | None, overrides: Sequence[str]) -> JobReturn:
        returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
        known = ended is not None and ended.status == "finished" and ended.objective is not None
        returned.return_value = ended.objective if known and ended is not None else worst(str(self.config.objective))
        return returned

    def _run_alone(self, number: int, overrides: Sequence[str]) -> JobReturn:
        """As Hydra's basic launcher does."""
        config = self.composer.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        returned = run_job(
            hydra_context=self.context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return returned


def _counted(together: dict[str, list[Job]]) -> tuple[int, str]:
    sizes = [len(jobs) for jobs in together.values()]
    return sum(sizes), f" in {len(sizes)} groups" if len(sizes) > 1 else ""


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
