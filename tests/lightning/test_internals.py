"""One test for each use of Lightning's private interfaces in `lightning/internals.py`.

A failure after an upgrade of Lightning names the function to change.
"""

import time
from datetime import timedelta

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint, Timer

from steepest import ManualPredictor, MLPPredictor, RandomWalk, WindowDataModule
from steepest.lightning import internals

pytestmark = [
    pytest.mark.filterwarnings("ignore:You defined a `validation_step`"),
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
]
OFF = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
BATCHES = 11  # of an epoch


def data() -> WindowDataModule:
    return WindowDataModule(RandomWalk(rows=250, window=5, split=[0.7, 0.15, 0.15], batch_size=16))


def fitted(model, *callbacks, **how) -> Trainer:
    trainer = Trainer(**OFF, callbacks=list(callbacks), **{"enable_checkpointing": False, "limit_val_batches": 0} | how)
    trainer.fit(model, datamodule=data())
    return trainer


def says(function: str) -> str:
    return f"Lightning has changed something that internals.{function} relies on: see its docstring and change it"


@pytest.mark.parametrize("updates", [7, BATCHES, BATCHES + 5, 3 * BATCHES])
def test_count_updates_counts_as_lightning_does(updates):
    states = [
        fitted(ManualPredictor(5, 1, engine=engine), max_epochs=-1, max_steps=updates).fit_loop.state_dict()
        for engine in ("kernel", "textbook")
    ]
    assert states[0] == states[1], says("count_updates")
    progress = states[0]["epoch_loop.manual_optimization.optim_step_progress"]
    assert progress["total"]["completed"] == updates, says("count_updates")


def test_is_last_batch_is_true_only_for_the_last_batch_of_an_epoch():
    found = []
    look = LambdaCallback(on_train_batch_end=lambda trainer, *_: found.append(internals.is_last_batch(trainer)))
    fitted(MLPPredictor(5, 1), look, max_epochs=2)
    assert found == ([False] * (BATCHES - 1) + [True]) * 2, says("is_last_batch")


@pytest.mark.parametrize("kind", [ManualPredictor, MLPPredictor])
@pytest.mark.parametrize("updates", [7, BATCHES + 5])
def test_loops_at_equals_the_state_that_lightning_saves(kind, updates, tmp_path):
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=updates, save_top_k=-1, filename="{step}")
    options = {"engine": "textbook"} if kind is ManualPredictor else {}
    fitted(kind(5, 1, **options), saved, enable_checkpointing=True, max_epochs=2)
    theirs = torch.load(tmp_path / f"step={updates}.ckpt", weights_only=True)["loops"]
    ours = internals.loops_at(Trainer(**OFF), updates, BATCHES)
    assert shape(ours) == shape(theirs), says("loops_at")
    both = [loops["fit_loop"] for loops in (ours, theirs)]
    counts = [fit["epoch_loop.batch_progress"]["current"]["ready"] for fit in both]
    assert counts == [updates % BATCHES] * 2, says("loops_at")
    assert [fit["epoch_progress"]["current"]["processed"] for fit in both] == [updates // BATCHES] * 2, says("loops_at")
    places = [fit["state_dict"]["combined_loader"][0]["position"] for fit in both]
    assert places == [updates % BATCHES] * 2, says("loops_at")


def shape(state):
    """The keys of nested dicts, without those that only one kind of optimization uses."""
    if isinstance(state, dict):
        return {key: shape(value) for key, value in state.items() if "optim" not in str(key) and key != "state_dict"}
    return type(state).__name__


@pytest.mark.parametrize("kind", [ManualPredictor, MLPPredictor])
@pytest.mark.parametrize("updates", [BATCHES, BATCHES + 5])
def test_a_checkpoint_without_loops_continues_at_its_update(kind, updates, tmp_path):
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=updates, save_top_k=-1, filename="{step}")
    fitted(kind(5, 1), saved, enable_checkpointing=True, max_epochs=2)
    path = tmp_path / f"step={updates}.ckpt"
    content = torch.load(path, weights_only=True)
    del content["loops"]
    torch.save(content, path)
    starts = []
    look = LambdaCallback(on_train_start=lambda trainer, module: starts.append(trainer.global_step))
    trainer = Trainer(**OFF, callbacks=[look], max_epochs=3, enable_checkpointing=False, limit_val_batches=0)
    trainer.fit(kind(5, 1), datamodule=data(), ckpt_path=path, weights_only=True)
    assert starts == [updates], says("loops_at")
    assert trainer.global_step == 3 * BATCHES, says("loops_at")


def test_name_hyperparameters_makes_checkpoints_load_without_arguments(tmp_path):
    trainer = fitted(MLPPredictor(5, 1, hidden=[3], activation="tanh"), max_steps=1)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    kept = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert kept["hparams_name"] == "kwargs", says("name_hyperparameters")
    assert kept["hyper_parameters"]["hidden"] == [3], says("name_hyperparameters")
    loaded = MLPPredictor.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    assert loaded.network.W1.shape == (3, 5), says("name_hyperparameters")


def test_updates_until_checkpoint_reads_the_period_of_lightnings_model_checkpoint(tmp_path):
    every = [ModelCheckpoint(tmp_path, every_n_train_steps=n, save_top_k=0) for n in (7, 5)]
    assert internals.updates_until_checkpoint(Trainer(**OFF, callbacks=every)) == 5, says("updates_until_checkpoint")
    ends = [ModelCheckpoint(tmp_path, every_n_epochs=1)]
    assert internals.updates_until_checkpoint(Trainer(**OFF, callbacks=ends)) is None, says("updates_until_checkpoint")


def test_out_of_time_reads_lightnings_timer():
    timer = Timer(timedelta(seconds=0.01))
    trainer = Trainer(**OFF, callbacks=[timer], enable_checkpointing=False)
    timer.on_train_start(trainer, MLPPredictor(5, 1))
    time.sleep(0.02)
    assert internals.out_of_time(trainer) == "max_time: 0.01 seconds have passed", says("out_of_time")
    assert internals.out_of_time(Trainer(**OFF, max_time="00:00:01:00")) is None, says("out_of_time")
    assert internals.out_of_time(Trainer(**OFF)) is None, says("out_of_time")


@pytest.mark.parametrize(("strategy", "elsewhere"), [("ddp_spawn", True), ("ddp_fork", True), ("ddp", False)])
def test_trains_elsewhere_is_true_for_strategies_whose_processes_return_only_weights(strategy, elsewhere):
    trainer = Trainer(**OFF, strategy=strategy, devices=2)
    assert internals.trains_elsewhere(trainer) == elsewhere, says("trains_elsewhere")


def test_overriding_finds_hooks_of_classes_and_of_lambda_callbacks():
    class Mine(Callback):
        def on_after_backward(self, trainer, pl_module):
            """Override the hook."""

    mine, told = Mine(), LambdaCallback(on_after_backward=lambda *_: None)
    other = LambdaCallback(on_train_end=lambda *_: None)
    trainer = Trainer(**OFF, callbacks=[mine, told, other, Timer()], enable_checkpointing=False)
    assert internals.overriding(trainer, "on_after_backward") == [mine, told], says("overriding")
