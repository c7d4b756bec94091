"""The defaults of data.window and data.relative_to_last, which depend on the model and on a sweep."""

import json
import os
import shlex

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import NO_PICTURES
from omegaconf import OmegaConf

from steepest.data.preparation import series_windows
from steepest.data.sources import PriceFile, RandomWalk
from steepest.evaluate.evaluation import evaluate
from steepest.runs.defaults import as_single_run, same_days
from steepest.runs.jobs import SWEEP

LINEAR = ("model=linear", "model=linear_manual", "model.hidden=[]")  # the last one after model=mlp


@pytest.fixture
def inputs(plain):
    """`inputs(*overrides)`: the resolved (window, relative_to_last)."""

    def resolved(*overrides):
        data = plain(*overrides)["data"]
        return data["window"], data["relative_to_last"]

    return resolved


@pytest.mark.parametrize("model", LINEAR)
def test_a_single_run_of_a_linear_model_is_the_line_on_todays_price(inputs, model):
    assert inputs("model=mlp", model) == (1, False)


@pytest.mark.parametrize("model", ["model=mlp", "model=mlp_manual"])
def test_a_net_gets_28_days_relative_to_the_last(inputs, model):
    assert inputs(model) == (28, True)
    assert inputs(model, "data.transform=log_return") == (28, False), "returns are relative to the day before"


@pytest.mark.parametrize("model", LINEAR)
def test_every_job_of_a_sweep_has_the_defaults_of_a_net(inputs, monkeypatch, model):
    monkeypatch.setenv(SWEEP, str(os.getpid()))
    assert inputs("model=mlp", model) == (28, True)


def test_an_old_environment_variable_of_a_sweep_does_not_make_a_run_a_job(inputs, monkeypatch):
    monkeypatch.setenv(SWEEP, "1")
    assert inputs("model=linear") == (1, False)


def test_a_linear_model_is_recognised_by_each_of_its_import_paths(inputs):
    for path in ("steepest.lightning.predictors.LinearPredictor", "steepest.LinearPredictor"):
        assert inputs("model=linear", f"model._target_={path}") == (1, False)
        assert inputs("model=mlp", f"model._target_={path}", "~model.hidden") == (1, False)


@pytest.mark.parametrize("model", ["model=linear", "model=mlp"])
@pytest.mark.parametrize("sweep", [False, True])
def test_a_value_that_the_user_sets_overrides_the_default(inputs, monkeypatch, model, sweep):
    if sweep:
        monkeypatch.setenv(SWEEP, str(os.getpid()))
    assert inputs(model, "data.window=3", "data.relative_to_last=false") == (3, False)
    assert inputs(model, "data.window=1", "data.relative_to_last=true") == (1, True)


def test_the_summary_names_the_features(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"date": pd.bdate_range("2020-01-01", periods=300), "price": random.normal(100, 1, 300)})
    frame.assign(oil=random.normal(50, 1, 300), gas=1.0 * np.arange(300)).to_csv(tmp_path / "p.csv", index=False)
    source = PriceFile(path=str(tmp_path / "p.csv"), value="price", features=["oil", "gas"], window=3)
    windows = series_windows(source.read(), source, "test").to("cpu", torch.float64)
    inputs = evaluate(torch.nn.Linear(windows.inputs, 1).double(), windows).inputs
    assert inputs.startswith("Inputs: the last 3 prices, and oil and gas of the same days (data.window=3")


@pytest.mark.parametrize(
    ("overrides", "added"),
    [
        (["data.window=1,7,28"], "data.longest_window=28"),
        (["data.window=range(2,9,3)"], "data.longest_window=8"),
        (["data.window=interval(1,40)"], "data.longest_window=40"),
        (["data.window=1,7", "data.longest_window=9"], None),
        (["data.window=7", "optimizer.lr=0.1,0.2"], None),
    ],
)
def test_jobs_with_different_windows_are_scored_on_the_same_days(overrides, added):
    config = OmegaConf.create({"hydra": {"overrides": {"task": overrides}}, "data": {"longest_window": None}})
    assert same_days(config) == added
    as_params = dict(override.split("=", 1) for override in overrides)
    config = OmegaConf.create({"hydra": {"overrides": {"task": []}, "sweeper": {"params": as_params}}})
    assert same_days(config) == added


