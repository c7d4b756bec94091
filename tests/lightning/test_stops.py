"""Each stop rule ends the run at the right epoch or update and gives its reason."""

import json
import math
import os
import signal
import time

import pytest
import torch

from steepest.data.formulas import Line
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.predictors import LinearPredictor
from steepest.runs.process import interrupts, remember_interrupts
from steepest.runs.stops import EarlyStop, Epochs, Stationary, Threshold
from steepest.runs.tracker import Tracker

LINE = ("data=line", "data.split=[1,0,0]", "data.batch_size=null", "optimizer.lr=0.1")


def test_the_limits_count_epochs_and_updates(train):
    outcome, _ = train("data=line", "data.batch_size=30", "stop.epochs=3", name="epochs")
    assert outcome.metrics["stop_reason"] == "epochs: 3 epochs done"
    assert outcome.metrics["updates"] == 3 * math.ceil(140 / 30)
    outcome, _ = train("data=line", "data.batch_size=30", "stop.updates=7", name="updates")
    assert (outcome.metrics["stop_reason"], outcome.metrics["updates"]) == ("updates: 7 updates done", 7)


@pytest.mark.slow
def test_without_a_limit_of_epochs_lightning_has_none_either(train):
    outcome, _ = train("data=line", "data.batch_size=null", "stop.epochs=null", "stop.updates=1005")  # 1 an epoch
    assert (outcome.metrics["stop_reason"], outcome.metrics["epochs"]) == ("updates: 1005 updates done", 1005)


def test_threshold_ends_at_the_first_epoch_whose_full_loss_is_below_it(train):
    outcome, folder = train(*LINE, "stop=threshold", "stop.loss=0.05", "trainer.precision=64-true")
    assert outcome.metrics["status"] == "finished"
    assert outcome.metrics["stop_reason"].startswith("threshold: training loss 0.0")
    # Oracle: gradient descent by the closed form of the quadratic; full batch, so an epoch is an update.
    data = WindowDataModule(Line(split=[1, 0, 0], batch_size=None))
    data.setup()
    x, y = (torch.cat(p) for p in zip(*((b.x_ND, b.y_NH) for _, b in data.windows.walk("train")), strict=True))
    start = LinearPredictor(1, 1).network
    theta = torch.tensor([start.W1.item(), start.b1.item()], dtype=torch.float64)
    rows = torch.cat([x, torch.ones_like(x)], 1)
    updates = 0
    while (rows @ theta - y[:, 0]).square().mean() >= 0.05:
        theta -= 0.1 * 2 * rows.T @ (rows @ theta - y[:, 0]) / len(rows)
        updates += 1
    assert outcome.metrics["updates"] == updates


def test_stationary_ends_where_the_gradient_is_almost_zero(train):
    outcome, _ = train(*LINE, "stop=stationary", "stop.gradient_norm=1e-6", "trainer.precision=64-true")
    assert outcome.metrics["stop_reason"].startswith("stationary: gradient norm ")
    exact = outcome.metrics["baselines"]["least_squares"]["train"]["mse"]
    assert outcome.metrics["train"]["mse"] == pytest.approx(exact, rel=1e-9)


def test_early_stopping_ends_when_the_objective_no_longer_improves(train):
    outcome, _ = train("data=line", "stop=early", "stop.patience=4", "optimizer.lr=0.3")
    assert outcome.metrics["stop_reason"].startswith("early stopping: no better val/mse_scaled than")
    assert outcome.metrics["epochs"] < 1000


def test_early_stopping_maximises_skill(train):
    outcome, _ = train("data=line", "stop=early", "stop.patience=4", "optimizer.lr=0.02", "objective=val/skill")
    assert outcome.metrics["stop_reason"].startswith("early stopping: no better val/skill than 0.99")
    assert outcome.metrics["epochs"] > 20, "skill rises for many epochs"
    assert outcome.objective > 0.99


def test_a_limit_ends_a_run_whose_rule_does_not(train):
    outcome, _ = train(*LINE, "stop=threshold", "stop.loss=1e-9", "stop.epochs=5")
    assert outcome.metrics["stop_reason"] == "epochs: 5 epochs done"


