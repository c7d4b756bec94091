"""`hydra/launcher=threads`: each job equals a single run, whatever runs in parallel and however the sweep ends."""

import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import NO_PICTURES, QUIET, ROOT, read_scalars
from hydra.core.utils import configure_log
from made import launching, swept

from steepest.observe.tags import known
from steepest.runs.checkpoints import TRACKER
from steepest.runs.process import tame_warnings
from steepest.sweep.estimate import describe
from steepest.sweep.threads import plan

SMALL = [
    "data=random_walk", "data.rows=200", "data.window=3", "data.batch_size=32", "model=mlp_manual", "model.hidden=[4]",
    NO_PICTURES, QUIET,
]  # fmt: skip
FEW = ["stop.epochs=4"]
SETTINGS = {
    "sgd": FEW,
    "momentum": [*FEW, "optimizer=momentum"],
    "adam, cosine": [*FEW, "optimizer=adam", "scheduler=cosine"],
    "plateau": ["stop.epochs=6", "scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.5"],
    "clipped by norm": [*FEW, "trainer.gradient_clip_val=0.05"],
    "clipped by value": [*FEW, "trainer.gradient_clip_val=0.01", "trainer.gradient_clip_algorithm=value"],
    "early": ["stop=early", "stop.patience=1", "stop.min_delta=0.5", "stop.epochs=20"],
    "threshold": ["stop=threshold", "stop.loss=2", "stop.epochs=20"],
    "stationary": ["stop=stationary", "stop.gradient_norm=0.7", "stop.epochs=20"],
    "ends inside an epoch": ["stop.updates=13"],
    "double": [*FEW, "trainer.precision=64-true"],
    "classification": [*FEW, "data=rings", "~data.window", "model.loss=cross_entropy", "objective=val/cross_entropy"],
    "several series": [*FEW, "data=stocks", "data.batch_size=512"],
    "audit": [*FEW, "callbacks=[default,audit]", "callbacks.audit.every_n_updates=3"],
    "parity": [*FEW, "callbacks=[default,parity]"],
    "deep": [*FEW, "model.hidden=[5,3]", "model.activation=relu", "data.shuffle=false"],
    "linear": [*FEW, "model=linear_manual", "~model.hidden", "data.relative_to_last=true"],
}


def asked(setting):
    """The overrides of a job."""
    own = SETTINGS[setting]
    dropped = {o[1:] for o in own if o.startswith("~data") or o.startswith("~model")}
    taken = {o.split("=")[0] for o in own}
    base = [o for o in SMALL if o.split("=")[0] not in dropped | taken]
    if "data=rings" in own or "data=stocks" in own:
        base = [o for o in base if o != "data.rows=200"]
    return [*base, *(o for o in own if not (o.startswith("~data") or o.startswith("~model")))]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """The folders of all settings, side by side in threads, and one after the other through Lightning."""
    jobs, folders = [asked(setting) for setting in SETTINGS], {}
    for launcher in ("threads", "basic"):
        folders[launcher] = tmp_path_factory.mktemp(launcher)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("steepest.lightning.pictures.draw_scores", lambda history: None)
            patch.setattr("steepest.lightning.pictures.draw_parity", lambda table, path: None)
            swept(folders[launcher], jobs, launcher, n_jobs=3)
    return folders


def load(path):
    return json.loads(path.read_text())


def numbers(folder):
    """What must be equal for a job: its files' contents, without times."""
    metrics = load(folder / "metrics.json")
    metrics.pop("seconds")
    curves = {tag: list(curve.items()) for tag, curve in read_scalars(folder).items() if not tag.startswith("speed/")}
    return {
        "metrics": metrics,
        "predictions": (folder / "predictions.csv").read_bytes(),
        "curves": curves,
        "checkpoints": {name: leaves(checkpoint(folder, name)) for name in ("best", "last")},
    }


def checkpoint(folder, name):
    """The part of a checkpoint that both drivers write; the rest is written by Lightning only."""
    held = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    shared = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "hyper_parameters")
    tracker = held.get("callbacks", {}).get(TRACKER)
    if tracker is not None:
        tracker.pop("events")  # the length of the event file, because the header of TensorBoard's writer is longer
    return {key: held[key] for key in shared if key in held} | {"tracker": tracker}


