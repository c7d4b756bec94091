"""Baselines of the user's own, named in a config."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import composed

import steepest
from steepest.runs.config import check
from steepest.runs.lookahead.cases import LookAhead
from steepest.runs.lookahead.training import fit_with_kernel

sys.path.insert(0, str(Path(__file__).parent))
WALK = ("data=random_walk", "data.rows=120", "model=linear_manual", "stop.epochs=1", "trust=[own_baselines]")


def baseline(name, *more):
    return (*WALK, f"+evaluation.baselines.mine._target_=own_baselines.{name}", *more)


def test_a_baseline_of_the_users_that_copies_a_shipped_one_has_its_scores(train):
    outcome, folder = train(*baseline("Drift", "data.horizon=2"))
    metrics = json.loads((folder / "metrics.json").read_text())
    for part in ("train", "val", "test"):
        assert metrics["baselines"]["mine"][part]["rmse"] == pytest.approx(
            metrics["baselines"]["drift"][part]["rmse"], rel=1e-9
        )
    again = steepest.load(folder, trust=["own_baselines"]).evaluate()
    assert again.baselines["mine"] == outcome.evaluation.baselines["mine"]


def test_a_baseline_without_a_prediction_is_refused(train):
    with pytest.raises(ValueError, match=r"baselines.mine has no finite prediction from 4 rows, first random_walk on"):
        train(*baseline("Rolling", "+evaluation.baselines.mine.rows=5"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (baseline("Flat"), r"evaluation.baselines.mine: predict returns the shape \(3,\); it must be \(120, 1\)"),
        (baseline("Broken"), r"evaluation.baselines.mine fails on random_walk: ZeroDivisionError"),
        (baseline("Nothing"), r"_target_ 'own_baselines.Nothing' does not exist"),
        (baseline("NotOne"), r"evaluation.baselines.mine fails on random_walk: AttributeError"),
        ((*WALK, "+evaluation.baselines.drift._target_=own_baselines.Drift"), "is the name of another baseline"),
        (baseline("Drift", "data.target=direction", "model.loss=cross_entropy", "objective=val/cross_entropy"), "directions"),
    ],
)  # fmt: skip
def test_a_wrong_baseline_has_a_message(train, overrides, message):
    with pytest.raises(ValueError, match=message):
        train(*overrides)


def test_the_audit_finds_a_baseline_that_looks_ahead():
    found = {}
    for name in ("Drift", "Tomorrow"):
        audit = LookAhead(check(composed(*baseline(name))), fit_with_kernel, 1, 0)
        found[name] = audit.run()
    assert found["Drift"].clean
    assert not found["Tomorrow"].clean
    differences = [case.difference.what for case in found["Tomorrow"].cases if case.difference]
    assert differences
    assert all("mine" in what for what in differences)


def test_a_fit_gets_only_the_training_rows(train):
    import own_baselines

    own_baselines.SEEN.clear()
    train(*baseline("Drift"))
    assert own_baselines.SEEN
    assert set(own_baselines.SEEN) == {84}  # 70 % of 120
    assert np.isfinite(own_baselines.SEEN).all()
