"""Folders of sweeps as they are left behind, without the training."""

import json
import os
import signal

import numpy as np
import yaml
from conftest import NO_PICTURES, QUIET, composed

from steepest.observe.eventfile import EventFile, write_rows
from steepest.sweep.batched.engine import Group
from steepest.sweep.batched.plan import Job
from steepest.sweep.compose import Texts
from steepest.sweep.manifest import Manifest, begin_job
from steepest.runs.config import check

SMALL = [
    "data=random_walk", "data.rows=150", "data.batch_size=32", "model=mlp_manual", "model.hidden=[3]", "stop.epochs=2",
    QUIET, NO_PICTURES,
]  # fmt: skip
PERSISTENCE = {"rmse": 4.0, "skill": 0.0}


def make_sweep(folder, jobs, objective="val/mse_scaled", status="finished", hydra=("hydra.mode=MULTIRUN",)):
    """A sweep of `jobs`: overrides, and a dict of what came: value, status, test, curve, reason."""
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
        write_rows(file, tags, np.stack([values, 2 * values, 3 * values, 4 * values], 1), steps, steps.astype(float))
        file.close()
    if status == "running":
        return
    run = {"status": status, "seed": 0, "stop_reason": came.get("reason", "done"), "started": "2999", "ended": "2999"}
    (folder / "run.json").write_text(json.dumps(run))
    if status == "finished":
        value = came.get("value")
        scores = {"rmse": came.get("test", 5.0), "skill": 0.1}
        metrics = {
            "objective": {"name": objective, "value": value}, "updates": 50, "epochs": 5, "seconds": 1.5,
            "train": {"rmse": 1.0}, "val": {"rmse": 2.0}, "test": scores, "verdict": "It did not beat persistence.",
            "hint": None, "baselines": {"persistence": {"test": PERSISTENCE}, "drift": {"test": {"rmse": 4.5}}},
        }  # fmt: skip
        (folder / "metrics.json").write_text(json.dumps(metrics))
        rows = [f"test,P,2020-01-{day:02},1,{day},{day + 0.5},{day + 1}" for day in range(1, 29)]
        (folder / "predictions.csv").write_text("\n".join(["part,series,date,horizon,last,prediction,actual", *rows]))


def planned(asked, folder):
    """Small jobs that are to be trained together, one for each list of overrides."""
    jobs = []
    for number, own in enumerate(asked):
        checked = check(composed(*SMALL, *own))
        texts = Texts("", "", "", yaml.safe_dump(checked.plain, sort_keys=False))
        jobs.append(Job(number, folder / str(number), [*SMALL, *own], checked, texts))
    return jobs


def killed_in_job_1(monkeypatch):
    """The process that trains job 1 is killed when it has begun it."""
    train = Group.train

    def shot(group, piece, ended):
        if piece[0].number == 1:
            group.folders.begin(group.member(piece[0]), piece[0].texts)
            os.kill(os.getpid(), signal.SIGKILL)
        train(group, piece, ended)

    monkeypatch.setattr(Group, "train", shot)


def statuses(outcomes):
    """How each job ended, by number."""
    return {e.number: e.status for outcome in outcomes for e in outcome.ended}