def leaves(value, path=""):
    """Nested data as pairs of a path and a plain value: tensors as bytes."""
    if isinstance(value, torch.Tensor):
        return {path: (str(value.dtype), tuple(value.shape), value.detach().numpy().tobytes())}
    if isinstance(value, dict):
        return {k: v for key, one in value.items() for k, v in leaves(one, f"{path}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for n, one in enumerate(value) for k, v in leaves(one, f"{path}/{n}").items()}
    return {path: value}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_job_equals_a_single_run_bit_for_bit(sweeps, setting):
    number = str(list(SETTINGS).index(setting))
    mine, alone = sweeps["threads"] / number, sweeps["basic"] / number
    ours, theirs = load(mine / "run.json"), load(alone / "run.json")
    assert theirs["status"] == "finished", theirs["stop_reason"]
    same = (
        "status",
        "stop_reason",
        "seed",
        "objective",
        "data",
        "device",
        "engine",
        "engine_reason",
        "notes",
        "overrides",
    )
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert ours["engine"] == "kernel"
    for name in ("config.yaml", "job.json", ".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml"):
        one, other = ((folder / name).read_text() for folder in (mine, alone))
        one = one.replace(str(sweeps["threads"]), str(sweeps["basic"]))
        if name == "job.json":
            one, other = (re.sub(r'"started": "[^"]*"', "", text) for text in (one, other))
        assert one == other, name
    one, other = numbers(mine), numbers(alone)
    assert one["metrics"] == other["metrics"]
    assert one["predictions"] == other["predictions"]
    assert one["curves"].keys() == other["curves"].keys()
    assert [tag for tag in one["curves"] if one["curves"][tag] != other["curves"][tag]] == []
    for name in ("best", "last"):
        a, b = one["checkpoints"][name], other["checkpoints"][name]
        assert a.keys() == b.keys(), name
        assert [path for path in a if a[path] != b[path]] == [], name
    assert all(known(tag) for tag in one["curves"])


def test_each_setting_ends_as_expected(sweeps):
    reasons = {
        setting: load(sweeps["threads"] / str(number) / "metrics.json")["stop_reason"]
        for number, setting in enumerate(SETTINGS)
    }
    assert reasons["ends inside an epoch"] == "updates: 13 updates done"
    assert reasons["sgd"] == "epochs: 4 epochs done"
    for rule, word in (("early", "early stopping:"), ("threshold", "threshold:"), ("stationary", "stationary:")):
        assert reasons[rule].startswith(word)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_numbers_depend_neither_on_the_threads_nor_on_the_other_jobs(sweeps, tmp_path, n_jobs):
    some = ["adam, cosine", "double", "parity", "several series"][:: 1 if n_jobs % 2 else -1]
    swept(tmp_path / "s", [asked(setting) for setting in some], n_jobs=n_jobs)
    for number, setting in enumerate(some):
        again = numbers(tmp_path / "s" / str(number))
        assert again == numbers(sweeps["threads"] / str(list(SETTINGS).index(setting))), setting


def test_the_log_of_a_job_holds_its_own_lines_only(sweeps):
    for number, _ in enumerate(SETTINGS):
        log = (sweeps["threads"] / str(number) / "train.log").read_text()
        assert log.count(load(sweeps["threads"] / str(number) / "metrics.json")["verdict"]) == 1
        assert log.count("on the test part") <= 1


def test_global_state_of_the_process_is_unchanged(tmp_path):
    jobs = [[*SMALL, "stop.epochs=2", f"seed={seed}"] for seed in range(4)] + [[*SMALL, "optimizer.lr=1e30"]]

    def once():
        root = logging.getLogger()
        return {
            "torch": (torch.initial_seed(), torch.get_rng_state().tolist(), torch.get_default_dtype()),
            "numpy": str(np.random.get_state()),
            "folder": Path.cwd(),
            **{f"environment {name}": value for name, value in os.environ.items()},
            "filters": list(warnings.filters),
            "logging": (root.level, list(root.handlers), [h.level for h in root.handlers]),
            "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
        }

    swept(tmp_path / "first", jobs[:1])  # PyTorch imports modules at the first optimizer, and they set variables
    with launching(tmp_path / "s", n_jobs=2) as launcher:
        tame_warnings()
        configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
        # A launch sets logging up as Hydra does, which is the same but for the identity of the handlers.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("steepest.sweep.threads.configure_log", lambda *_: None)
            torch.manual_seed(5)
            before = once()
            launcher.launch(jobs, 0)
            after = once()
    assert [load(tmp_path / "s" / str(n) / "run.json")["status"] for n in range(5)] == ["finished"] * 4 + ["failed"]
    changed = {key: (before.get(key), after[key]) for key in after if before.get(key) != after[key]}
    assert changed == {}


def test_a_failed_job_records_its_error_and_the_others_finish(tmp_path):
    jobs = [
        [*SMALL, "stop.epochs=3"],
        [*SMALL, "stop.epochs=3", "optimizer.lr=1e30"],
        [*SMALL, "stop.epochs=3", "optimizer.lr=-1"],
        [*SMALL, "stop.epochs=3", "data.rows=4"],
        [*SMALL, "stop.epochs=3", "objective=val/rmsee"],
        [*SMALL, "stop.epochs=3", "seed=1"],
    ]
    returned = swept(tmp_path / "s", jobs, n_jobs=2)
    assert [bool(np.isfinite(r.return_value)) for r in returned] == [True, False, False, False, False, True]
    for number, said in {
        1: "lower optimizer.lr",
        2: "optimizer.lr=-1.0 must be above 0",
        3: "rows",
        4: "objective",
    }.items():
        folder = tmp_path / "s" / str(number)
        error = (folder / "error.txt").read_text()
        assert said in error
        assert "To run this job alone:\n  python train.py data=random_walk" in error
        assert load(folder / "run.json")["status"] == "failed"
        assert number == 1 or "Traceback" in error
        assert "Traceback" in (folder / "train.log").read_text() or number == 1
    assert load(tmp_path / "s" / "1" / "metrics.json")["stop_reason"].startswith("diverged: ")
    for number in (0, 5):
        assert load(tmp_path / "s" / str(number) / "run.json")["status"] == "finished"
        assert not (tmp_path / "s" / str(number) / "error.txt").exists()


def test_with_on_error_stop_no_job_starts_after_a_failure(tmp_path):
    jobs = [
        [*SMALL, *FEW],
        [*SMALL, *FEW, "optimizer.lr=1e30"],
        [*SMALL, *FEW, "seed=1"],
        [*SMALL, "model=linear", "~model.hidden"],
    ]
    swept(tmp_path / "s", [[*own, "sweep.on_error=stop"] for own in jobs[:3]], n_jobs=1, on_error="stop")
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["0", "1", "first_failure"]
    assert load(tmp_path / "s" / "0" / "run.json")["status"] == "finished"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("model=mlp", "trains by autograd: use model=mlp_manual or model=linear_manual"),
        ("optimizer=lbfgs", "optimizer=lbfgs is not one of optimizer=sgd, momentum, adam and adamw"),
        ("callbacks.pictures.in_sweeps=true", "callbacks.pictures.in_sweeps=true: pictures are drawn by one thread"),
        ("model.engine=textbook", "model.engine=textbook"),
        ("threads=2", "threads=2, but this process uses 1"),
        ("trainer.devices=2", "trainer.devices=2 needs Lightning's Trainer"),
        ("optimizer.lr=-1", None),
        ("seed=3", None),
    ],
)
def test_jobs_that_threads_cannot_train_run_one_at_a_time_with_a_reason(tmp_path, override, reason):
    base = [o for o in SMALL if o not in (NO_PICTURES, "model=mlp_manual" if override == "model=mlp" else "")]
    with launching(tmp_path / "s") as launcher:
        jobs, alone = plan(launcher.composer, tmp_path / "s", [[*SMALL, "seed=1"], [*base, override]], 0)
    if reason is None:
        assert (list(jobs), alone) == ([0, 1], {})
    else:
        ((why, numbers_),) = alone.items()
        assert reason in why
        assert (list(jobs), numbers_) == ([0], [1])


