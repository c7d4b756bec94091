"""What a sweep would do and how long that would take, before it does it: groups, updates, seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, open_dict

from steepest.sweep.batched.engine import Ground, Group
from steepest.sweep.batched.plan import Job, plan
from steepest.sweep.batched.pool import quiet
from steepest.sweep.batched.sizes import fastest, seconds_of_an_update
from steepest.sweep.compose import Composer
from steepest.runs.config import Checked, check
from steepest.entry import tame_lightning, tame_warnings
from steepest.runs.process import cores

# Seconds, on a processor with two cores: until the first update, and as much again where Lightning is imported; of a
# run beside its updates and scores, by itself and among others.
START, LIGHTNING, BY_ITSELF, TOGETHER = 2.5, 2.5, 1.5, 0.015
FEW, MANY = 50, 250  # updates: what a Trainer takes for the difference is what updates cost
TRIES = 3  # at scoring train and val, to see how long it takes


def describe(
    composer: Composer, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> Iterator[str]:
    """Lines that say what these jobs are to their launcher, and about how long they would take.

    Args:
        composer: of their configs.
        config: the sweep's.
        job_overrides: of each job.
        first: the first one's number.
    """
    tame_warnings()
    together: dict[str, list[Job]] = {}
    if "batched" in str(config.hydra.launcher._target_):
        together, alone = plan(composer, Path(str(config.hydra.sweep.dir)), job_overrides, first)
        for number, jobs in enumerate(together.values(), start=1):
            yield f"group {number}: {len(jobs)} jobs are trained together, such as job {jobs[0].number}"
        for reason, numbers in alone.items():
            yield f"by themselves: {len(numbers)} jobs, such as job {numbers[0]}: {reason}"
        single = [number for numbers in alone.values() for number in numbers]
    else:
        single = list(range(first, first + len(job_overrides)))
    processes = config.hydra.launcher.get("workers") or config.hydra.launcher.get("n_jobs")
    if processes is None:
        processes = cores() if "workers" in config.hydra.launcher or "n_jobs" in config.hydra.launcher else 1
    updates, seconds = 0, START
    for jobs in together.values():
        with quiet():
            done, taken = _together(jobs)
        updates, seconds = updates + done, seconds + taken / processes
    if single:
        config = composer.compose(job_overrides[single[0] - first])
        with open_dict(config):
            del config["hydra"]
        with quiet():
            done, taken = _by_themselves(check(config))
        aside = 1 if together else processes  # the batched launcher runs them one after the other
        updates, seconds = updates + done * len(single), seconds + LIGHTNING + taken * len(single) / aside
    yield f"At most {updates:,} updates; about {_duration(seconds)} on this machine."


@torch.no_grad()
def _together(jobs: Sequence[Job]) -> tuple[int, float]:
    """Updates of these jobs, and seconds of one process for them."""
    ground = Ground(jobs[0].checked)
    group = Group(jobs, ground)
    member, order = group.member(jobs[0]), ground.batches(jobs[0].checked.run.seed)
    batch = ground.windows.gather(order.order()[: order.size])
    count = fastest(member, batch, len(jobs))
    update = seconds_of_an_update(member, batch, count)
    model, scores = member.predictor.to(ground.device, ground.dtype), []
    for _ in range(TRIES):
        began = time.perf_counter()
        for exam in (ground.exams[part] for part in ("train", "val") if part in ground.exams):
            exam.score(exam.outputs(lambda batch: model(batch.x_ND)))
        scores.append(time.perf_counter() - began)
    score = min(scores)
    updates, epochs = zip(*(_limits(group.member(job).rule, len(order)) for job in jobs), strict=True)
    return sum(updates), sum(updates) * update + sum(epochs) * score + len(jobs) * TOGETHER


def _by_themselves(checked: Checked) -> tuple[int, float]:
    """Updates of a job that is run by itself, and its seconds: a few updates are done to see."""
    tame_lightning()
    from steepest.lightning.datamodule import WindowDataModule
    from steepest.lightning.run import build_model

    datamodule = WindowDataModule(checked.groups["data"](), seed=checked.run.seed)
    ground = Ground(checked, datamodule)
    model = build_model(checked, datamodule)
    limits = {"max_epochs": -1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def seconds(updates: int) -> float:
        given: dict[str, Any] = limits | {"max_steps": updates, "limit_val_batches": 0, "callbacks": []}
        trainer = checked.groups["trainer"](**given)
        began = time.perf_counter()
        trainer.fit(model, datamodule=datamodule)
        return time.perf_counter() - began

    update = max(0.0, seconds(MANY) - seconds(FEW)) / (MANY - FEW)
    updates, _ = _limits(checked.groups["stop"](), len(ground.batches(checked.run.seed)))
    return updates, updates * update + BY_ITSELF


def _limits(rule: Any, batches: int) -> tuple[int, int]:
    """Most updates and epochs that a rule lets a run have."""
    by_epochs = rule.epochs * batches if rule.epochs not in (None, -1) else None
    limits = [limit for limit in (by_epochs, rule.updates if rule.updates != -1 else None) if limit is not None]
    updates = min(limits, default=0)
    return updates, -(-updates // batches)


def _duration(seconds: float) -> str:
    """In words."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
