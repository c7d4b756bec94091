"""model=dlinear, nlinear and rlinear through `train.py`: what works, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression

import steepest
from steepest.runs.checkpoints import save

WALK = ("data=random_walk", "data.rows=300", "data.window=6", "stop.epochs=2", "optimizer=adam")
KINDS = {
    "dlinear": ("model=dlinear", "model.trend=3"),
    "rlinear": ("model=rlinear", "data.horizon=3"),
    "quantiles": ("model=nlinear", "model.loss=quantile", "objective=val/loss"),
    "directions": (
        "model=rlinear", "model.loss=cross_entropy", "data.target=direction", "objective=val/cross_entropy"
    ),
}  # fmt: skip
SLOW = ("rlinear", "quantiles", "directions")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in KINDS])
def test_a_run_has_its_record_and_a_loaded_run_predicts_the_same(train, kind):
    outcome, folder = train(*WALK, *KINDS[kind], "evaluation.predictions=all")
    assert outcome.metrics["status"] == "finished"
    run = steepest.load(folder)
    pd.testing.assert_frame_equal(
        run.evaluate().predictions, run.predictions, check_dtype=False, check_index_type=False, rtol=1e-7
    )
    assert len(run.predict()) == run.settings["horizon"]


def test_the_pictures_and_all_instruments_work_without_layers(train):
    outcome, folder = train(
        *WALK, "model=dlinear", "model.trend=3", "callbacks=[default,curvature,steps,noise]", pictures=True
    )
    assert {"loss.png", "prediction.png", "parameters.png"} <= {p.name for p in (folder / "figures").iterdir()}
    assert outcome.metrics["critical"]["verdict"]


def test_dlinear_of_one_series_has_the_coefficients_of_its_linear_map(train):
    _, folder = train(*WALK, "model=dlinear", "model.trend=3")
    run = steepest.load(folder)
    known = run.frame()["value"].to_numpy()[-6:]
    expected = known @ run.coefficients().to_numpy()[:6] + run.coefficients()["constant"]
    assert run.predict()["prediction"][0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=dlinear", "model.trend=4"), "model.trend=4 must be an odd number"),
        (("model=rlinear", "data.window=1"), "data.window=1: .* need windows of 2 or more rows"),
        (
            ("model=dlinear", "data=line"),
            "model=dlinear needs windows of a series, but these data are plain rows: use model=linear",
        ),
        (("model=rlinear", "callbacks=[default,audit]"), "callbacks=audit compares hand-derived gradients"),
    ],
)
def test_what_these_models_cannot_do_has_a_message(train, overrides, message):
    with pytest.raises(ValueError, match=message):
        train(*(WALK if "data=line" not in overrides else ()), *overrides)


def test_the_protocol_of_the_literature_gives_its_errors_of_persistence_and_of_the_closed_form(train, tmp_path):
    rows, window, horizon = 700, 24, 8
    values = np.random.default_rng(0).normal(size=(rows, 3)).cumsum(0) + np.array([10, 500, 0])
    days = pd.date_range("2000-01-01", periods=rows, name="date")
    pd.DataFrame(values, days, ["A", "B", "C"]).to_csv(tmp_path / "wide.csv")
    outcome, _ = train(
        "experiment=ltsf", f"data.path={tmp_path / 'wide.csv'}", "data.series=[A,B,C]", f"data.window={window}",
        f"data.horizon={horizon}", "stop.epochs=1",
    )  # fmt: skip
    stops = [490, 560, 700]  # 70 %, 10 % and 20 % of the rows
    scaled = (values - values[:490].mean(0)) / values[:490].std(0)

    def samples(first, last):
        """The windows whose targets are the rows from `first` up to `last`, of all series."""
        pieces = np.lib.stride_tricks.sliding_window_view(scaled[first - window : last], window + horizon, axis=0)
        return np.split(pieces.reshape(-1, window + horizon), [window], axis=1)

    fit = LinearRegression().fit(*samples(window, stops[0]))
    inputs, targets = samples(stops[1], stops[2])
    expected = {"persistence": inputs[:, -1:] - targets, "least_squares": fit.predict(inputs) - targets}
    for name, errors in expected.items():
        found = outcome.metrics["baselines"][name]["test"]
        assert found["mse_scaled"] == pytest.approx(np.square(errors).mean(), rel=1e-5)
        assert found["mae_scaled"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)


def test_a_checkpoint_with_another_window_predicts_with_that_of_its_data(train):
    _, folder = train(*WALK, "model=dlinear", "model.trend=3", "evaluation.predictions=all")
    path = folder / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["window"] = 4  # 6 inputs are no whole number of such rows
    save(content, path)
    run = steepest.load(folder)
    np.testing.assert_allclose(run.evaluate().predictions["prediction"], run.predictions["prediction"], rtol=1e-7)