WALK = ("data=random_walk", "data.rows=300", "data.window=3", "data.batch_size=32", "model.hidden=[4]")  # 7 batches
either_model = pytest.mark.parametrize("model", ["model=mlp", "model=mlp_manual"])
NEVER = ("stop=threshold", "stop.loss=1e-9", "stop.epochs=1000000")


@either_model
def test_max_time_ends_a_run(train, model):
    outcome, folder = train(model, *WALK, *NEVER, "trainer.max_time={seconds:1}", "logger=none")
    assert outcome.metrics["status"] == "finished"
    assert outcome.metrics["stop_reason"] == "max_time: 1 seconds have passed"
    assert 0 < outcome.metrics["updates"] < 7_000_000
    assert json.loads((folder / "run.json").read_text())["stop_reason"] == outcome.metrics["stop_reason"]


@either_model
def test_the_reason_names_a_lightning_callback_that_ends_the_run(train, model):
    early = "lightning.pytorch.callbacks.EarlyStopping"
    foreign = [f"+callbacks.mine.{o}" for o in (f"_target_={early}", "monitor=val/mse_scaled", "patience=2")]
    outcome, _ = train(model, *WALK, *NEVER, *foreign, "+callbacks.mine.min_delta=10", "logger=none")
    assert outcome.metrics["stop_reason"] == "callback EarlyStopping ended it"
    assert outcome.metrics["epochs"] == 3


@either_model
def test_the_reason_names_the_trainers_own_limit(train, model):
    outcome, folder = train(model, *WALK, "trainer.max_steps=9", name="steps")
    assert outcome.metrics["stop_reason"] == "trainer.max_steps: 9 updates done"
    assert outcome.metrics["updates"] == torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    outcome, _ = train(model, *WALK, "trainer.max_epochs=2", name="epochs")
    assert outcome.metrics["stop_reason"] == "trainer.max_epochs: 2 epochs done"
    outcome, _ = train(model, *WALK, "trainer.limit_train_batches=3", "stop.epochs=2", name="batches")
    assert (outcome.metrics["updates"], outcome.metrics["stop_reason"]) == (6, "epochs: 2 epochs done")


@either_model
def test_a_run_without_batches_is_an_error_that_names_the_key(train, tmp_path, model):
    with pytest.raises(ValueError, match=r"trainer.limit_train_batches=0: there is nothing to train on"):
        train(model, *WALK, "trainer.limit_train_batches=0")
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Epochs(0), "stop.epochs=0 must be 1 or more"),
        (lambda: Epochs(None), "a run needs one limit"),
        (lambda: Epochs(5, 0), "stop.updates=0"),
        (lambda: Threshold(loss=-1.0), "stop.loss=-1.0 must be a number above 0"),
        (lambda: Stationary(gradient_norm=float("nan")), "stop.gradient_norm=nan"),
        (lambda: EarlyStop(monitor="val/mse", patience=0), "stop.patience=0"),
        (lambda: Threshold(loss=1.0, every_n_epochs=0), "stop.every_n_epochs=0"),
    ],
)
def test_impossible_rules_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Dropped:
    """Python drops the KeyboardInterrupt of a Ctrl-C that is pressed while it deletes an object."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("model", ["linear", "mlp_manual"])
def test_an_interrupt_that_python_drops_stops_the_run(train, monkeypatch, model):
    epoch_end, epochs = Tracker.epoch_end, []

    def interrupted(tracker):
        epochs.append(tracker)
        if len(epochs) == 2:
            Dropped()
        return epoch_end(tracker)

    monkeypatch.setattr(Tracker, "epoch_end", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        remember_interrupts()
        outcome, _ = train(
            f"model={model}", "data=random_walk", "data.rows=60", "data.window=1", "data.batch_size=10", "stop.epochs=9"
        )
    finally:
        signal.signal(signal.SIGINT, before)
        interrupts.clear()
    assert outcome.metrics["status"] == "stopped"
    assert outcome.metrics["epochs"] < 9
