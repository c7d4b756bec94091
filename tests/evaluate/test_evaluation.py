"""Verdicts: by which score, against which reference, and when a lead is not significant. Threads and tables."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from steepest.data.formulas import Rings
from steepest.data.preparation import row_windows, series_windows
from steepest.data.sources import PriceFile, RandomWalk, RowData, Table
from steepest.evaluate.blocks import outputs_at
from steepest.evaluate.evaluation import Evaluator, evaluate


class Model(nn.Module):
    """Outputs by a function of the inputs."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x_ND):
        return self.outputs(x_ND)


def windows_of(source):
    if isinstance(source, RowData):
        windows = row_windows(source.read(), source, "test", seed=0)
    else:
        windows = series_windows(source.read(), source, "test")
    return windows.to("cpu", torch.float64)


def evaluation(source, outputs):
    return evaluate(Model(outputs), windows_of(source))


@pytest.fixture
def swinging(tmp_path):
    """A price that alternates between about 101 and about 99."""
    random = np.random.default_rng(0)
    price = 100 + (-1.0) ** np.arange(400) + random.normal(0, 0.1, 400)
    path = tmp_path / "swinging.csv"
    pd.DataFrame({"date": pd.bdate_range("2020-01-01", periods=400), "price": price}).to_csv(path, index=False)
    return lambda **options: PriceFile(path=str(path), **options)


def mse(evaluation, name="prediction"):
    rows = evaluation.predictions.query("part == 'test'")
    return ((rows[name] - rows["actual"]) ** 2).mean()


def figures(sentence):
    return [float(number) for number in re.findall(r"(?:is|against) (\d[\d.e+-]*\b)", sentence)]


def test_prices_are_judged_by_the_mean_squared_error(swinging):
    verdict = (found := evaluation(swinging(), lambda x_ND: -x_ND)).verdict()
    assert (
        "The model beat persistence (tomorrow = today) on the test part: its mean squared error is" in verdict.sentence
    )
    assert figures(verdict.sentence) == pytest.approx([mse(found), mse(found, "last")], rel=1e-5)
    assert mse(found) < mse(found, "last") / 50
    assert verdict.beat is True
    assert verdict.p_value == pytest.approx(0, abs=1e-6)


def test_a_worse_model_does_not_beat_the_reference_even_if_every_direction_is_right(swinging):
    found = evaluation(swinging(), lambda x_ND: -9 * x_ND)  # the right direction, but much too far
    verdict = found.verdict()
    assert found.model["test"]["directional_accuracy"] == 1
    assert mse(found) > mse(found, "last")
    assert verdict.beat is False
    assert verdict.sentence.startswith(
        "The model did not beat persistence (tomorrow = today) on the test part: its mean"
    )
    assert figures(verdict.sentence) == pytest.approx([mse(found), mse(found, "last")], rel=1e-5)


def test_a_model_that_leads_by_chance_does_not_beat_the_reference():
    walk = RandomWalk(rows=400, seed=3, transform="log_return")
    tries = [evaluation(walk, lambda x_ND, a=a: a * x_ND).verdict() for a in (0.05, -0.05)]
    (ahead,) = [verdict for verdict in tries if "not statistically significant" in verdict.sentence]
    assert ahead.beat is False
    assert ahead.p_value > 0.05
    assert f"Diebold-Mariano p = {ahead.p_value:.2g}" in ahead.sentence


def test_the_verdict_on_a_model_without_finite_scores_says_so(swinging):
    verdict = evaluation(swinging(), lambda x_ND: x_ND * float("nan")).verdict()
    assert verdict.beat is False
    assert verdict.sentence.endswith("on the test part: its mean squared error is not a finite number.")


def test_plain_rows_are_judged_against_the_training_mean(tmp_path):
    x = np.random.default_rng(1).normal(size=300)
    pd.DataFrame({"x": x, "y": 3 * x + 1}).to_csv(tmp_path / "rows.csv", index=False)
    table = Table(path=str(tmp_path / "rows.csv"), inputs=["x"], target="y")
    verdict = (found := evaluation(table, lambda x_ND: x_ND)).verdict()
    assert "The model beat the training mean on the test part: its mean squared error is" in verdict.sentence
    assert figures(verdict.sentence)[0] == pytest.approx(mse(found), rel=1e-5, abs=1e-12)
    assert verdict.beat is True


def test_directions_are_judged_by_their_right_share_against_the_majority(swinging):
    def other_way(x_ND):
        return torch.cat([x_ND, -x_ND], dim=1)

    verdict = (found := evaluation(swinging(target="direction"), other_way)).verdict()
    assert (
        "The model beat the majority class on the test part: its share of correct directions is 1" in verdict.sentence
    )
    assert found.model["test"]["directional_accuracy"] == 1


