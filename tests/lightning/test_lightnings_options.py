"""Lightning's own callbacks and Trainer options: each works and is recorded truly, or is refused with the reason."""

import inspect

import pytest
import torch
from conftest import ROOT, composed, read_scalars
from lightning.pytorch import Trainer
from omegaconf import OmegaConf

from steepest.runs.config import GIVEN, check
from steepest.runs.specs import NOT_USED

WALK = ("data=random_walk", "data.rows=200", "data.window=5", "stop.epochs=4", "model=mlp")
CALLBACKS = "lightning.pytorch.callbacks"


def test_the_config_has_every_option_of_the_trainer_with_lightnings_default():
    listed = OmegaConf.load(ROOT / "conf" / "trainer" / "base" / "lightning.yaml")
    takes = {n: p.default for n, p in inspect.signature(Trainer).parameters.items() if n not in GIVEN["trainer"]}
    assert set(takes) == {key for key in listed if key != "_target_"}
    text = (ROOT / "conf" / "trainer" / "base" / "lightning.yaml").read_text().split("# The other options")[1]
    for name in (line.split(":")[0] for line in text.splitlines()[1:]):
        assert listed[name] == takes[name], name


@pytest.mark.parametrize("key", NOT_USED)
def test_an_option_without_use_is_refused_with_the_reason(key):
    value = {"accumulate_grad_batches": 2, "model_registry": "x", "barebones": True}.get(key, 1)
    with pytest.raises(ValueError, match=f"trainer.{key}={value!r} has no use here: "):
        check(composed(f"trainer.{key}={value}"))


@pytest.mark.slow
def test_a_checkpoint_of_lightning_is_the_epoch_with_the_best_score(train):
    one = f"+callbacks.mine={{_target_: {CALLBACKS}.ModelCheckpoint, monitor: val/rmse, filename: mine}}"
    _, folder = train(*WALK, one)
    curve = read_scalars(folder)["val/rmse"]
    kept = torch.load(folder / "checkpoints" / "mine.ckpt", weights_only=True)
    assert kept["global_step"] == curve.idxmin()


def test_early_stopping_may_watch_any_score(train):
    stop = f"+callbacks.stop={{_target_: {CALLBACKS}.EarlyStopping, monitor: val/mae, min_delta: 1000, patience: 1}}"
    outcome, _ = train(*WALK, stop)
    assert (outcome.metrics["epochs"], outcome.metrics["stop_reason"]) == (2, "callback EarlyStopping ended it")


@pytest.mark.parametrize("name", ["EarlyStopping", "ModelCheckpoint"])
def test_a_callback_that_watches_an_unknown_number_is_refused_and_leaves_no_checkpoint(train, tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} monitors val/nope, which this run does not log: use one of "):
        train(*WALK, f"+callbacks.x={{_target_: {CALLBACKS}.{name}, monitor: val/nope}}")
    assert not (tmp_path / "run" / "checkpoints").exists(), "so the command removes the folder"


@pytest.mark.slow
def test_averaged_weights_are_scored_and_kept_if_they_are_best(train):
    average = f"+callbacks.swa={{_target_: {CALLBACKS}.StochasticWeightAveraging, swa_lrs: 0.01, swa_epoch_start: 2}}"
    outcome, folder = train(*WALK, average, "objective=train/mse_scaled")
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    history = last["callbacks"]["steepest"]["history"]
    assert [row["updates"] for row in history[-2:]] == [outcome.metrics["updates"]] * 2
    assert history[-1]["train/mse_scaled"] != history[-2]["train/mse_scaled"]
    assert outcome.metrics["epochs"] == 4


@pytest.mark.parametrize("key", ["dirpath", "filename"])
def test_a_checkpoint_of_a_file_stays_below_the_folder(key):
    config = composed(f"+callbacks.x={{_target_: {CALLBACKS}.ModelCheckpoint, {key}: ../../x}}")
    with pytest.raises(ValueError, match=rf"callbacks.x.{key}=../../x must be a relative path"):
        check(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("trainer.max_steps=5", "trainer.max_steps: 5 updates done"),
        ("trainer.profiler=simple", "epochs: 4 epochs done"),
    ],
)
def test_an_option_works_and_the_record_says_so(train, option, reason):
    outcome, _ = train(*WALK, option)
    assert outcome.metrics["stop_reason"] == reason
