"""Custom models: any LightningModule that follows the protocol trains, and others are refused in words."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import steepest
from steepest import check_model
from steepest.lightning.sequences import ConvolutionNet, Recurrent
from steepest.nets.functional import evaluating, gradients_at, outputs_at
from steepest.nets.losses import LOSSES
from steepest.runs.errors import exit_code, explain

sys.path.insert(0, str(Path(__file__).parent))
import own_models

WALK = ("data=random_walk", "data.rows=200", "data.window=6", "stop.epochs=2")
PLAIN = ("~model.loss", "~model.seed", "~model.init_scale", "trust=[own_models]")


def own(name, *more):
    return (*WALK, "model=linear", *PLAIN, f"model._target_=own_models.{name}", *more)


BROKEN = {
    "NotLightning": "derive it from lightning.pytorch.LightningModule",
    "NoStep": "it has no training_step.* it has no forward",
    "Flat": r"forward\(x\) returns the shape \(\d,\) for \(\d, \d+\); it must be \(\d, 1\)",
    "Pair": "forward.x. returns a tuple, not a tensor",
    "Random": "gives other numbers when it is called again",
    "Mixing": "a sample's prediction depends on the other samples",
    "Explodes": "RuntimeError: no network today",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_breaks_the_protocol_is_refused_in_words(train, name):
    with pytest.raises(ValueError, match=f"(?s){BROKEN[name]}"):
        train(*own(name))


@pytest.mark.parametrize("name", BROKEN | {"Silent": "returns no loss", "Unused": "depend on other", "Nan": "nan"})
def test_check_model_says_what_is_missing(name):
    message = (
        BROKEN | {"Silent": "returns no loss", "Unused": "does not depend on other.weight", "Nan": "the loss nan"}
    )[name]
    with pytest.raises(ValueError, match=f"(?s){name} .*{message}"):
        check_model(getattr(own_models, name))


@pytest.mark.parametrize("model", [own_models.Tutorial, own_models.Short, own_models.Manual, Recurrent, ConvolutionNet])
def test_check_model_accepts_a_model_that_follows_the_protocol(model):
    check_model(model, inputs=12, outputs=3, window=6)


def test_a_module_of_ones_own_trains_is_resumed_exactly_and_predicts(train):
    straight, _ = train(*own("Tutorial", "stop.epochs=4"), name="straight")
    _, folder = train(*own("Tutorial", "evaluation.predictions=all"), name="resumed")
    resumed, _ = train("stop.epochs=4", "trust=[own_models]", name="resumed", resume=True)
    assert resumed.metrics["test"] == straight.metrics["test"]
    with pytest.raises(ValueError, match="'own_models.Tutorial' is not approved"):
        steepest.load(folder)
    run = steepest.load(folder, trust=["own_models"])
    pd.testing.assert_frame_equal(
        run.evaluate().predictions, run.predictions, check_index_type=False, check_dtype=False, rtol=1e-6
    )
    assert len(run.predict()) == 1
    loaded = own_models.Tutorial.load_from_checkpoint(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert torch.equal(loaded.net[0].weight, run.network.net[0].weight)
    facts = json.loads((folder / "run.json").read_text())
    assert facts["notes"] == [
        "Tutorial.configure_optimizers builds the optimizer: optimizer= and scheduler= have no effect"
    ]


def test_an_optimizer_that_the_model_would_ignore_is_refused(train):
    with pytest.raises(ValueError, match="optimizer=adam: Tutorial.configure_optimizers builds its own"):
        train(*own("Tutorial", "optimizer=adam"))


@pytest.mark.slow
def test_manual_optimization_gives_the_numbers_of_automatic_optimization(train):
    by_hand, _ = train(*own("Manual"), name="manual")
    by_lightning, _ = train(*own("Short"), name="automatic")
    assert by_hand.metrics["test"] == by_lightning.metrics["test"]


def test_an_instrument_that_fails_on_a_users_model_is_skipped_and_recorded(train, caplog):
    outcome, _ = train(*own("Picky", "callbacks=[default,curvature]"))
    assert outcome.metrics["status"] == "finished"
    assert "only single precision" in outcome.metrics["skipped"]["curvature"]
    assert sum("callbacks.curvature cannot measure" in line for line in caplog.messages) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_step_without_a_loss_is_refused_and_a_loss_of_nan_is_a_failed_run(train):
    with pytest.raises(ValueError, match="training_step gave no loss"):
        train(*own("Silent"), name="silent")
    outcome, _ = train(*own("Nan"), name="nan")
    assert outcome.metrics["status"] == "failed"
    assert "the training loss is nan at update 1" in outcome.metrics["stop_reason"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gru", "lstm", "tcn"])
def test_the_shipped_sequence_models_train_and_predict(train, model):
    outcome, folder = train(
        *WALK,
        f"model={model}",
        "data.horizon=2",
        "callbacks=[default,curvature,steps,noise]",
        "evaluation.predictions=all",
    )
    assert outcome.metrics["status"] == "finished"
    assert "skipped" not in outcome.metrics
    run = steepest.load(folder)
    pd.testing.assert_frame_equal(
        run.evaluate().predictions, run.predictions, check_index_type=False, check_dtype=False, rtol=1e-6
    )
    assert len(run.predict()) == 2


@pytest.mark.parametrize("kind", [Recurrent, ConvolutionNet])
def test_a_sequence_model_reads_rows_from_the_oldest_to_the_newest(kind):
    torch.manual_seed(0)
    net = kind(inputs=12, outputs=1, window=6)
    x_ND = torch.randn(2, 12, requires_grad=True)
    assert torch.equal(net.rows(x_ND)[0, 1], x_ND[0, 2:4])
    if kind is ConvolutionNet:  # causal: the channels of a row do not depend on later rows
        rows_NCL = net.blocks[2](net.lift(net.rows(x_ND).mT))
        (slope_ND,) = torch.autograd.grad(rows_NCL[:, :, 2].sum(), x_ND)
        assert slope_ND[:, :6].abs().sum() > 0
        assert slope_ND[:, 6:].abs().sum() == 0


def test_functions_of_the_parameters_of_a_recurrent_net_are_those_of_a_net_with_these_parameters():
    torch.manual_seed(0)
    net, other = (Recurrent(inputs=6, outputs=1, window=6) for _ in range(2))
    x_ND, y_NH, mse = torch.randn(5, 6), torch.randn(5, 1), LOSSES["mse"]
    parameters = [p.detach().clone() for p in other.parameters()]
    assert torch.equal(outputs_at(net, parameters, x_ND), other(x_ND))
    mse(other(x_ND), y_NH).backward()
    for found, parameter in zip(gradients_at(net, parameters, mse, x_ND, y_NH), other.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad)


def test_evaluating_gives_every_part_its_own_mode_back():
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2))
    net[0].eval()
    with evaluating(net):
        assert not net.training
    assert (net.training, net[0].training, net[1].training) == (True, False, True)


def test_an_error_in_the_users_own_step_gives_one_message_with_the_line_and_a_failed_record(train, tmp_path):
    with pytest.raises(RuntimeError, match="a fault of the user's own") as caught:
        train(*own("Faulty"))
    lines = Path(own_models.__file__).read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(lines) if "a fault of the user's own" in text)
    said = explain(caught.value)
    assert said.startswith("own_models.Faulty.training_step failed: RuntimeError: a fault of the user's own (")
    assert said.endswith(f"own_models.py:{line})")
    assert exit_code(caught.value) == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


@pytest.mark.slow
def test_dropout_is_no_look_ahead():
    done = subprocess.run(
        ["steepest", "audit", *WALK, "model=mlp", "model.dropout=0.3", "--days", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no look-ahead" in done.stdout


def test_a_module_with_sizes_of_its_own_loads_too(train):
    _, folder = train(*own("Fixed"))
    assert len(steepest.load(folder, trust=["own_models"]).predict()) == 1


def test_several_optimizers_need_manual_optimization(train):
    with pytest.raises(ValueError, match="model=Two: several optimizers need manual optimization"):
        train(*own("Two"))


def test_parameters_of_several_precisions_become_one_and_the_log_says_so(train, caplog):
    _, folder = train(*own("Mixed"))
    assert any("parameters of several precisions: all become torch.float32" in line for line in caplog.messages)
    kept = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert {value.dtype for value in kept.values()} == {torch.float32}
