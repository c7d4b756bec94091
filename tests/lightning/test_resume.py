"""A resumed run ends as an uninterrupted one does, wherever it was interrupted; a finished run does nothing."""

import json
import math
import os
import re
from collections import Counter

import pandas as pd
import pytest
import torch
from conftest import NO_PICTURES, QUIET, composed, read_scalars
from lightning.pytorch import Callback, Trainer
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from steepest import ManualPredictor, WindowDataModule
from steepest.lightning import callbacks, pictures, run
from steepest.observe.curves import read_curves
from steepest.runs import checkpoints
from steepest.runs.config import check
from steepest.runs.drive import SharedData, drive
from steepest.runs.record import RunRecord
from steepest.runs.tracker import Tracker

pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
BATCHES = 7  # of an epoch
DATA = ("data=random_walk", "data.rows=300", "data.window=3", "data.batch_size=32", "model.hidden=[4]")
KINDS = {
    "kernel": ["model=mlp_manual", "model.engine=kernel"],
    "textbook": ["model=mlp_manual", "model.engine=textbook"],
    "autograd": ["model=mlp"],
}
SLOW = pytest.mark.slow
every_kind = pytest.mark.parametrize("kind", ["kernel", pytest.param("textbook", marks=SLOW), "autograd"])


class Killed(BaseException):
    """Raised where a process would be killed."""


def killed(*_, **__):
    raise Killed


def metrics_of(folder):
    """The content of metrics.json without the seconds."""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.pop("seconds") > 0
    return metrics


def files_of(folder):
    """The content of every file in a folder."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_same(one, other, where=""):
    """Assert that two checkpoints' contents are equal to the last bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}/{number}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif not (isinstance(one, float) and math.isnan(one) and math.isnan(other)):
        assert one == other, where


def assert_ends_alike(expected, folder):
    """Assert that a resumed run wrote what the uninterrupted one wrote."""
    assert metrics_of(folder) == metrics_of(expected)
    assert (folder / "predictions.csv").read_text() == (expected / "predictions.csv").read_text()
    for name in ("last", "best"):
        one, other = (torch.load(f / f"checkpoints/{name}.ckpt", weights_only=True) for f in (expected, folder))
        for content in (one, other):
            content.pop("loops", None)
            if name == "last":  # with a limit in mid-epoch the checkpoint is older than the verdict
                content["callbacks"]["steepest"]["instruments"]["curvature"].pop("ending", None)
        assert_same(one, other)
    curves, resumed = read_scalars(expected), read_scalars(folder)
    for tag, curve in resumed.items():
        assert curve.index.is_unique, f"{tag} has doubled points"
        assert curve.index.is_monotonic_increasing, tag
    assert curves.keys() == resumed.keys()
    for tag, curve in curves.items():
        if tag.startswith(("train/", "val/", "gradient_norm/", "parameter_", "update_ratio/", "learning_rate")):
            # (At a limit in mid-epoch, the interrupted run has one more score.)
            pd.testing.assert_series_equal(curve, resumed[tag].loc[curve.index])


@every_kind
@pytest.mark.parametrize("first", [2 * BATCHES, 2 * BATCHES + 3], ids=["end of an epoch", "mid-epoch"])
def test_raising_the_limit_of_updates_does_not_change_a_bit(train, kind, first):
    how = (*KINDS[kind], *DATA, "optimizer=adam")
    last = f"stop.updates={4 * BATCHES + 2}"
    _, expected = train(*how, last, name="whole")
    outcome, folder = train(*how, f"stop.updates={first}", name="part")
    assert outcome.metrics["updates"] == first
    outcome, _ = train(last, name="part", resume=True)
    assert outcome.metrics["stop_reason"] == f"updates: {4 * BATCHES + 2} updates done"
    assert_ends_alike(expected, folder)


@every_kind
@pytest.mark.parametrize(
    "scheduler",
    [
        ["scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.5", "+scheduler.threshold=0.5"],
        ["scheduler=cosine", "scheduler.T_max=6"],
    ],
    ids=["plateau", "cosine"],
)
def test_schedulers_continue(train, kind, scheduler):
    how = (*KINDS[kind], *DATA, *scheduler)
    _, expected = train(*how, "stop.epochs=6", name="whole")
    _, folder = train(*how, "stop.epochs=3", name="part")
    train("stop.epochs=6", name="part", resume=True)
    assert read_scalars(expected)["learning_rate"].nunique() > 2
    assert_ends_alike(expected, folder)


