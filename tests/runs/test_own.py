"""Parts of the user's own, named in a config."""

import json
import logging
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import composed
from torch import nn

import steepest
from steepest.lightning.gradcheck import compare_gradients
from steepest.nets.networks import MLP
from steepest.nets.regularised import RegularisedMLP
from steepest.runs import own_code
from steepest.runs.config import check
from steepest.runs.errors import exit_code, explain
from steepest.runs.trusted import packages_in

sys.path.insert(0, str(Path(__file__).parent))
import own_parts

WALK = ("data=random_walk", "data.rows=200", "data.window=6", "stop.epochs=2")
OWN = ("model.loss=own_parts.loss", "model.activation=own_parts.softsign", "trust=[own_parts]")


def test_a_loss_and_an_activation_of_ones_own_train_by_the_textbook_as_by_autograd_and_load(train):
    found = {}
    for model in ("mlp_manual", "mlp"):
        outcome, folder = train(*WALK, f"model={model}", *OWN, "trainer.precision=64-true", name=model)
        found[model] = outcome.metrics["test"]["rmse"]
    assert found["mlp"] == pytest.approx(found["mlp_manual"], rel=1e-12)
    assert json.loads((folder.parent / "mlp_manual" / "run.json").read_text())["engine"] == "textbook"
    with pytest.raises(
        ValueError, match=r"model.loss=own_parts.loss is in a package that is not trusted: .* trust=\[own_parts\]"
    ):
        steepest.load(folder)
    assert len(steepest.load(folder, trust=["own_parts"]).predict()) == 1


@pytest.mark.parametrize("loss", ["loss", "wrong"])
def test_gradcheck_finds_a_wrong_backward_of_ones_own_loss(loss, monkeypatch):
    logger = logging.getLogger("steepest")
    monkeypatch.setattr(logger, "setLevel", lambda level: None)  # the command's own level would stay for other tests
    overrides = [*WALK, "model=mlp_manual", "model.hidden=[4]", *OWN, f"model.loss=own_parts.{loss}"]
    rows, bound = compare_gradients(composed(*overrides), overrides, 0, False)
    faults = [row.parameter for row in rows if row.fault(bound)]
    assert faults == ([] if loss == "loss" else ["W1", "b1", "W2", "b2"])
    assert all(row.differences is not None for row in rows)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.loss=own_parts.one_number", r"must return one mean for each of the leading dimensions"),
        ("model.loss=own_parts.softsign", "is a Activation, not a steepest.Loss"),
        ("model.activation=own_parts.loss", "is a Loss, not a steepest.Activation"),
        ("model.loss=own_parts.none", "model.loss=own_parts.none does not exist"),
        ("model.loss=mes", "or the dotted name of your own"),
        ("model.dropout=1", "model.dropout=1 should be less than 1"),
    ],
)
def test_a_wrong_part_of_ones_own_has_a_message(train, override, message):
    with pytest.raises(ValueError, match=message):
        train(*WALK, "model=mlp", "trust=[own_parts]", override)


@pytest.mark.slow
def test_dropout_trains_is_resumed_exactly_and_predicts_with_all_units(train):
    net = ("model=mlp", "model.dropout=0.3", "model.weight_norm=true", "evaluation.predictions=all")
    straight, _ = train(*WALK, *net, "stop.epochs=4", name="straight")
    train(*WALK, *net, name="resumed")
    resumed, folder = train("stop.epochs=4", name="resumed", resume=True)
    assert resumed.metrics["test"] == straight.metrics["test"]
    run = steepest.load(folder)
    pd.testing.assert_frame_equal(
        run.evaluate().predictions, run.predictions, check_dtype=False, check_index_type=False, rtol=1e-6
    )


