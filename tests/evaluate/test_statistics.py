"""The baselines of statsmodels against statsmodels' own forecasts, one origin at a time; their fits; their messages."""

import logging
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import NO_PICTURES, QUIET, composed
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing

import steepest
from steepest.data.preparation import series_windows
from steepest.data.sources import RandomWalk
from steepest.evaluate import statistics
from steepest.runs.config import check
from steepest.runs.drive import SharedData, drive

ROWS, TRAINED, HORIZON, SEASON = 150, 105, 4, 7
FEW = ("data=random_walk", "data.rows=200", "model=linear_manual", "stop.epochs=1", "logger=none")


@pytest.fixture(autouse=True)
def new_fits():
    """Other tests change the limits of a fit, on which a cached fit does not depend."""
    statistics._fit.cache_clear()


def made(kind, rows=ROWS, seed=1):
    """Prices whose changes depend on the change before, with or without a season of a week, around 100."""
    noise = np.random.default_rng(seed).normal(0, 0.4, rows)
    change = np.zeros(rows)
    for row in range(1, rows):
        change[row] = 0.6 * change[row - 1] + noise[row]
    week = 3 * np.sin(2 * np.pi * np.arange(rows) / SEASON)
    return 100 + change.cumsum() + (week if kind == "season" else 0)


def windows_of(*series, **options):
    dates = pd.date_range("2020-01-01", periods=len(series[0]))
    frame = pd.DataFrame({f"s{number}": values for number, values in enumerate(series)}, index=dates)
    tall = frame.T.stack().rename_axis(["series", "date"]).to_frame("value")
    return series_windows(tall, RandomWalk(window=2, horizon=HORIZON, split=[0.7, 0.15, 0.15], **options), "test")


def origins(windows):
    return torch.cat([part.origins(torch.arange(len(part))) for part in windows.parts.values()])


def oracle(name, parameters, values):
    """A model of statsmodels with these parameters, in the units of `values`."""
    known = dict(zip(statistics.PARAMETERS[name], parameters, strict=True))
    if name == "ets":
        season = SEASON if known["smoothing_seasonal"] else None
        model = ExponentialSmoothing(
            values, trend=True, damped_trend=True, seasonal=season, initialization_method="simple"
        )
        return model.smooth([known[one] for one in model.param_names])
    p, q = (sum(known[f"{kind}.L{lag}"] != 0 for lag in (1, 2)) for kind in ("ar", "ma"))
    model = ARIMA(values, order=(p, 1, q))
    return model.smooth([known.get(one, np.var(np.diff(values))) for one in model.param_names])


@pytest.mark.parametrize(("kind", "transform"), [("plain", "level"), ("season", "level"), ("plain", "log_return")])
@pytest.mark.parametrize("name", ["ets", "arima"])
def test_predictions_are_those_of_statsmodels_from_the_rows_up_to_the_origin(name, kind, transform):
    values = made(kind)
    windows = windows_of(made("plain", seed=2), values, transform=transform)  # the second of two series
    fits = statistics.fit(windows, [name])
    if name == "ets":
        assert (fits.parameters["ets"][1, 2] > 0) == (kind == "season")
    origin_N = origins(windows)
    origin_N = origin_N[windows.series_T[origin_N] == 1]
    found_NH = statistics.predictor(windows, name, fits.parameters[name])(origin_N).numpy()
    values = values if transform == "level" else np.log(values[1:])  # the first row has no return
    known = oracle(name, fits.parameters[name][1].tolist(), values[:TRAINED])
    row_N = (origin_N - windows.start_S[1]).tolist()
    first = 2 * SEASON  # these rows give the initial states of a season
    chosen = [place for place, row in enumerate(row_N) if row >= first][::11]
    assert len(chosen) > 8
    for place in chosen:
        expected_H = known.apply(values[: row_N[place] + 1]).forecast(HORIZON)
        expected_H = expected_H if transform == "level" else np.exp(expected_H)
        np.testing.assert_allclose(found_NH[place], expected_H, rtol=1e-6)