def test_classes_are_judged_by_their_right_share_against_the_majority():
    def disc(x_ND):  # each column is scaled alone: a circle stays almost a circle
        return torch.stack([torch.zeros(len(x_ND)), x_ND.square().sum(1) - 1.2], dim=1)

    verdict = (found := evaluation(Rings(), disc)).verdict()
    rows = found.predictions.query("part == 'test'")
    share = ((rows["probability"] > 0.5) == rows["class"]).mean()
    assert "the majority class on the test part: its share of correct classes is" in verdict.sentence
    assert figures(verdict.sentence)[0] == pytest.approx(share, rel=1e-5)


def test_without_a_test_part_there_is_no_verdict():
    verdict = evaluation(RandomWalk(rows=300, split=[0.8, 0.2, 0]), lambda x_ND: x_ND).verdict()
    assert verdict.beat is None
    assert "There is no test part" in verdict.sentence


def test_a_test_part_that_is_too_short_has_no_verdict_and_the_sentence_says_so():
    def short(rows, outputs):
        return evaluation(RandomWalk(rows=rows, horizon=10, seed=1, relative_to_last=True), outputs).verdict()

    reason = "the test part has forecasts on only 10 days, and horizon 10 needs at least 20"
    for step in (0.3, -0.3):
        verdict = short(200, lambda x_ND, step=step: x_ND.expand(-1, 10) + step)
        mine, other = figures(verdict.sentence)
        assert verdict.p_value is None
        if mine < other:
            assert verdict.beat is None
            assert f"The model was not tested against persistence (tomorrow = today): {reason}. Its" in verdict.sentence
        else:
            assert verdict.beat is False
            assert verdict.sentence.startswith("The model did not beat persistence (tomorrow = today) on the test part")
            assert verdict.sentence.endswith(f"(not tested: {reason}).")
    assert short(300, lambda x_ND: x_ND.expand(-1, 10) + 0.3).p_value is not None  # 25 days


def series_of(tmp_path, prices, **options):
    """The windows of a file with these series."""
    wide = pd.DataFrame(prices)
    wide.insert(0, "date", pd.bdate_range("2020-01-01", periods=len(wide)))
    wide.to_csv(tmp_path / "several.csv", index=False)
    return windows_of(PriceFile(path=str(tmp_path / "several.csv"), **options))


def swings_and_walks(swings, walks):
    random = np.random.default_rng(2)
    swing = 100 + (-1.0) ** np.arange(400)
    prices = {f"S{i}": swing + random.normal(0, 0.1, 400) for i in range(swings)}
    walk = {f"W{i}": np.exp(random.normal(0, 0.01, 400).cumsum()) * 1e4 for i in range(walks)}
    return prices | walk


def test_several_series_are_judged_by_scaled_errors_and_counted_after_holms_correction(tmp_path):
    windows = series_of(tmp_path, swings_and_walks(2, 2))
    verdict = (found := evaluate(Model(lambda x_ND: -x_ND), windows)).verdict()
    assert found.beaten == ["S0", "S1"]
    assert verdict.sentence.endswith(" It beat persistence on 2 of 4 series (Holm).")
    rows = found.predictions.query("part == 'test'")
    unit = rows["series"].map(dict(zip(windows.names, windows.unit_S.tolist(), strict=True)))
    scaled = [(((rows[name] - rows["actual"]) / unit) ** 2).mean() for name in ("prediction", "last")]
    assert "its mean scaled squared error is" in verdict.sentence
    assert figures(verdict.sentence) == pytest.approx(scaled, rel=1e-5)
    for name in windows.names:
        alone = evaluate(Model(lambda x_ND: -x_ND), series_of(tmp_path, {name: swings_and_walks(2, 2)[name]}))
        assert found.series[name]["p_value"] == pytest.approx(alone.p_value, rel=1e-6)
        assert alone.beaten is None
        assert "series" not in alone.verdict().sentence


def test_the_verdict_on_several_series_does_not_depend_on_the_currency_of_one(tmp_path):
    def judged(factor):
        prices = swings_and_walks(3, 1)
        windows = series_of(tmp_path, prices | {"W0": prices["W0"] * factor}, series=list(prices))
        return evaluate(Model(lambda x_ND: -0.5 * x_ND), windows)

    one, other = judged(1), judged(1000)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-6)
    assert figures(one.verdict().sentence) == pytest.approx(figures(other.verdict().sentence), rel=1e-5)


