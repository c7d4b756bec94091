"""A run used after training: its predictions, scores and coefficients are those of the training."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from typer.testing import CliRunner

import steepest
from steepest.cli import app
from steepest.data.applied import with_next_rows
from steepest.runs import checkpoints

FEW = ("data=random_walk", "data.rows=300", "stop.epochs=2", "data.window=5", "logger=none")
KINDS = {
    "kernel": ("model=mlp_manual", "model.hidden=[8]", "data.relative_to_last=true"),
    "textbook": ("model=mlp_manual", "model.hidden=[8]", "data.relative_to_last=true", "model.engine=textbook"),
    "autograd": ("model=mlp", "model.hidden=[8,4]", "model.activation=relu", "data.transform=log_return"),
    "line": ("model=linear", "data.relative_to_last=false"),
    "horizon": ("model=mlp_manual", "data.horizon=3", "data.transform=return", "data.relative_to_last=false"),
    "double": ("model=linear_manual", "trainer.precision=64-true", "data.relative_to_last=true"),
    "directions": ("model=mlp_manual", "data.target=direction", "model.loss=cross_entropy", "data.relative_to_last=true",
                   "objective=val/cross_entropy", "data.horizon=2"),
    "quantiles": ("model=mlp_manual", "model.hidden=[8]", "model.loss=quantile", "data.relative_to_last=true",
                  "data.horizon=2"),
}  # fmt: skip

SLOW = ("textbook", "line", "double", "horizon")
EACH = [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in KINDS]


@pytest.fixture(autouse=True)
def level(caplog):
    caplog.set_level(logging.INFO, "steepest")  # restored after the test; the commands change it


def prices(rows=300, series=("AAA",), seed=0, frequency="D"):
    """A frame of random walks, one column per series."""
    steps = np.random.default_rng(seed).normal(0, 0.01, (rows, len(series)))
    dates = pd.date_range("1990-01-01", periods=rows, freq=frequency, name="date")
    return pd.DataFrame(100 * np.exp(steps.cumsum(0)), index=dates, columns=list(series)).reset_index()


def walk(rows):
    """The first rows of data=random_walk as a frame."""
    return steepest.RandomWalk(rows=rows).read().reset_index()[["date", "value"]].rename(columns={"value": "close"})


def test_a_walk_of_fewer_rows_is_the_start_of_a_longer_one():
    assert walk(200).equals(walk(300).head(200))


@pytest.mark.parametrize("kind", EACH)
def test_the_predictions_of_a_loaded_run_are_those_of_training_bit_for_bit(train, kind):
    _, folder = train(*FEW, *KINDS[kind], "evaluation.predictions=all")
    run = steepest.load(folder)
    found = run.evaluate()
    exact = kind != "directions"  # the file has the shortest decimals of single-precision probabilities
    pd.testing.assert_frame_equal(
        found.predictions, run.predictions, check_dtype=False, check_exact=exact, rtol=1e-7, check_index_type=False
    )
    assert found.model == {part: run.metrics[part] for part in ("train", "val", "test")}
    assert found.baselines == run.metrics["baselines"]
    assert found.verdict().sentence == run.metrics["verdict"]


@pytest.mark.parametrize("kind", EACH)
def test_a_forecast_from_an_earlier_day_is_the_prediction_of_that_day(train, kind):
    _, folder = train(*FEW, *KINDS[kind])
    run = steepest.load(folder)
    scored = run.predictions
    column = "probability_up" if kind == "directions" else "prediction"
    horizon = scored["horizon"].max()
    for known in (270, 290):
        forecast = run.predict(walk(known))
        expected = scored[scored["date"].isin(forecast["date"])]
        expected = expected[
            (expected["date"] - pd.to_timedelta(expected["horizon"], "D")) == walk(known)["date"].iloc[-1]
        ]
        assert list(forecast["step"]) == list(range(1, horizon + 1))
        # PyTorch rounds a row by its place in a block, the kernel does not. (The file rounds probabilities.)
        exact = kind in ("kernel", "horizon", "double", "quantiles")
        np.testing.assert_allclose(forecast["prediction"], expected[column], rtol=0 if exact else 1e-7)
        assert list(forecast["date"]) == list(expected["date"])


def test_coefficients_in_the_datas_units_give_the_predictions(train):
    _, folder = train(*FEW, *KINDS["line"])
    run = steepest.load(folder)
    found = run.coefficients()
    assert list(found.index) == ["4 days ago", "3 days ago", "2 days ago", "1 day ago", "today", "constant"]
    value = walk(300)["close"].to_numpy()
    expected = value[-5:] @ found.to_numpy()[:5] + found["constant"]
    assert run.predict()["prediction"][0] == pytest.approx(expected, rel=1e-6)
    assert run.metrics["coefficients"] == found.to_dict()


def test_a_net_has_no_coefficients(train):
    _, folder = train(*FEW, *KINDS["kernel"])
    with pytest.raises(ValueError, match="only a linear model of one series with one output"):
        steepest.load(folder).coefficients()


def test_beyond_its_horizon_a_run_predicts_from_its_predictions(train):
    _, folder = train(*FEW, *KINDS["horizon"])
    run, known = steepest.load(folder), walk(290)
    found = run.predict(known, horizon=7)
    for _ in range(3):
        step = run.predict(known)
        known = pd.concat([known, step.rename(columns={"prediction": "close"})[["date", "close"]]], ignore_index=True)
    assert list(found["prediction"]) == list(known["close"][290:297])
    assert found["lower"].notna().tolist() == [True] * 3 + [False] * 4


def test_forecasts_do_not_depend_on_what_the_appended_rows_hold(train, monkeypatch):
    _, folder = train(*FEW, *KINDS["kernel"])
    run = steepest.load(folder)
    before = run.predict()["prediction"]
    longer = lambda frame, count: _with_other_tail(with_next_rows(frame, count), len(frame))  # noqa: E731
    monkeypatch.setattr("steepest.runs.trained.with_next_rows", longer)
    assert list(run.predict()["prediction"]) == list(before)


def _with_other_tail(longer, known):
    longer = longer.copy()
    longer.iloc[known:] = 1e9
    return longer


def test_a_run_of_one_series_predicts_any_single_series(train, tmp_path):
    _, folder = train(*FEW, *KINDS["kernel"])
    prices(60, ["OTHER"], seed=4).to_csv(tmp_path / "other.csv", index=False)
    found = steepest.load(folder).predict(tmp_path / "other.csv")
    assert list(found["series"]) == ["OTHER"]
    assert found["date"][0] == pd.Timestamp("1990-03-02")
    assert np.isfinite(found[["prediction", "lower", "upper"]].to_numpy()).all()


def test_several_series_are_matched_by_name_and_others_are_left_out(train, tmp_path, caplog):
    path = tmp_path / "wide.csv"
    prices(300, ["AAA", "BBB", "CCC"]).to_csv(path, index=False)
    _, folder = train("data=csv", f"data.path={path}", *FEW[2:], *KINDS["kernel"])
    run = steepest.load(folder)
    whole = run.predict()
    assert list(whole["series"]) == ["AAA", "BBB", "CCC"]
    other = prices(300, ["AAA", "BBB", "CCC"])[["date", "CCC", "AAA"]].assign(ZZZ=prices(300, seed=9)["AAA"])
    with caplog.at_level(logging.WARNING):
        found = run.predict(other)
    assert "1 series left out, because the run was not trained on them: ZZZ" in caplog.text
    both = whole.set_index("series")["prediction"]
    assert found.set_index("series")["prediction"].to_dict() == {"CCC": both["CCC"], "AAA": both["AAA"]}
    scores = run.evaluate(other)
    assert list(scores.series) == ["CCC", "AAA"]


def test_the_lines_of_several_series_have_one_slope_and_different_constants(train, tmp_path):
    path = tmp_path / "wide.csv"
    frame = prices(300, ["AAA", "BBB"])
    frame.assign(BBB=3 * frame["BBB"]).to_csv(path, index=False)
    options = ("stop.epochs=2", "data.window=1", "logger=none", "trainer.precision=64-true")
    outcome, folder = train("data=csv", f"data.path={path}", *options, "model=linear_manual", *KINDS["line"][1:])
    run = steepest.load(folder)
    lines = [np.polyfit(rows["last"], rows["prediction"], 1) for _, rows in run.predictions.groupby("series")]
    assert lines[0][0] == pytest.approx(lines[1][0], rel=1e-9)
    assert abs(lines[0][1] - lines[1][1]) > 1
    assert outcome.metrics["line"] is None
    with pytest.raises(ValueError, match="only a linear model of one series"):
        run.coefficients()


def test_filled_days_of_other_series_do_not_change_a_forecast(train, tmp_path):
    path = tmp_path / "wide.csv"
    prices(300, ["AAA", "BBB"]).to_csv(path, index=False)
    _, folder = train("data=csv", f"data.path={path}", *FEW[2:], *KINDS["kernel"])
    run = steepest.load(folder)
    other = prices(300, ["ZZZ", "BBB"]).assign(BBB=prices(300, ["AAA", "BBB"])["BBB"])
    other.loc[[290, 299], "ZZZ"] = np.nan
    expected = run.predict().set_index("series").loc["BBB"]
    found = run.predict(other, missing="forward_fill").set_index("series").loc["BBB"]
    assert found["prediction"] == expected["prediction"]
    assert found["upper"] == expected["upper"]


def test_each_series_has_intervals_from_its_own_errors(train, tmp_path):
    path = tmp_path / "wide.csv"
    calm = prices(300, ["CALM"], seed=1)
    wild = 100 * np.exp(np.random.default_rng(2).normal(0, 0.1, 300).cumsum())
    calm.assign(WILD=wild).to_csv(path, index=False)
    _, folder = train("data=csv", f"data.path={path}", *FEW[2:], *KINDS["kernel"])
    run = steepest.load(folder)
    for method in ("split", "adaptive"):
        found = run.predict(method=method).set_index("series")
        width = (found["upper"] - found["lower"]) / found["prediction"]
        assert 5 < width["WILD"] / width["CALM"] < 20
        assert 0.8 < run.predict(method=method).attrs["coverage"] < 1


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (prices(300, ["XXX", "YYY"]), {}, "the run was trained on random_walk, and the file has XXX, YYY"),
        (prices(5), {}, r"AAA has 5 rows, and the run needs at least 6 \(data.window=5, data.horizon=1\)"),
        (prices(60).assign(oil=prices(60, seed=2)["AAA"]), {"value": "AAA", "features": ["oil"]}, "of the price alone"),
        (prices(60), {"valeu": "AAA"}, "unknown key 'valeu'; did you mean 'value'"),
        (prices(60).assign(AAA="text"), {"value": "AAA"}, "not numbers"),
    ],
)
def test_prices_that_do_not_fit_the_run_have_a_message(train, frame, options, message):
    _, folder = train(*FEW, *KINDS["kernel"])
    for use in (steepest.load(folder).evaluate, *([steepest.load(folder).predict] if len(frame) > 5 else [])):
        with pytest.raises(ValueError, match=message):
            use(frame, **options)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("kernel", {"horizon": 0}, "horizon=0 must be 1 or more"),
        ("kernel", {"level": 0.99}, r"level=0.99 must be one of 0.5, 0.8, 0.9, 0.95"),
        ("kernel", {"method": "exact"}, "method=exact must be one of adaptive, split"),
        ("directions", {"horizon": 3}, "horizon=3: the run predicts 2 from directions: give at most 2"),
    ],
)
def test_a_forecast_that_is_not_possible_has_a_message(train, kind, given, message):
    _, folder = train(*FEW, *KINDS[kind])
    with pytest.raises(ValueError, match=message):
        steepest.load(folder).predict(**given)


def test_a_run_of_plain_rows_says_that_it_has_no_next_row(train):
    path = ROOT / "data" / "norris.csv"
    _, folder = train("data=table", f"data.path={path}", "data.inputs=[x]", "data.target=y", "stop.epochs=1")
    run = steepest.load(folder)
    assert set(run.coefficients().index) == {"x", "constant"}
    assert run.evaluate().model["test"] == run.metrics["test"]
    with pytest.raises(ValueError, match="trained on plain rows, which have no next row"):
        run.predict()


def test_a_folder_without_a_model_and_a_damaged_one_have_a_message(train, tmp_path):
    with pytest.raises(ValueError, match="no checkpoints/best.ckpt"):
        steepest.load(tmp_path)
    _, folder = train(*FEW, *KINDS["kernel"])
    path = folder / "checkpoints" / "best.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a complete checkpoint"):
        steepest.load(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"_target_": "os.system", "command": "touch hit"}, "'os.system' is not approved"),
        ({"_target_": "steepest.YahooPrices", "symbol": "A", "cache": "/tmp/elsewhere"}, "must be a relative path"),
        ({"_target_": "steepest.RandomWalk", "rows": 10**30}, "should be less than or equal to 10000000"),
        ("text", "'data' names no class"),
    ],
)
def test_the_config_of_another_persons_folder_is_checked(train, changed, message):
    _, folder = train(*FEW, *KINDS["kernel"])
    config = OmegaConf.load(folder / "config.yaml")
    config.data = changed
    OmegaConf.save(config, folder / "config.yaml")
    for use in (steepest.load(folder).predict, steepest.load(folder).evaluate):
        with pytest.raises(ValueError, match=message):
            use()


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("windows", "horizon"), 10**9), (("windows", "window"), -1), (("windows", "names"), "A"), (("windows",), None),
        (("windows", "classes"), True),
        (("scaler", "mean_S"), torch.zeros(3)), (("fitted", "least_squares"), torch.zeros(1)), (("fitted",), {}),
    ],
)  # fmt: skip
def test_parts_of_a_checkpoint_that_do_not_fit_together_have_a_message(train, at, value):
    _, folder = train(*FEW, *KINDS["kernel"])
    path = folder / "checkpoints" / "best.ckpt"
    content = checkpoints.load(path)
    place = content[checkpoints.DATA]
    for key in at[:-1]:
        place = place[key]
    place[at[-1]] = value
    checkpoints.save(content, path)
    with pytest.raises(ValueError, match="best.ckpt is not a checkpoint of a run of train.py"):
        steepest.load(folder)


def test_the_commands_print_and_write_a_forecast_and_scores(train, tmp_path):
    _, folder = train(*FEW, *KINDS["horizon"])
    out = tmp_path / "forecast.csv"
    printed = CliRunner().invoke(app, ["predict", str(folder), "--horizon", "4", "--out", str(out)]).output
    assert "Beyond step 3, each prediction is an input of the next one, and there are no intervals." in printed
    covered = steepest.load(folder).predict().attrs["coverage"]
    assert (
        f"The 90% intervals adapt to the latest errors. On later rows, such intervals contained {covered:.1%}"
        in printed
    )
    written = pd.read_csv(out, parse_dates=["date"])
    assert list(written.columns) == ["date", "series", "step", "prediction", "lower", "upper"]
    pd.testing.assert_frame_equal(written, steepest.load(folder).predict(horizon=4), check_dtype=False)
    prices(60, ["OTHER"]).to_csv(tmp_path / "other.csv", index=False)
    answer = CliRunner().invoke(app, ["evaluate", str(folder), "--data", str(tmp_path / "other.csv")])
    assert answer.exit_code == 0
    for word in ("all", "persistence", "drift", "least_squares", "on these prices", "60 days"):
        assert word in answer.output
    refused = CliRunner().invoke(app, ["predict", str(folder), "--out", str(tmp_path / "x.txt")])
    assert "whose name ends in .csv" in str(refused.exception)
