"""Metrics of the user's own, named in a config."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

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