def test_a_regularised_net_in_evaluation_is_the_net_itself_and_in_training_torchs_dropout():
    sizes = (3, [5, 4], 2, "tanh", 1)
    x_ND = torch.randn(7, 3)
    plain = MLP(*sizes)
    for normed in (False, True):
        torch.testing.assert_close(RegularisedMLP(MLP(*sizes), 0.5, normed=normed).eval()(x_ND), plain(x_ND))
    torch.manual_seed(0)
    found = RegularisedMLP(MLP(*sizes), 0.5)(x_ND)
    torch.manual_seed(0)
    a = nn.functional.dropout(torch.tanh(x_ND @ plain.W1.T + plain.b1), 0.5)
    a = nn.functional.dropout(torch.tanh(a @ plain.W2.T + plain.b2), 0.5)
    torch.testing.assert_close(found, a @ plain.W3.T + plain.b3)


def test_a_stop_rule_of_the_users_ends_a_run_and_a_resumed_run_does_not_continue(train):
    rule = ("stop._target_=own_parts.AfterTwo", "trust=[own_parts]")
    outcome, _ = train(*WALK, "model=linear_manual", *rule, "stop.epochs=9")
    assert (outcome.metrics["epochs"], outcome.metrics["stop_reason"]) == (2, "stop rule: two epochs are enough")
    resumed, _ = train("stop.epochs=20", "trust=[own_parts]", resume=True)
    assert resumed.metrics["epochs"] == 2


def test_an_optimizer_that_does_not_call_the_closure_has_a_message(train):
    with pytest.raises(Exception, match="closure") as raised:  # an exception of Lightning's
        train(*WALK, "model=linear", "optimizer._target_=own_parts.NoClosure", "trust=[own_parts]")
    assert str(explain(raised.value)).startswith("optimizer: its step(closure) does not call the closure")


def test_a_replaced_class_leaves_out_the_keys_of_the_choice_that_it_does_not_take():
    typed = ["optimizer._target_=own_parts.NoClosure", "trust=[own_parts]"]
    checked = check(composed(*typed), typed=typed)
    assert checked.plain["optimizer"].keys() == {"_target_", "_partial_", "lr"}
    with pytest.raises(ValueError, match=r"unknown key 'optimizer.weight_decay'. The keys are lr"):
        check(composed(*typed, "optimizer.weight_decay=0.1"), typed=[*typed, "optimizer.weight_decay=0.1"])
    with pytest.raises(ValueError, match="unknown key 'optimizer.weight_decay'"):  # from a file, nothing is left out
        check(composed(*typed))


def test_the_packages_of_a_folder_are_those_that_an_import_would_find_there(tmp_path):
    for name in ("mine_here.py", "setup.py", "json.py", "torch/__init__.py", "more/__init__.py", "not-a-name.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert packages_in(tmp_path) == ["mine_here", "more"]


@pytest.mark.parametrize(
    ("override", "function", "said"),
    [
        (
            "+callbacks.mine._target_=own_parts.FailingInstrument",
            "FailingInstrument.epoch",
            "KeyError: 'no such score'",
        ),
        (
            "+callbacks.mine._target_=own_parts.FailingCallback",
            "divided_by_zero",
            "ZeroDivisionError: division by zero",
        ),
        ("data._target_=own_parts.FailingData", "FailingData.read", "AttributeError: 'int' object has no attribute"),
    ],
)
def test_an_error_in_a_part_of_ones_own_names_the_part_and_the_line(train, override, function, said):
    with pytest.raises(Exception, match=said.split(": ")[1]) as raised:
        train(*WALK, "model=linear_manual", "trust=[own_parts]", override)
    message = explain(raised.value)
    assert message.startswith(f"own_parts.{function} failed: {said}")
    assert re.search(r"\(\S*own_parts\.py:\d+\)$", message)
    assert exit_code(raised.value) == 1


def test_code_of_ones_own_refuses_an_option_with_a_value_error(monkeypatch):
    monkeypatch.setattr(own_code, "imported", {"own_parts"})
    with pytest.raises(ValueError, match="too large") as raised:
        own_parts.refuse("size=9")
    assert explain(raised.value).startswith("own_parts.refuse: ValueError: size=9 is too large (")
    assert exit_code(raised.value) == 2
    with pytest.raises(ValueError, match="rows") as raised:
        own_parts.read_wrong()
    assert explain(raised.value) == str(raised.value), "a message of this package stays as it is"
