"""Makes folders of sweeps: by writing their files without training, or by running a launcher in this process."""

import json
import logging
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from conftest import ROOT
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext, RunMode

from hydra_plugins.steepest_launchers.threads import ThreadsLauncher
from steepest.entry import job
from steepest.observe.eventfile import EventFile, encode
from steepest.sweep.manifest import Manifest, begin_job

PERSISTENCE = {"rmse": 4.0, "skill": 0.0}


def make_sweep(folder, jobs, objective="val/mse_scaled", status="finished", hydra=("hydra.mode=MULTIRUN",)):
    """A sweep of `jobs`: overrides, and a dict of the results: value, status, test, persistence, curve, reason."""
    command = {"program": "train.py", "folder": str(folder), "task": ["a=1,2"], "hydra": list(hydra)}
    manifest = Manifest(folder, command, objective, {}, status=status, started="2020-01-01T00:00:00+00:00")
    for state, (_, came) in zip(manifest.register([own for own, _ in jobs], 0, "{}"), jobs, strict=True):
        if came.get("status", "finished") == "waiting":
            continue
        own = folder / str(state.folder)
        begin_job(own, state.job, state.overrides)
        _leave(own, came, objective)
    manifest.look(over=status == "finished")
    manifest.ended = "2020-01-01T01:00:00+00:00" if status == "finished" else None
    manifest.write()
    return folder


def _leave(folder, came, objective):
    status = came.get("status", "finished")
    if came.get("curve") is not None:
        values = np.asarray(came["curve"], float)
        file = EventFile.begin(folder)
        steps, tags = 10 * np.arange(1, len(values) + 1), [objective, "train/full_loss", "val/loss", "noise"]
        file.write(encode(tags, np.stack([values, 2 * values, 3 * values, 4 * values], 1), steps, steps.astype(float)))
        file.close()
    if status == "running":
        return
    run = {"status": status, "seed": 0, "stop_reason": came.get("reason", "done"), "started": "2999", "ended": "2999"}
    (folder / "run.json").write_text(json.dumps(run))
    if status == "finished":
        value = came.get("value")
        scores = {"rmse": came.get("test", 5.0), "skill": 0.1}
        part, _, name = objective.partition("/")
        persistence = {"test": PERSISTENCE} | ({part: {name: came["persistence"]}} if "persistence" in came else {})
        metrics = {
            "objective": {"name": objective, "value": value}, "updates": 50, "epochs": 5, "seconds": 1.5,
            "train": {"rmse": 1.0}, "val": {"rmse": 2.0}, "test": scores, "verdict": "It did not beat persistence.",
            "hint": None, "baselines": {"persistence": persistence, "drift": {"test": {"rmse": 4.5}}},
        }  # fmt: skip
        (folder / "metrics.json").write_text(json.dumps(metrics))
        days = range(1, 29)
        rows = [f"test,P,2020-01-{day:02},2020-01-{day + 1:02},1,{day},{day + 0.5},{day + 1}" for day in days]
        header = "part,series,origin,date,horizon,last,prediction,actual"
        (folder / "predictions.csv").write_text("\n".join([header, *rows]))


def swept(folder, jobs, launcher="threads", n_jobs=None, **options):
    """Run these jobs in this process as `train.py -m` would, with a Hydra launcher; return its results.

    Args:
        folder: the sweep's folder.
        jobs: the overrides of each job.
        launcher: ``basic``, one after the other through Lightning, or ``threads``.
        n_jobs: the number of threads.
        options: keys of `sweep`, such as on_error.
    """
    with launching(folder, launcher, n_jobs, **options) as made:
        return made.launch([list(own) for own in jobs], 0)


@contextmanager
def launching(folder, launcher="threads", n_jobs=None, **options):
    """A Hydra launcher, set up for a sweep in `folder`; the process's global state is restored at the end."""
    asked = [
        "hydra.mode=MULTIRUN",
        "hydra.job.name=train",
        f"hydra.sweep.dir={folder}",
        *(f"sweep.{key}={value}" for key, value in options.items()),
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"), as_it_was():
        hydra = GlobalHydra.instance().hydra
        config = hydra.compose_config("train", asked, RunMode.MULTIRUN, with_log_configuration=False)
        made = ThreadsLauncher(n_jobs) if launcher == "threads" else BasicLauncher()
        made.setup(
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config)),
            task_function=job,
            config=config,
        )
        yield made


@contextmanager
def as_it_was():
    """Restore the state of logging, warnings and torch that Hydra's launchers change."""
    root = logging.getLogger()
    handlers, level, threads = list(root.handlers), root.level, torch.get_num_threads()
    with warnings.catch_warnings():
        try:
            yield
        finally:
            logging.captureWarnings(False)
            root.handlers, root.level = handlers, level
            torch.set_num_threads(threads)
            HydraConfig.instance().cfg = None
