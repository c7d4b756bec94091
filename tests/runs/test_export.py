"""ONNX files, run by onnxruntime, predict what the run predicts."""

import sys

import numpy as np
import pandas as pd
import pytest

import steepest
from steepest.runs import export
from steepest.runs.export import export_onnx

onnxruntime = pytest.importorskip("onnxruntime")
KINDS = {
    "window": ("model=mlp_manual", "model.hidden=[4]", "data.window=5", "data.relative_to_last=true"),
    "returns": ("model=mlp", "model.hidden=[4]", "data.window=4", "data.transform=return", "data.horizon=3"),
    "log": (
        "model=linear",
        "data.window=4",
        "data.transform=log_return",
        "data.relative_to_last=true",
        "data.horizon=2",
    ),
    "directions": ("model=mlp", "data.target=direction", "model.loss=cross_entropy", "objective=val/cross_entropy"),
    "quantiles": ("model=mlp_manual", "model.hidden=[4]", "model.loss=quantile", "data.horizon=2", "data.window=5"),
}


@pytest.mark.parametrize("kind", ["window", *(pytest.param(k, marks=pytest.mark.slow) for k in list(KINDS)[1:])])
def test_the_file_predicts_as_the_run_does(train, kind):
    _, folder = train("data=random_walk", "data.rows=200", *KINDS[kind], "stop.epochs=1", "logger=none")
    run = steepest.load(folder)
    compared, worst = export_onnx(run, folder / "model.onnx")
    assert compared == len(run.predictions) / run.settings["horizon"]
    assert worst <= 1e-6
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    prices = run.frame()["value"].to_numpy()
    rows = session.get_inputs()[0].shape[1]
    ahead = session.run(None, {"rows": prices[None, -rows:, None], "series": np.zeros(1, np.int64)})[0]
    np.testing.assert_allclose(ahead[0], run.predict()["prediction"], rtol=1e-6)


@pytest.mark.slow
def test_several_series_have_their_own_scale(train, tmp_path):
    random, days = np.random.default_rng(0), pd.bdate_range("2020-01-01", periods=200)
    wide = pd.DataFrame(
        {"A": 10 + random.normal(size=200).cumsum(), "B": 5000 + random.normal(size=200).cumsum()}, index=days
    )
    wide.rename_axis("date").to_csv(tmp_path / "wide.csv")
    _, folder = train(
        "data=csv",
        f"data.path={tmp_path / 'wide.csv'}",
        "data.series=[A,B]",
        *KINDS["window"],
        "stop.epochs=1",
        "logger=none",
    )
    compared, _ = export_onnx(steepest.load(folder), folder / "model.onnx")
    assert compared == len(steepest.load(folder).predictions)


@pytest.mark.slow
def test_a_file_that_predicts_other_values_is_not_written(train, monkeypatch):
    _, folder = train("data=random_walk", "data.rows=200", "stop.epochs=1", "logger=none")
    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(ValueError, match="predictions differ"):
        export_onnx(steepest.load(folder), folder / "model.onnx")
    assert not (folder / "model.onnx").exists()


def test_without_the_extra_the_message_names_it(train, monkeypatch):
    _, folder = train("data=random_walk", "data.rows=200", "stop.epochs=1", "logger=none")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match="needs the extra onnx"):
        export_onnx(steepest.load(folder), folder / "model.onnx")