ENDED = {
    "early stopping": ["stop=early", "stop.patience=2", "stop.min_delta=0.5"],
    "threshold": ["stop=threshold", "stop.loss=2"],
    "stationary": ["stop=stationary", "stop.gradient_norm=50"],
    "epochs": ["stop.epochs=2"],
    "updates": ["stop.updates=10"],
}
WATCHED = ("callbacks=[default,audit,parity]", "callbacks.audit.every_n_updates=3", "trainer.precision=64-true")
every_end = pytest.mark.parametrize(
    ("kind", "rule"),
    [
        *(("kernel", rule) for rule in ENDED),
        *(pytest.param("autograd", rule, marks=[SLOW] * (rule != "epochs")) for rule in ENDED),
    ],
)


@every_end
def test_resuming_a_finished_run_changes_nothing(train, caplog, kind, rule):
    watched = WATCHED if kind == "kernel" else WATCHED[2:]
    first, folder = train(*KINDS[kind], *DATA, *watched, *ENDED[rule])
    assert first.metrics["stop_reason"].startswith(rule)
    assert ("parity" in first.metrics) == (kind == "kernel")
    before = files_of(folder)
    for more in ([], ["stop.epochs=400"] if rule not in ("epochs", "updates") else []):
        caplog.clear()
        outcome, _ = train(*more, resume=True)
        assert "has finished already" in caplog.text
        assert outcome.metrics == first.metrics
        assert outcome.objective == first.objective
        assert files_of(folder) == before


@pytest.mark.parametrize("key", ["stop_reason", "objective"])
def test_a_key_that_is_missing_in_the_metrics_of_a_finished_run_is_named(train, key):
    outcome, folder = train(*KINDS["kernel"], *DATA, *ENDED["epochs"])
    left = {name: value for name, value in outcome.metrics.items() if name != key}
    (folder / "metrics.json").write_text(json.dumps(left))
    with pytest.raises(ValueError, match=f"metrics.json cannot be read .it has no key '{key}'"):
        train(resume=True)


