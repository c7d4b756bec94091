"""A sweep whose jobs Optuna proposes. It asks a study for trials in batches, runs them as jobs, and tells the results.

A proposal depends only on the seed, the trials told so far and the trial's place in the sweep, not on the state of a
process. So a killed sweep that is resumed makes the same proposals as an uninterrupted one.

This module does not import torch.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from steepest.runs.files import read_json, write_text
from steepest.runs.jobs import stopped
from steepest.runs.pruning import PRUNED, PRUNER, make, open_storage
from steepest.sweep.manifest import NAME, Manifest, job_id, of_task
from steepest.sweep.space import read_space
from steepest.sweep.studies import PLACE, SWEEP, open_study, summary

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]

STUDY, JOURNAL = "study.json", "study.journal"  # in the sweep's folder
JOB = "job"  # attribute of a trial: its job's number
ONE_SEQUENCE = ("GridSampler", "QMCSampler")  # samplers whose trials are points of one seeded sequence


@dataclass(frozen=True)
class Options:
    """The keys of conf/hydra/sweeper/tune.yaml except for the space."""

    n_trials: int
    batch: int | None
    seed: int
    sampler: DictConfig
    pruner: DictConfig
    study_name: str | None
    storage: str | None


@dataclass(frozen=True)
class PendingTrial:
    """A trial whose job has not run yet.

    Attributes:
        trial: its number in the study.
        job: its number in the sweep; trials with the same values share one.
        overrides: the job's overrides.
    """

    trial: int
    job: int
    overrides: list[str]


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        objective: None if the job failed.
        pruned: the last epoch (counted from 0) and its score, if the job was pruned.
    """

    objective: float | None
    pruned: tuple[int, float] | None = None