@pytest.mark.slow
def test_the_longest_window_is_part_of_every_job_and_of_the_winners_command(tmp_path, command):
    answer = command(
        "-m", "model=mlp_manual", "data.window=2,5", "hydra/launcher=threads", "stop.epochs=1", NO_PICTURES,
        "data=random_walk", "data.rows=300", f"hydra.sweep.dir={tmp_path}/s",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    jobs = [yaml.safe_load((tmp_path / f"s/{job}/config.yaml").read_text())["data"] for job in range(2)]
    assert [(data["window"], data["longest_window"]) for data in jobs] == [(2, 5), (5, 5)]
    again = next(line for line in answer.stdout.splitlines() if line.startswith("To run the best job again: "))
    assert "data.longest_window=5" in again


@pytest.mark.slow
def test_each_transform_of_a_sweep_has_its_own_default(tmp_path, command):
    answer = command(
        "-m", "model=mlp_manual", "data.transform=return,level", "hydra/launcher=threads", "stop.epochs=1", NO_PICTURES,
        f"hydra.sweep.dir={tmp_path}/s",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "not run in a thread" not in answer.stderr + answer.stdout
    jobs = [yaml.safe_load((tmp_path / f"s/{job}/config.yaml").read_text())["data"] for job in range(2)]
    assert [data["relative_to_last"] for data in jobs] == [False, True]


def test_the_command_of_a_job_sets_values_that_differ_from_the_defaults_of_a_single_run(plain):
    config = plain("model=linear", "data.window=28", "data.relative_to_last=true")
    assert as_single_run(["model=linear"], config) == ["model=linear", "data.window=28", "data.relative_to_last=true"]
    assert as_single_run(["data.window=28"], config) == ["data.window=28", "data.relative_to_last=true"]
    assert as_single_run(["model=mlp"], plain("model=mlp")) == ["model=mlp"]
    assert as_single_run(["data=line"], plain("data=line")) == ["data=line"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["threads", "basic", "processes"])
def test_running_the_winner_of_a_sweep_again_gives_the_same_scores(command, tmp_path, launcher):
    folder = tmp_path / "s"
    answer = command(
        "-m", "model=linear_manual", "optimizer.lr=0.01,0.02", "stop.epochs=1", NO_PICTURES, f"hydra.sweep.dir={folder}",
        f"hydra/launcher={launcher}",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "not run in a thread" not in answer.stderr + answer.stdout
    jobs = [yaml.safe_load((folder / f"{job}/config.yaml").read_text())["data"] for job in range(2)]
    assert {(data["window"], data["relative_to_last"]) for data in jobs} == {(28, True)}
    (again,) = (line for line in answer.stdout.splitlines() if line.startswith("To run the best job again: "))
    words = shlex.split(again.removeprefix("To run the best job again: "))
    assert words[:2] == ["python", "train.py"]
    alone = command(*words[2:], f"hydra.run.dir={tmp_path}/alone")
    assert alone.returncode == 0, alone.stderr
    rate = next(word for word in words if word.startswith("optimizer.lr"))
    (best,) = (f for f in folder.glob("*/job.json") if rate in json.loads(f.read_text())["overrides"])
    found, expected = (json.loads((f / "metrics.json").read_text()) for f in (tmp_path / "alone", best.parent))
    assert {k: v for k, v in found.items() if k != "seconds"} == {k: v for k, v in expected.items() if k != "seconds"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": 28, "relative_to_last": True}, "the last 28 prices, each minus today's price"),
        ({"window": 1, "relative_to_last": False}, "today's price"),
        ({"window": 1, "relative_to_last": True}, "today's price minus itself, which is 0"),
        ({"window": 5, "relative_to_last": False, "transform": "return"}, "the last 5 returns"),
    ],
)
def test_the_summary_names_the_inputs(options, sentence):
    source = RandomWalk(rows=300, **options)
    windows = series_windows(source.read(), source, "test").to("cpu", torch.float64)
    keys = f"data.window={options['window']}, data.relative_to_last={str(options['relative_to_last']).lower()}"
    assert evaluate(torch.nn.Linear(options["window"], 1).double(), windows).inputs == f"Inputs: {sentence} ({keys})."