@every_end
def test_a_run_killed_during_its_evaluation_reports_everything_when_resumed(train, monkeypatch, kind, rule):
    how = (*KINDS[kind], *DATA, *(WATCHED if kind == "kernel" else WATCHED[2:]), *ENDED[rule])
    _, expected = train(*how, name="whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        patch.setattr(run, "finish", killed)
        train(*how, name="part")
    folder = expected.with_name("part")
    assert not (folder / "metrics.json").exists()
    outcome, _ = train(name="part", resume=True)
    assert outcome.metrics["status"] == "finished"
    assert_ends_alike(expected, folder)
    assert metrics_of(folder)["critical"]["verdict"]
    if kind == "kernel":
        assert metrics_of(folder)["audit"]["updates_looked_at"] > 1
        assert (folder / "parity.csv").read_text() == (expected / "parity.csv").read_text()


def test_instruments_continue_with_their_results(train):
    how = (*KINDS["kernel"], *DATA, *WATCHED)
    _, expected = train(*how, "stop.updates=25", name="whole")
    _, folder = train(*how, "stop.updates=9", name="part")
    train("stop.updates=25", name="part", resume=True)
    assert_ends_alike(expected, folder)
    assert metrics_of(folder)["audit"]["updates_looked_at"] == 9
    assert (folder / "parity.csv").read_text() == (expected / "parity.csv").read_text()
    assert list(pd.read_csv(folder / "parity.csv")["update"]) == list(range(1, 26))


CLASSES = ("data=rings", "data.rows=200", "data.batch_size=32", "model.loss=cross_entropy", "model.hidden=[4]")


@pytest.mark.parametrize("how", [DATA, (*CLASSES, "objective=val/cross_entropy")], ids=["values", "classes"])
@pytest.mark.parametrize("kind", ["kernel", "autograd"])
def test_a_run_killed_before_its_first_checkpoint_starts_again(train, monkeypatch, kind, how):
    how = (*KINDS[kind], *how, "stop.epochs=4")
    _, expected = train(*how, name="whole")
    monkeypatch.setattr(callbacks, "PAUSE", math.inf)
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        ends = Tracker.epoch_end
        patch.setattr(Tracker, "epoch_end", lambda self: killed() if self.view.epochs == 2 else ends(self))
        train(*how, name="part")
    folder = expected.with_name("part")
    assert len(read_scalars(folder)["train/loss"]) > 0, "the run has written something"
    assert not (folder / "checkpoints" / "last.ckpt").exists()
    train(name="part", resume=True)
    assert_ends_alike(expected, folder)
    curves, others = (read_curves(f, ["train/loss", "train/full_loss"]) for f in (expected, folder))
    for tag, curve in curves.items():
        assert list(curve.steps) == sorted(set(curve.steps)), tag
        assert list(curve.steps) == list(others[tag].steps), tag
        assert list(curve.values) == list(others[tag].values), tag


@every_kind
@pytest.mark.parametrize("problem", [Killed(), OSError(28, "No space left on device")], ids=["killed", "disk full"])
def test_a_run_that_fails_while_writing_a_checkpoint_continues_from_the_previous_one(train, monkeypatch, kind, problem):
    how = (*KINDS[kind], *DATA, "stop.epochs=5")
    _, expected = train(*how, name="whole")
    monkeypatch.setattr(callbacks, "PAUSE", 0.0)  # one checkpoint per epoch
    written = []

    def half(descriptor):
        written.append(descriptor)
        if len(written) == 3:
            os.ftruncate(descriptor, 20)
            raise problem

    with monkeypatch.context() as patch, pytest.raises(type(problem)):  # noqa: PT012
        patch.setattr(checkpoints.os, "fsync", half)
        train(*how, name="part")
    folder = expected.with_name("part")
    assert checkpoints.load(folder / "checkpoints" / "last.ckpt")["global_step"] == 2 * BATCHES
    assert not list(folder.rglob("*.part"))
    train(name="part", resume=True)
    assert_ends_alike(expected, folder)


def points_of(folder):
    """Count each point in a run's event files, except the points of speed."""
    points = Counter()
    for path in folder.glob("events.out.tfevents.*"):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            points.update(
                (v.tag, event.step, v.simple_value) for v in event.summary.value if not v.tag.startswith("speed/")
            )
    return points


@pytest.mark.parametrize("where", ["evaluation", "pictures", "last line"])
def test_a_run_killed_after_its_training_ends_with_every_file_and_each_point_once(train, monkeypatch, where):
    how = (*KINDS["kernel"], *DATA, "stop.updates=10")
    _, expected = train(*how, name="whole")
    kills = {
        "evaluation": (RunRecord, "metrics"),
        "pictures": (pictures, "draw_scores"),
        "last line": (RunRecord, "end"),
    }
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        patch.setattr(*kills[where], killed)
        train(*how, name="part")
    folder = expected.with_name("part")
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    (folder / "metrics.json.123.part").write_text("{")  # a killed process left it
    train(name="part", resume=True)
    assert_ends_alike(expected, folder)
    assert points_of(folder) == points_of(expected)
    names = [{re.sub("^events.*", "events", p.name) for p in f.rglob("*") if p.is_file()} for f in (expected, folder)]
    # A run writes previous.ckpt only if it takes longer than the time between two checkpoints.
    assert names[0] - {checkpoints.PREVIOUS} == names[1] - {checkpoints.PREVIOUS}


def test_a_run_interrupted_in_its_evaluation_is_recorded_as_stopped_and_can_be_resumed(train, monkeypatch, caplog):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    how = (*KINDS["kernel"], *DATA, "stop.epochs=2")
    _, expected = train(*how, name="whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(run, "finish", interrupted)
        train(*how, name="part")
    folder = expected.with_name("part")
    assert json.loads((folder / "run.json").read_text())["status"] == "stopped"
    assert "To continue it: python train.py resume=" in caplog.text
    train(name="part", resume=True)
    assert_ends_alike(expected, folder)


def test_results_are_kept_until_a_resumed_run_has_new_ones(train, monkeypatch):
    def fails(*_):
        raise RuntimeError

    _, folder = train(*KINDS["kernel"], *DATA, "stop.epochs=2")
    before = metrics_of(folder)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):  # noqa: PT012
        patch.setattr(Tracker, "log", fails)
        train("stop.epochs=4", resume=True)
    assert metrics_of(folder) == before
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    train("stop.epochs=4", resume=True)
    assert metrics_of(folder)["epochs"] == 4


@every_kind
def test_a_run_whose_last_checkpoint_is_damaged_continues_from_the_previous_one(train, monkeypatch, caplog, kind):
    how = (*KINDS[kind], *DATA, "stop.epochs=5")
    _, expected = train(*how, name="whole")
    monkeypatch.setattr(callbacks, "PAUSE", 0.0)  # one checkpoint per epoch
    ends = Tracker.epoch_end
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        patch.setattr(Tracker, "epoch_end", lambda self: killed() if self.view.epochs == 3 else ends(self))
        train(*how, name="part")
    folder = expected.with_name("part")
    path = folder / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:-1000])
    train(name="part", resume=True)
    assert f"the run continues from previous.ckpt, update {2 * BATCHES}" in caplog.text
    assert_ends_alike(expected, folder)
    assert points_of(folder) == points_of(expected)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("optimizer.lr", 0.5, r"optimizer\.lr=0\.5 \(it was 0\.01\)"),
        ("seed", 3, r"seed=3 \(it was 0\)"),
        ("data.window", 5, r"data\.window=5 \(it was 3\)"),
        ("trainer.precision", "64-true", r"trainer\.precision=64-true"),
    ],
)
def test_an_edited_config_is_refused_if_the_results_depend_on_the_change(train, key, value, said):
    _, folder = train("model=linear_manual", *DATA[:-1], "stop.epochs=1", "optimizer.lr=0.01")
    config = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(config, key, value)
    config.stop.epochs = config.trainer.max_epochs = 2
    OmegaConf.save(config, folder / "config.yaml")
    before = files_of(folder)
    with pytest.raises(ValueError, match=f"the config has changed since the checkpoint was written.*{said}"):
        train(resume=True)
    assert files_of(folder) == before