def test_series_with_different_dates_need_as_many_days_as_their_horizons_span(tmp_path):
    walk = 100 * np.exp(np.random.default_rng(0).normal(0, 0.01, 480).cumsum())
    days = pd.date_range("2020-01-01", periods=480)
    frame = pd.DataFrame({"date": days, "series": ["A", "B"] * 240, "close": walk})
    frame.to_csv(tmp_path / "taking_turns.csv", index=False)
    windows = windows_of(PriceFile(path=str(tmp_path / "taking_turns.csv"), horizon=10, relative_to_last=True))
    found = evaluate(Model(lambda x_ND: x_ND.expand(-1, 10) + 0.1), windows)
    assert found.p_value is None  # a horizon spans 20 days, on 10 of which a series has a price
    assert found.untested.endswith("and horizon 10 needs at least 40")


@pytest.fixture
def three_series(tmp_path):
    """A file of three series and their windows."""
    random = np.random.default_rng(0)
    wide = pd.DataFrame({name: 100 + random.normal(size=300).cumsum() for name in "ABC"})
    wide.insert(0, "date", pd.bdate_range("2020-01-01", periods=300))
    wide.to_csv(tmp_path / "wide.csv", index=False)
    return lambda **options: windows_of(PriceFile(path=str(tmp_path / "wide.csv"), **options))


def test_the_table_has_a_row_per_sample_and_day_with_the_price_of_the_file(three_series, tmp_path):
    windows = three_series(window=3, horizon=2)
    table = evaluate(Model(lambda x_ND: x_ND[:, -2:]), windows).predictions
    assert list(table) == ["part", "series", "origin", "date", "horizon", "last", "prediction", "actual"]
    assert len(table) == 2 * sum(len(part) for part in windows.parts.values())
    file = pd.read_csv(tmp_path / "wide.csv", index_col="date", parse_dates=True).stack()
    actual = file.loc[list(zip(table["date"], table["series"], strict=True))]
    np.testing.assert_allclose(table["actual"], actual, rtol=1e-12)
    last = file.loc[list(zip(table["origin"], table["series"], strict=True))]
    np.testing.assert_allclose(table["last"], last, rtol=1e-12)


def test_scores_by_series_are_those_of_the_series_rows(three_series):
    found = evaluate(Model(lambda x_ND: x_ND), three_series())
    rows = found.predictions.query("part == 'test'")
    assert list(found.series) == ["A", "B", "C"]
    for series, scores in found.series.items():
        its = rows[rows["series"] == series]
        errors = its["prediction"] - its["actual"]
        assert scores["mse"] == pytest.approx((errors**2).mean(), rel=1e-12)
        assert scores["skill"] == pytest.approx(
            1 - (errors**2).mean() / ((its["last"] - its["actual"]) ** 2).mean(), rel=1e-9
        )
    last = found.last_predictions()
    pd.testing.assert_frame_equal(last, found.predictions.query("part == 'test'").reset_index(drop=True))
    directions = evaluate(Model(lambda x_ND: torch.cat([x_ND, -x_ND], 1)), three_series(target="direction"))
    pd.testing.assert_frame_equal(directions.last_predictions(), directions.predictions)
    rows = directions.predictions.query("part == 'test'")
    right = (rows["probability_up"] > 0.5) == rows["up"]
    assert {series: scores["directional_accuracy"] for series, scores in directions.series.items()} == pytest.approx(
        right.groupby(rows["series"]).mean().to_dict()
    )


def test_a_single_series_has_no_scores_by_series():
    assert evaluation(RandomWalk(rows=300), lambda x_ND: x_ND).series == {}


def test_the_skill_of_the_reference_is_exactly_0(three_series):
    for windows, name in [(three_series(horizon=3), "persistence"), (three_series(target="direction"), "majority")]:
        scores = Evaluator(windows).baselines[name]
        assert [scores[part]["skill"] for part in ("train", "val", "test")] == [0, 0, 0]


def test_threads_can_share_an_evaluator(three_series):
    windows = three_series(window=3)
    evaluator = Evaluator(windows)
    outputs = [partial(outputs_at, lambda x_ND, a=a: a * x_ND[:, -1:], windows) for a in np.linspace(0, 2, 16)]
    alone = [evaluator.evaluate(o) for o in outputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(evaluator.evaluate, outputs))
    for mine, other in zip(alone, together, strict=True):
        assert (mine.model, mine.series, mine.p_value) == (other.model, other.series, other.p_value)
        pd.testing.assert_frame_equal(mine.predictions, other.predictions)
    assert len({found.model["test"]["mse"] for found in alone}) == len(alone)