def test_a_sweep_runs_both_kinds_of_jobs_and_names_them(tmp_path, capsys):
    linear = [o for o in SMALL if not o.startswith("model")]
    returned = swept(tmp_path / "s", [[*linear, "model=linear", "stop.epochs=1"], [*SMALL, "stop.epochs=1"]])
    assert "job 0 does not run in a thread: model=linear trains by autograd" in capsys.readouterr().out
    engines = [load(tmp_path / "s" / str(number) / "run.json")["engine"] for number in range(2)]
    assert engines == ["autograd", "kernel"]
    objectives = [load(tmp_path / "s" / str(number) / "metrics.json")["objective"]["value"] for number in range(2)]
    assert [r.return_value for r in returned] == objectives


@pytest.mark.slow
def test_the_estimate_has_the_right_order_of_magnitude(tmp_path, monkeypatch):
    jobs = [[*SMALL, "stop.epochs=400", f"seed={seed}"] for seed in range(4)]
    with launching(tmp_path / "s", n_jobs=1) as launcher:
        monkeypatch.setattr(time, "process_time", lambda: 0.0)  # there is no command here that has to start
        *_, line = describe(launcher.composer, launcher.config, jobs, 0)
    updates, number, unit = re.fullmatch(
        r"At most ([\d,]+) updates; about (\d+) (seconds|minutes) on this machine\.", line
    ).groups()
    with launching(tmp_path / "s", n_jobs=1) as launcher:
        began = time.perf_counter()
        launcher.launch(jobs, 0)
        took = time.perf_counter() - began
    done = sum(load(tmp_path / "s" / str(n) / "metrics.json")["updates"] for n in range(4))
    assert int(updates.replace(",", "")) == done
    expected = int(number) * (60 if unit == "minutes" else 1)
    assert took / 6 - 2 < expected < 6 * took + 2
    assert not [p for p in tmp_path.iterdir() if p.name != "s"]


