"""A dry run's estimate: which jobs threads train, how many updates the sweep does, and how long it takes."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import DictConfig, open_dict

from steepest.data.batches import Batches, PreparedData
from steepest.engine.pythonlock import hold
from steepest.lightning.quiet import tame_lightning
from steepest.runs.config import Checked, check
from steepest.runs.drive import SharedData, drive
from steepest.runs.process import cores, tame_warnings
from steepest.sweep.compose import Composer
from steepest.sweep.threads import Job, plan

TRAINER = 1.5  # seconds of a Trainer's run in addition to its updates
FEW, MANY = 50, 250  # updates of two trial fits: the difference in time is the cost of the updates
EPOCHS, JOBS = 3, 2  # epochs of a trial run, and trial runs of each thread


def describe(
    composer: Composer, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> Iterator[str]:
    """Lines that say which jobs threads train, which run one at a time, and about how long the sweep takes.

    Args:
        composer: composes the jobs' configs.
        config: the sweep's config.
        job_overrides: the overrides of each job.
        first: the number of the first job.
    """
    tame_warnings()
    logging.getLogger("steepest").setLevel(logging.ERROR)  # hide the messages of the trial runs
    jobs: dict[int, Job] = {}
    launcher = config.hydra.launcher
    single = list(range(first, first + len(job_overrides)))
    if "threads" in str(launcher._target_):
        jobs, alone = plan(composer, Path(str(config.hydra.sweep.dir)), job_overrides, first)
        if jobs:
            yield f"in threads: {len(jobs)} jobs, such as job {next(iter(jobs))}"
        for reason, numbers in alone.items():
            yield f"one at a time: {len(numbers)} jobs, such as job {numbers[0]}: {reason}"
        single = [number for numbers in alone.values() for number in numbers]
    side_by_side = (launcher.n_jobs or cores()) if "n_jobs" in launcher else 1
    updates, seconds = 0, time.process_time()  # the sweep takes as long to start as this process did
    if jobs:
        count, duration = _in_threads(list(jobs.values()), min(side_by_side, len(jobs)))
        updates, seconds = updates + count, seconds + duration
    if single:
        alone_config = composer.compose(job_overrides[single[0] - first])
        with open_dict(alone_config):
            del alone_config["hydra"]
        imported = time.process_time()
        tame_lightning()
        for name in ("lightning.pytorch", "lightning.fabric"):  # a sweep prints its log on the screen
            logging.getLogger(name).setLevel(logging.WARNING)
        import steepest.lightning.run  # noqa: F401  # as the jobs do

        seconds += time.process_time() - imported
        count, duration = _one_at_a_time(check(alone_config))
        parallel = 1 if jobs else side_by_side  # the threads launcher runs them one after the other
        updates, seconds = updates + count * len(single), seconds + duration * len(single) / parallel
    yield f"At most {updates:,} updates; about {_duration(seconds)} on this machine."


def _in_threads(jobs: Sequence[Job], threads: int) -> tuple[int, float]:
    """The updates and seconds of these jobs on `threads` threads, from a few epochs of one job of each shape."""
    shared, updates, seconds = SharedData(), 0, 0.0
    tried: dict[str, tuple[float, float]] = {}
    for job in jobs:
        data = shared.of(job.checked)
        batches = _batches(data.data)
        count, epochs = limits(job.checked, batches)
        model = job.checked.groups["model"].arguments
        shape = f"{job.checked.plain['data']} {model.get('hidden')} {job.checked.groups['optimizer'].path}"
        if shape not in tried:
            _try(job, shared, 1, threads)  # loads what all jobs share
            one, several = (_try(job, shared, epochs, threads) for epochs in (1, 1 + EPOCHS))
            each = max(0.0, several - one) / EPOCHS
            tried[shape] = max(0.0, one - each), each
        fixed, each = tried[shape]
        updates, seconds = updates + count, seconds + fixed + each * epochs
    return updates, seconds


def _try(job: Job, shared: SharedData, epochs: int, threads: int) -> float:
    """Seconds per job, including the files in its folder, if each job has `epochs` epochs and all threads train."""
    groups = job.checked.groups
    stop, trainer = groups["stop"], groups["trainer"]
    arguments = stop.arguments | {"epochs": epochs, "updates": -1}
    fewer = {
        "stop": replace(stop, arguments=arguments),
        "trainer": replace(trainer, arguments=trainer.arguments | {"max_epochs": epochs}),
    }
    checked, lock = Checked(job.checked.plain, job.checked.run, groups | fewer), threading.Lock()

    def one(folder: Path) -> None:
        with hold(lock):
            drive(checked, folder, job.overrides, shared, config_text=job.texts.resolved)

    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(pool.map(one, [Path(root, str(number)) for number in range(JOBS * threads)]))
        return (time.perf_counter() - started) / (JOBS * threads)


def _one_at_a_time(checked: Checked) -> tuple[int, float]:
    """The updates and seconds of a job that a Trainer runs, measured with a few updates."""
    from steepest.lightning.build import build_model
    from steepest.lightning.datamodule import WindowDataModule

    torch.set_num_threads(checked.run.threads)
    datamodule = WindowDataModule(checked.groups["data"](), seed=checked.run.seed)
    datamodule.setup()
    module = build_model(checked, datamodule).module
    off = {"max_epochs": -1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def seconds(updates: int) -> float:
        trainer = checked.groups["trainer"](**off | {"max_steps": updates, "limit_val_batches": 0, "callbacks": []})
        started = time.perf_counter()
        trainer.fit(module, datamodule=datamodule)
        return time.perf_counter() - started

    seconds(FEW)
    update = max(0.0, seconds(MANY) - seconds(FEW)) / (MANY - FEW)
    updates, _ = limits(checked, _batches(datamodule))
    return updates, updates * update + TRAINER


def _batches(data: PreparedData | None) -> int:
    assert data is not None
    dataset = data.dataset
    return len(Batches(data.windows, "train", dataset.batch_size, one_batch=dataset.one_batch))


def limits(checked: Checked, batches: int) -> tuple[int, int]:
    """The maximum number of updates and epochs that a run's stop rule allows."""
    rule = checked.groups["stop"]()
    by_epochs = [rule.epochs * batches] if rule.epochs not in (None, -1) else []
    by_updates = [rule.updates] if rule.updates not in (None, -1) else []
    updates = min(by_epochs + by_updates, default=0)
    return updates, -(-updates // batches)


def _duration(seconds: float) -> str:
    """A duration as text."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