class Tuning:
    """One tuned sweep.

    Args:
        options: the sweeper's options.
        config: the sweep's config.
        overrides: the search space, and the overrides that all jobs share.
        loader: Hydra's.
        launch: runs jobs; its second argument is the number of the first job.
    """

    def __init__(
        self, options: Options, config: DictConfig, overrides: Sequence[str], loader: ConfigLoader, launch: Launch
    ) -> None:
        from optuna.storages import InMemoryStorage

        self.options, self.config, self.launch = options, config, launch
        self.folder = Path(str(config.hydra.sweep.dir))
        self.dry = bool(OmegaConf.select(config, "sweep.dry_run"))
        self.space = read_space(overrides, loader)
        self.size = options.batch or batch_for(config.hydra.launcher)
        self.sampler, self.pruner = _plain(options.sampler), _plain(options.pruner)
        self.objective = str(config.objective)
        before = {} if self.dry else read_json(self.folder / STUDY)
        self.resumed = bool(before)
        self.storage = str(options.storage or self.folder / JOURNAL)
        if "://" not in self.storage:  # jobs may run elsewhere
            self.storage = str(Path(self.storage).absolute())
        self.name = str(before.get("study") or options.study_name or self.folder.name)
        self.offset = int(before.get("known", 0))
        # Invalid options raise here, before the sweep creates a folder or trains anything.
        self.sampler_at(0)
        make(self.pruner, "hydra.sweeper.pruner")
        if not self.dry and options.storage is None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.opened = InMemoryStorage() if self.dry else open_storage(self.storage, repair=True)
        self.study = open_study(self.opened, self.name, self.storage, self.objective, self.space.varied)
        self.identity = str(before.get(SWEEP) or uuid.uuid4().hex)
        if "known" not in before:  # another sweep may have started the study
            self.offset = len(self.study.get_trials(deepcopy=False))
        self.results: dict[int, JobResult] = {}
        self.job_of: dict[tuple[str, ...], int] = {}
        if not self.dry:
            facts = {SWEEP: self.identity, "study": self.name, "storage": options.storage, "known": self.offset}
            self._write(facts | {"objective": self.objective})

    def run(self) -> list[JobReturn]:
        """Ask, launch and tell until the sweep has all its trials; return the results of the jobs."""
        returned: list[JobReturn] = []
        waiting, place = self._unfinished()
        while waiting or place < self.options.n_trials:
            # Batches start at the same places after a kill, so each proposal knows the same earlier trials.
            while place < self.options.n_trials and (not waiting or place % self.size):
                waiting.append(self._ask(place))
                place += 1
            if self.dry:
                print(
                    f"The first {len(waiting)} of {self.options.n_trials} trials; later ones depend on their results:"
                )
            returned += self._run(waiting)
            if stopped(self.config, self.folder):
                break
            waiting = []
        from steepest.evaluate.terminal import terminal

        line, facts = summary(self.study, self.objective)
        terminal().print(line, markup=False, soft_wrap=True)
        self._write(read_json(self.folder / STUDY) | facts)
        return returned

    def _ask(self, place: int) -> PendingTrial:
        """Ask for a new trial at a place of this sweep."""
        self.study.sampler = self.sampler_at(place)
        trial = self.study.ask()
        trial.set_user_attr(SWEEP, self.identity)  # first: it identifies an interrupted trial
        trial.set_user_attr(PLACE, place)
        trial.set_user_attr(PRUNER, json.dumps(self.pruner))
        self.space.suggest(trial)
        overrides = self.space.overrides(trial.params)
        job = self.job_of.setdefault(tuple(overrides), len(self.job_of))
        trial.set_user_attr(JOB, job)
        return PendingTrial(trial.number, job, overrides)

    def sampler_at(self, place: int) -> BaseSampler:
        """A new sampler for a place. It has no state that a killed sweep would lose."""
        import numpy as np
        from optuna.samplers import RandomSampler

        seed = int(np.random.SeedSequence([self.options.seed, self.offset + place]).generate_state(1)[0])
        one_sequence = str(self.sampler["_target_"]).rsplit(".", 1)[-1] in ONE_SEQUENCE
        return make(
            self.sampler,
            "hydra.sweeper.sampler",
            seed=self.options.seed if one_sequence else seed,
            independent_sampler=RandomSampler(seed),  # for values that the sampler itself cannot propose
        )

    def _run(self, batch: Sequence[PendingTrial]) -> list[JobReturn]:
        """Launch the jobs of those trials that have no result yet, and tell the study all results."""
        jobs = {pending.job: pending for pending in reversed(batch) if pending.job not in self.results}
        returned: list[JobReturn] = []
        for run in _runs([jobs[job] for job in sorted(jobs)]):
            results = self.launch(
                [[*pending.overrides, *self._trial_overrides(pending)] for pending in run], run[0].job
            )
            returned += results
            self.results |= {pending.job: self._result(pending, one) for pending, one in zip(run, results, strict=True)}
        for pending in batch:
            result = self.results[pending.job]
            if result.objective is None and stopped(self.config, self.folder):
                continue  # most of these jobs did not start; `steepest resume` runs them
            self._tell(pending, result)
        return returned

    def _trial_overrides(self, pending: PendingTrial) -> list[str]:
        """The overrides that let a job report to its trial and be pruned."""
        if self.dry or str(self.pruner["_target_"]).endswith(".NopPruner"):
            return []
        study, storage = (QuotedString(text, Quote.single).with_quotes() for text in (self.name, self.storage))
        return [f"sweep.trial={pending.trial}", f"sweep.study={study}", f"sweep.storage={storage}"]

    def _result(self, pending: PendingTrial, returned: JobReturn) -> JobResult:
        value = returned.return_value if returned.status is JobStatus.COMPLETED else None
        if not isinstance(value, int | float) or not math.isfinite(value):
            return JobResult(None)
        trial = self._trial(pending.trial)
        return JobResult(float(value), _last(trial) if PRUNED in trial.user_attrs else None)

    def _tell(self, pending: PendingTrial, result: JobResult) -> None:
        import optuna
        from optuna.trial import TrialState

        self.study.sampler = optuna.samplers.RandomSampler()  # other samplers act on the study after each trial
        if result.objective is None:
            self.study.tell(pending.trial, state=TrialState.FAIL)
        elif result.pruned is None:
            self.study.tell(pending.trial, result.objective)
        else:
            if self._trial(pending.trial).last_step is None:  # another trial's job reported
                study_id = self.opened.get_study_id_from_name(self.name)
                trial_id = self.opened.get_trial_id_from_study_id_trial_number(study_id, pending.trial)
                self.opened.set_trial_intermediate_value(trial_id, *result.pruned)
            self.study.tell(pending.trial, state=TrialState.PRUNED)

    def _trial(self, number: int) -> FrozenTrial:
        return next(t for t in self.study.get_trials(deepcopy=False) if t.number == number)

    def _unfinished(self) -> tuple[list[PendingTrial], int]:
        """The trials of an interrupted sweep that have no result yet, and the place of the next new trial."""
        from optuna.trial import TrialState

        if not self.resumed:
            return [], 0
        renumbered = False
        manifest = Manifest.read(self.folder) if (self.folder / NAME).exists() else None
        waiting: list[PendingTrial] = []
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if (
                self.options.storage is None and SWEEP not in trial.user_attrs
            ):  # interrupted before it was assigned to its sweep
                self.study.tell(trial.number, state=TrialState.FAIL)
        places = self._own()
        for place, trial in places.items():
            complete = set(trial.params) == set(self.space.varied) and JOB in trial.user_attrs
            if trial.state is TrialState.RUNNING and not complete:
                self.study.tell(trial.number, state=TrialState.FAIL)
            if not complete:  # interrupted while it was being asked for: the last trial
                return waiting, place
            overrides, job = self.space.overrides(trial.params), int(trial.user_attrs[JOB])
            self.job_of.setdefault(tuple(overrides), job)
            state = manifest.jobs.get(job_id(of_task(overrides))) if manifest else None
            done = state is not None and state.status == "finished"
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                self.results[job] = JobResult(trial.value, _last(trial) if trial.state is TrialState.PRUNED else None)
            elif done and trial.state is TrialState.FAIL:
                self.results[job] = JobResult(None)
            elif done and not renumbered:
                waiting.append(PendingTrial(trial.number, job, overrides))
            else:
                # Samplers read trials by number, so every waiting trial after a restarted one is restarted too.
                renumbered = True
                self._restart(trial, reports=done)
                waiting.append(PendingTrial(self._own()[place].number, job, overrides))
        return waiting, len(places)

    def _restart(self, trial: FrozenTrial, *, reports: bool) -> None:
        """Replace a trial by a new one with the same values, with or without its reports."""
        from optuna.trial import TrialState, create_trial

        if trial.state is TrialState.RUNNING:
            self.study.tell(trial.number, state=TrialState.FAIL)
        left_out = () if reports else (PRUNED, "completed_rung_")  # the second is the pruner's record of the reports
        attributes = [
            {k: v for k, v in kept.items() if not k.startswith(left_out)}
            for kept in (trial.user_attrs, trial.system_attrs)
        ]
        again = create_trial(
            state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions,
            user_attrs=attributes[0], system_attrs=attributes[1],
            intermediate_values=trial.intermediate_values if reports else {},
        )  # fmt: skip
        self.study.add_trial(again)

    def _own(self) -> dict[int, FrozenTrial]:
        """This sweep's trials by place; the newest where a trial was restarted."""
        trials = [t for t in self.study.get_trials(deepcopy=False) if t.user_attrs.get(SWEEP) == self.identity]
        found = {int(t.user_attrs[PLACE]): t for t in trials if PLACE in t.user_attrs}
        return dict(sorted(found.items()))

    def _write(self, facts: dict[str, Any]) -> None:
        write_text(self.folder / STUDY, json.dumps(facts, indent=1) + "\n")


def _plain(node: DictConfig) -> dict[str, Any]:
    return {str(key): value for key, value in OmegaConf.to_container(node, resolve=True).items()}  # type: ignore[union-attr]


def batch_for(launcher: DictConfig) -> int:
    """The number of trials in a batch: as many as the launcher runs at once."""
    if "n_jobs" not in launcher:
        return 1
    return int(launcher.n_jobs) if (launcher.n_jobs or 0) > 0 else os.cpu_count() or 1


def _runs(jobs: Sequence[PendingTrial]) -> list[list[PendingTrial]]:
    """Split jobs into groups of consecutive numbers, because a launcher gives its jobs consecutive numbers."""
    runs: list[list[PendingTrial]] = []
    for pending in jobs:
        if runs and runs[-1][-1].job + 1 == pending.job:
            runs[-1].append(pending)
        else:
            runs.append([pending])
    return runs


def _last(trial: FrozenTrial) -> tuple[int, float] | None:
    """The last epoch that a trial reported, counted from 0, and its score."""
    return None if trial.last_step is None else (trial.last_step, trial.intermediate_values[trial.last_step])