# Whole commands.

COMMAND = [sys.executable, str(ROOT / "train.py"), "-m", "hydra/launcher=threads", *SMALL[:-1]]


def objectives(folder):
    rows = csv.DictReader((folder / "results.csv").read_text().splitlines())
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def resumed(tmp_path, folder):
    code = "from steepest.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "resume", folder], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip


def started(tmp_path, arguments, folder, until):
    """A sweep's process, once a condition holds."""
    process = subprocess.Popen(
        [*COMMAND, *arguments, f"hydra.sweep.dir={folder}"], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not until() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[0]
    return process


@pytest.mark.slow
def test_a_failed_job_makes_the_command_end_with_1(tmp_path):
    answer = subprocess.run(
        [*COMMAND, "optimizer.lr=0.01,1e30", "stop.epochs=2", "hydra.sweep.dir=s"], cwd=tmp_path, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert answer.returncode == 1, answer.stderr
    assert "job 1 failed: diverged" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr
    assert [row["status"] for row in objectives(tmp_path / "s")] == ["finished", "failed"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda s: s.name)
def test_a_sweep_that_was_stopped_ends_with_the_results_of_the_uninterrupted_one(tmp_path, how):
    arguments = ["seed=range(6)", "stop.epochs=1500", "logger=none"]
    whole = subprocess.run([*COMMAND, *arguments, "hydra.sweep.dir=whole"], cwd=tmp_path, check=False, timeout=300)
    assert whole.returncode == 0
    part = tmp_path / "part"
    process = started(tmp_path, arguments, "part", lambda: len(list(part.glob("*/metrics.json"))) >= 2)
    time.sleep(0.2)
    began = time.monotonic()
    os.killpg(process.pid, how) if how is signal.SIGKILL else process.send_signal(how)
    said, _ = process.communicate(timeout=60)
    if how is signal.SIGINT:
        assert process.returncode == 130, said
        assert time.monotonic() - began < 6, "jobs stop at once; a loaded machine takes a while to end a process"
        statuses = [load(path)["status"] for path in part.glob("*/run.json")]
        assert set(statuses) <= {"finished", "stopped"}
        assert "stopped" in statuses
    again = resumed(tmp_path, "part")
    assert again.returncode == 0, again.stderr
    assert objectives(part) == objectives(tmp_path / "whole")
