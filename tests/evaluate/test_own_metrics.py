"""Metrics of the user's own, named in a config."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

import steepest

sys.path.insert(0, str(Path(__file__).parent))
WALK = ("data=random_walk", "data.rows=150", "data.horizon=2", "stop.epochs=3", "trust=[own_metrics]")


def metric(name):
    return f"+evaluation.metrics.mine._target_=own_metrics.{name}"


@pytest.mark.parametrize("model", ["linear_manual", "linear"])
def test_a_metric_of_the_users_is_scored_on_every_part_and_can_be_the_objective(train, model):
    outcome, folder = train(*WALK, f"model={model}", metric("Rmse"), "objective=val/mine")
    metrics = json.loads((folder / "metrics.json").read_text())
    for part in ("train", "val", "test"):
        assert metrics[part]["mine"] == pytest.approx(metrics[part]["rmse"], rel=1e-12)
        for scores in metrics["baselines"].values():
            assert scores[part]["mine"] == pytest.approx(scores[part]["rmse"], rel=1e-12)
    assert metrics["objective"]["name"] == "val/mine"
    assert metrics["objective"]["value"] == pytest.approx(metrics["val"]["rmse"], rel=1e-6)
    run = steepest.load(folder, trust=["own_metrics"])
    assert run.history["val/mine"].dropna().to_numpy() == pytest.approx(run.history["val/rmse"].dropna().to_numpy())
    assert run.evaluate().model["test"]["mine"] == outcome.evaluation.model["test"]["mine"]


def test_the_last_price_of_a_metric_is_that_of_the_predictions_table(train):
    _, folder = train(*WALK, "data.horizon=1", "model=linear_manual", metric("Hits"))
    table = pd.read_csv(folder / "predictions.csv")
    price = steepest.RandomWalk(rows=150).read().loc["random_walk"]["value"]
    days = pd.to_datetime(table["date"])
    last = price.to_numpy()[price.index.get_indexer(days) - 1]
    hits = (table.iloc[:, -2] > last) == (table.iloc[:, -1] > last)
    assert json.loads((folder / "metrics.json").read_text())["test"]["mine"] == pytest.approx(-hits.mean())


@pytest.mark.parametrize(("name", "best"), [("High", max), ("Low", min)])
def test_a_metric_says_that_higher_is_better(train, name, best):
    _, folder = train(*WALK, "model=linear_manual", "stop.epochs=6", metric(name), "objective=val/mine")
    found = json.loads((folder / "metrics.json").read_text())["objective"]
    curve = steepest.load(folder, trust=["own_metrics"]).history["val/mine"].dropna()
    assert curve.nunique() == 6, "the epochs differ"
    assert found["value"] == pytest.approx(best(curve), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "best"), [("High", max), ("Low", min)])
def test_a_sweep_and_a_study_are_ranked_as_the_metric_says(tmp_path, monkeypatch, name, best):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    words = [*WALK, "data.window=1", "model=linear_manual", metric(name), "objective=val/mine"]
    swept = steepest.sweep({"optimizer.lr": [0.01, 0.1, 0.001]}, words, folder=tmp_path / "sweep")
    assert swept.best.metrics["objective"]["value"] == pytest.approx(best(swept.results["objective"]))
    tuned = ["hydra/sweeper=tune", "hydra.sweeper.n_trials=3", "optimizer.lr=interval(0.001,0.1)", *words]
    command = [sys.executable, str(ROOT / "train.py"), "-m", *tuned, f"hydra.sweep.dir={tmp_path / 'study'}"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    trial = json.loads((tmp_path / "study" / "study.json").read_text())["best"]
    assert trial["value"] == pytest.approx(best(pd.read_csv(tmp_path / "study" / "results.csv")["objective"]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((metric("Summed"),), r"evaluation.metrics.mine: terms returns the shape \(\); it must be \(\d+, 2\)"),
        ((metric("Broken"),), "evaluation.metrics.mine fails: KeyError: 'weights'"),
        (("+evaluation.metrics.mae._target_=own_metrics.Rmse",), "evaluation.metrics.mae is the name of another score"),
        ((metric("Rmse"), "objective=val/mime"), "use one of .*val/mine"),
        (
            (metric("Rmse"), "data.target=direction", "model.loss=cross_entropy", "objective=val/cross_entropy"),
            "these data are classes",
        ),
    ],
)
def test_a_wrong_metric_has_a_message(train, overrides, message):
    with pytest.raises(ValueError, match=message):
        train(*WALK, "model=linear_manual", *overrides)