def test_arima_is_the_order_of_the_lowest_aic_with_the_parameters_of_statsmodels():
    values = made("plain")
    windows = windows_of(values)
    found = dict(
        zip(statistics.PARAMETERS["arima"], statistics.fit(windows, ["arima"]).parameters["arima"][0], strict=True)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of statsmodels' own starts
        fits = [ARIMA(values[: windows.train_stop_S[0]], order=(p, 1, q)).fit() for p in range(3) for q in range(3)]
    best = min(fits, key=lambda one: one.aic)
    expected = dict(zip(best.param_names, best.params, strict=True))
    for one, parameter in found.items():
        assert parameter.item() == pytest.approx(expected.get(one, 0.0), abs=0.01)


def test_predictions_do_not_depend_on_later_rows_and_parameters_not_on_rows_after_the_training_part():
    values = made("season")
    windows = windows_of(values)
    last = 128
    assert windows.train_stop_S[0] == TRAINED < last
    later = values.copy()
    later[last + 1 :] *= 3
    changed = windows_of(later)
    origin_N = origins(windows)
    for name, parameters in statistics.fit(windows, ["ets", "arima"]).parameters.items():
        statistics._fit.cache_clear()
        assert torch.equal(statistics.fit(changed, [name]).parameters[name], parameters)
        one, other = (statistics.predictor(w, name, parameters)(origin_N) for w in (windows, changed))
        known_N = origin_N <= last
        assert torch.equal(one[known_N], other[known_N])
        assert (one[~known_N] != other[~known_N]).any()


def test_fits_that_do_not_converge_are_named(monkeypatch):
    windows = windows_of(made("plain"))
    monkeypatch.setattr(statistics, "ITERATIONS", 1)
    fits = statistics.fit(windows, ["ets", "arima"])
    assert set(fits.parameters) == {"ets", "arima"}
    assert fits.notes == [
        "the baseline ets did not converge on s0: its scores are those of the best parameters found",
        "the baseline arima does not use fits that failed or did not converge (8 of 9 fits): "
        + ", ".join(f"({p},1,{q}) of s0" for p in range(3) for q in range(3) if p + q),
    ]


def test_a_baseline_whose_fit_fails_is_left_out_and_the_run_says_so(train, monkeypatch):
    def fails(model, start):
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(statistics, "_estimated", fails)
    outcome, folder = train(*FEW, "evaluation.statistics=[arima]")
    note = "the baseline arima is left out: its fit failed on random_walk (LinAlgError: singular)"
    assert note in (folder / "run.json").read_text()
    assert "arima" not in outcome.metrics["baselines"]


def test_a_run_scores_them_and_a_loaded_run_does_so_on_its_own_data_only(train, tmp_path, caplog):
    outcome, folder = train(*FEW, "evaluation.statistics=[ets,arima]", "data.horizon=2")
    baselines = outcome.metrics["baselines"]
    assert [name for name in baselines if name in statistics.PARAMETERS] == ["ets", "arima"]
    assert all(baselines["ets"][part]["rmse"] > 0 for part in ("train", "val", "test"))
    assert baselines["ets"]["test"].keys() == baselines["persistence"]["test"].keys()
    run = steepest.load(folder)
    assert run.evaluate().baselines == baselines
    path = tmp_path / "other.csv"
    RandomWalk(rows=120, seed=5).read().reset_index()[["date", "value"]].to_csv(path, index=False)
    with caplog.at_level(logging.WARNING, "steepest"):
        found = run.evaluate(str(path))
    assert list(found.baselines) == [name for name in baselines if name not in statistics.PARAMETERS]
    assert f"{path}: left out the baselines ets and arima, which predict only the run's own data" in caplog.text
    assert len(run.predict(str(path))) == 2


def test_a_thread_scores_them_as_a_trainer_does_and_only_for_runs_that_request_them(train, tmp_path):
    outcome, _ = train(*FEW, "evaluation.statistics=[arima]")
    shared, found = SharedData(), {}
    for requested in ("[arima]", "[]"):
        checked = check(composed(*FEW, QUIET, NO_PICTURES, f"evaluation.statistics={requested}"))
        found[requested] = drive(checked, tmp_path / requested, [], shared)["baselines"]
    assert found["[arima]"] == outcome.metrics["baselines"]
    assert found["[]"] == {name: parts for name, parts in found["[arima]"].items() if name != "arima"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.statistics=[etz]"], "evaluation.statistics[0]='etz' should be 'ets' or 'arima'"),
        (["evaluation.statistics=ets"], "evaluation.statistics='ets' should be a list, such as [ets]"),
        (["evaluation.statistics=[ets,ets]"], "names a baseline twice"),
    ],
)
def test_other_values_are_refused(plain, overrides, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check(plain(*overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=line"], "predicts series of prices, but these data are plain rows"),
        (["experiment=direction", "logger=none"], "predicts series of prices, but these data are directions"),
        ([*FEW, "data.rows=20"], "needs at least 20 training rows, random_walk has 14"),
    ],
)
def test_other_data_are_refused_before_the_record(train, overrides, message):
    with pytest.raises(ValueError, match=message):
        train(*overrides, "evaluation.statistics=[arima]")


def test_without_the_extra_the_message_names_it(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.statespace.sarimax", None)
    with pytest.raises(ValueError, match=r"needs the extra statistics .*: pip install 'steepest\[statistics\]'"):
        train(*FEW, "evaluation.statistics=[ets]")
