"""What runs that are trained together are made of, against what a run by itself is made of."""

import sys

import pytest
import torch
from conftest import composed
from lightning.pytorch import Trainer

from steepest.lightning.datamodule import WindowDataModule
from steepest.evaluate.names import better
from steepest.nets.descents import KINDS
from steepest.sweep.batched import fits, parts
from steepest.sweep.batched.template import asked, best_checkpoint, is_known, template
from steepest.lightning.checkpoints import BestCheckpoint
from steepest.runs.config import check
from steepest.lightning.run import build_model

DATA = ["data=random_walk", "data.rows=120", "data.window=3"]
MODELS = {
    "linear": ["model.init_scale=2"],
    "mlp": ["model.hidden=[4,3]", "model.activation=relu", "model.loss=huber"],
    "linear_manual": ["trainer.gradient_clip_val=0.5"],
    "mlp_manual": ["model.hidden=[5]", "model.seed=3", "model.updates_per_step=2"],
}


def ground(*overrides):
    checked = check(composed(*DATA, *overrides))
    data = WindowDataModule(checked.groups["data"](), seed=0)
    data.setup()
    return checked, data


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_parameters_names_and_options_of_its_lightning_module(name):
    checked, data = ground(f"model={name}", *MODELS[name])
    mine, theirs = parts.model(checked, data.windows), build_model(checked, data)
    assert repr(mine.options) == repr(dict(theirs.hparams))
    assert theirs._hparams_name == "kwargs"
    ours, others = mine.state_dict(), theirs.state_dict()
    assert list(ours) == list(others)
    assert all(torch.equal(ours[key], others[key]) for key in others)
    assert type(mine.network) is type(theirs.network)
    assert mine.loss is theirs.loss


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=mlp_manual", "model.updates_per_step=0"],
        ["model=mlp", "model.hidden=[0]"],
        ["model.loss=cross_entropy"],
        ["optimizer.lr=0"],
        ["optimizer.weight_decay=-1"],
        ["optimizer=adam", "optimizer.betas=[2,0.9]"],
    ],
    ids=" ".join,
)
def test_what_a_run_by_itself_refuses_is_refused_in_the_same_words(overrides):
    checked, data = ground(*overrides)
    with pytest.raises(ValueError) as theirs:  # noqa: PT011
        build_model(checked, data)
    with pytest.raises(ValueError) as mine:  # noqa: PT011
        parts.descent(checked, parts.model(checked, data.windows))
    assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer=cpu"], ["trainer=cpu", "trainer.precision=64-true"], ["trainer=auto"], ["stop.updates=5"],
        ["trainer.devices=auto"], ["trainer.limit_val_batches=1.0"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_runs_are_placed_where_a_trainer_places_them(overrides):
    checked = check(composed(*overrides))
    trainer = checked.groups["trainer"](logger=False, callbacks=[])
    dtype = torch.float64 if trainer.precision == "64-true" else torch.float32
    assert parts.placement(checked) == (trainer.strategy.root_device, dtype)


@pytest.mark.parametrize(
    "override",
    ["trainer.max_epochs=-7", "trainer.max_steps=-7", "trainer.limit_val_batches=7.5", "trainer=gpu",
     "trainer.gradient_clip_algorithm=best"],
)  # fmt: skip
def test_what_a_trainer_has_to_say_of_its_options_is_said(override):
    if override == "trainer=gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    checked = check(composed(override))
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        checked.groups["trainer"](logger=False, callbacks=[])
    with pytest.raises(type(theirs.value)) as mine:
        parts.placement(checked)
    assert str(mine.value) == str(theirs.value)


def test_every_part_that_fits_is_known():
    assert {path for path in fits.CALLBACKS if path not in parts.WITHOUT_LIGHTNING} == set()
    assert {path for path in fits.RULES if path not in parts.WITHOUT_LIGHTNING} == {"steepest.lightning.stops.EarlyStop"}
    assert {f"{kind.__module__}.{kind.__qualname__}" for kind in KINDS} == set(fits.OPTIMIZERS)
    assert f"{Trainer.__module__}.{Trainer.__qualname__}" == fits.TRAINER


def test_the_template_is_what_the_installed_lightning_says():
    assert is_known(), "make it anew: python -m steepest.sweep.batched.template"
    assert template() == asked()


def test_another_version_of_lightning_is_asked(monkeypatch):
    known = template()["loops"]
    template.cache_clear()
    monkeypatch.setattr("steepest.sweep.batched.template.VERSION", "another")
    assert template()["version"] == "another"
    assert template()["loops"] == known
    template.cache_clear()


@pytest.mark.parametrize("objective", ["val/mse_scaled", "train/skill", "val/loss"])
def test_the_state_of_the_best_checkpoint_is_its_own(tmp_path, objective):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folder = tmp_path / "link" / "checkpoints"
    key, state = best_checkpoint(folder, objective)
    theirs = BestCheckpoint(folder, objective, better(objective))
    assert key == theirs.state_key
    assert repr(state) == repr(theirs.state_dict())


def test_an_optimizer_is_made_as_ever_where_nothing_is_compiled(monkeypatch):
    checked, data = ground("optimizer=adam")
    monkeypatch.delattr(torch.optim.Optimizer.add_param_group.__wrapped__, "__dynamo_disable", raising=False)
    with parts.nothing_compiled():
        monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # importing it fails
        optimizer, _ = parts.descent(checked, parts.model(checked, data.windows))
    assert not hasattr(torch.optim.Optimizer.add_param_group.__wrapped__, "__dynamo_disable")
    monkeypatch.undo()
    theirs = build_model(checked, data).configure_optimizers()
    assert optimizer.state_dict() == theirs.state_dict()