def test_another_value_of_an_environment_variable_is_refused_if_the_results_depend_on_it(train, monkeypatch):
    monkeypatch.setenv("MY_RATE", "0.01")
    _, folder = train("model=linear_manual", *DATA[:-1], "stop.epochs=1", "optimizer.lr=${oc.env:MY_RATE}")
    before = files_of(folder)
    monkeypatch.setenv("MY_RATE", "0.02")
    with pytest.raises(
        ValueError, match="environment variables, which have changed since the checkpoint was written: MY_RATE"
    ):
        train("stop.epochs=2", resume=True)
    assert files_of(folder) == before
    monkeypatch.setenv("MY_RATE", "0.01")
    train("stop.epochs=2", resume=True)


@pytest.mark.parametrize("record", ["kept", "removed"])
def test_changed_data_and_another_number_of_processes_are_refused_even_without_the_record(train, tmp_path, record):
    prices = tmp_path / "prices.csv"
    days = pd.bdate_range("2020-01-01", periods=200).astype(str)
    pd.DataFrame({"date": days, "close": range(100, 300)}).to_csv(prices, index=False)
    options = "model=linear", "data=csv", f"data.path={prices}", "stop.epochs=1"
    _, folder = train(*options)
    if record == "removed":
        (folder / "run.json").unlink()
    before = files_of(folder)
    with pytest.raises(ValueError, match="trainer.devices starts 2 processes, but 1 trained the run so far"):
        train("stop.epochs=2", "trainer.devices=2", "trainer.strategy=ddp", resume=True)
    prices.write_text(prices.read_text().replace(",150\n", ",151\n"))
    with pytest.raises(ValueError, match="the data have changed since the run started"):
        train("stop.epochs=2", resume=True)
    assert files_of(folder) == before


def test_a_resumed_run_removes_only_its_own_unfinished_files(train):
    _, folder = train("model=linear_manual", *DATA[:-1], "stop.epochs=1")
    own = ["run.json.123.part", "checkpoints/last.ckpt.7.part", "events.5.part", "predictions.csv.9.part"]
    users = ["notes.part", "run.json.part", "figures/mine.1.part", "data/prices.csv.1.part", "draft.1.part"]
    for name in (*own, *users):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "metrics.json.5.part").mkdir()
    train("stop.epochs=2", resume=True)
    assert [name for name in own if (folder / name).exists()] == []
    assert [name for name in users if not (folder / name).exists()] == []
    assert (folder / "metrics.json.5.part").is_dir()


def test_a_new_version_of_a_package_that_computes_results_is_noted(train, caplog):
    _, folder = train("model=linear_manual", *DATA[:-1], "stop.epochs=1")
    record = json.loads((folder / "run.json").read_text())
    record["versions"] |= {"torch": "2.0", "tensorboard": "1.0"}
    (folder / "run.json").write_text(json.dumps(record))
    train("stop.epochs=2", resume=True)
    assert "the run started with torch 2.0 and continues with" in caplog.text
    (note,) = json.loads((folder / "run.json").read_text())["notes"]
    assert note.startswith("the run started with torch 2.0")


def test_a_run_without_its_event_file_continues_with_a_warning(train, caplog):
    _, folder = train("model=linear_manual", *DATA[:-1], "stop.epochs=1")
    for events in folder.glob("events.*"):
        events.unlink()
    train("stop.epochs=2", resume=True)
    assert "the event file is gone or too short" in caplog.text
    assert list(read_scalars(folder)["train/loss"].index) == list(range(BATCHES + 1, 2 * BATCHES + 1))


def test_a_resumed_run_whose_engine_would_differ_is_refused(train):
    _, folder = train("model=mlp_manual", *DATA, "stop.epochs=1")
    before = files_of(folder)
    with pytest.raises(
        ValueError, match="engine 'kernel' trained the run so far, but engine 'textbook' would continue it"
    ):
        train("stop.epochs=2", "trainer.devices=2", resume=True)
    assert files_of(folder) == before


class Begins(Callback):
    def on_train_start(self, trainer, pl_module):
        self.update = trainer.global_step


@pytest.mark.parametrize("updates", [2 * BATCHES, 2 * BATCHES + 3], ids=["end of an epoch", "mid-epoch"])
@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_a_plain_trainer_continues_a_checkpoint_of_the_threads_launcher(tmp_path, updates, optimizer):
    how = (*DATA, "model=mlp_manual", f"optimizer={optimizer}", f"stop.updates={updates}", "seed=1")
    checked = check(composed(*how, QUIET, NO_PICTURES))
    (tmp_path / "job").mkdir()
    assert drive(checked, tmp_path / "job", [], SharedData())["updates"] == updates
    path = tmp_path / "job" / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    dataset = checked.groups["data"]()
    assert content["WindowDataModule"]["spec"]["kind"] == "RandomWalk"
    assert content["WindowDataModule"]["spec"]["window"] == 3
    data = WindowDataModule(dataset, seed=1)
    data.setup()
    assert torch.equal(content["WindowDataModule"]["scaler"]["mean_S"], data.windows.mean_S)
    assert torch.equal(content["WindowDataModule"]["scaler"]["scale_S"], data.windows.scale_S)

    ends = []
    for checkpoint in (path, None):
        model, begins = (
            ManualPredictor(**content["hyper_parameters"], optimizer=checked.groups["optimizer"]()),
            Begins(),
        )
        trainer = Trainer(
            max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, limit_val_batches=0, callbacks=[begins],
        )  # fmt: skip
        trainer.fit(model, datamodule=WindowDataModule(dataset, seed=1), ckpt_path=checkpoint, weights_only=True)
        assert begins.update == (updates if checkpoint else 0)
        assert trainer.global_step == 5 * BATCHES
        ends.append((model.state_dict(), trainer.optimizers[0].state_dict()))
    assert_same(*ends)


def test_the_threads_launcher_and_the_trainer_write_the_same_checkpoint(tmp_path, train):
    how = (*DATA, "model=mlp_manual", "optimizer=adam", "stop.updates=17")
    _, expected = train(*how)
    (tmp_path / "job").mkdir()
    drive(check(composed(*how, QUIET, NO_PICTURES)), tmp_path / "job", [], SharedData())
    for name in ("last", "best"):
        one, other = (checkpoints.load(f / f"checkpoints/{name}.ckpt") for f in (expected, tmp_path / "job"))
        for key in ("global_step", "epoch", "state_dict", "hyper_parameters", "WindowDataModule", "hparams_name"):
            assert_same(one[key], other[key], key)
    assert_same(one.get("optimizer_states"), other.get("optimizer_states"))
