"""Which predictions a run writes, and in which format."""

import pandas as pd
import pytest

import steepest
from steepest.evaluate import evaluation, scoring
from steepest.runs import record

WALK = ("data=random_walk", "data.rows=200", "data.horizon=2", "stop.epochs=1", "logger=none")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ((), ["test"]),
        (("evaluation.predictions=all",), ["train", "val", "test"]),
        (("evaluation.predictions=none",), None),
        (("data.split=[0.7,0.3,0]",), ["val"]),
    ],
)
def test_the_file_has_the_requested_parts(train, options, parts):
    outcome, folder = train(*WALK, *options)
    if parts is None:
        assert not list(folder.glob("predictions.*"))
        with pytest.raises(ValueError, match="was trained with evaluation.predictions=none"):
            print(steepest.load(folder).predictions)
        return
    expected = outcome.evaluation.predictions
    expected = expected[expected["part"].isin(parts)].reset_index(drop=True)
    found = steepest.load(folder).predictions
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False, check_index_type=False)


def test_a_large_table_is_written_as_parquet_with_the_same_numbers(train, monkeypatch):
    _, small = train(*WALK, name="small")
    monkeypatch.setattr(record, "CSV_ROWS", 10)
    _, large = train(*WALK, name="large")
    assert [path.name for path in large.glob("predictions.*")] == ["predictions.parquet"]
    found, expected = (steepest.load(folder).predictions for folder in (large, small))
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)
    first = steepest.load(large).table(first_step=True)
    pd.testing.assert_frame_equal(first, found[found["horizon"] == 1].reset_index(drop=True), check_exact=True)
    assert steepest.load(large).backtest().facts() == steepest.load(small).backtest().facts()


PRICES = ("data=random_walk", "data.rows=3000", "data.horizon=3", "data.window=5")
CASES = {
    "price": (*PRICES, "model=mlp_manual", "model.hidden=[4]"),
    "quantiles": (*PRICES, "model=linear_manual", "model.loss=quantile", "objective=val/loss"),
    "direction": (
        *PRICES,
        "data.target=direction",
        "model=mlp_manual",
        "model.loss=cross_entropy",
        "objective=val/loss",
    ),
    "rows": ("data=line", "data.rows=3000"),
    "folds": (*PRICES, "model=linear_manual", "evaluation=walk_forward", "evaluation.folds=3", "data.history=borrow"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_whose_parts_are_scored_in_blocks_has_the_same_record(train, monkeypatch, case):
    words = (*CASES[case], "stop.epochs=2", "logger=none", "evaluation.predictions=all")
    expected, one = train(*words, name="one")
    monkeypatch.setattr(record, "CSV_ROWS", 10)
    monkeypatch.setattr(scoring, "VALUES", 1)  # blocks have as few samples as they can
    monkeypatch.setattr(scoring, "KEPT", 0)
    monkeypatch.setattr(evaluation, "ERRORS", 1)
    found, many = train(*words, name="many")
    table = steepest.load(many).predictions
    pd.testing.assert_frame_equal(table, steepest.load(one).predictions, check_exact=True, check_dtype=False)
    facts = [dict(outcome.metrics) | {"seconds": None} for outcome in (expected, found)]
    assert_close(*facts)
    pd.testing.assert_frame_equal(found.evaluation.last_predictions(), expected.evaluation.last_predictions())
    again, first = (steepest.load(folder).evaluate() for folder in (many, one))
    assert_close(again.model, first.model)
    if case != "rows":
        pd.testing.assert_frame_equal(steepest.load(many).predict(), steepest.load(one).predict())


def assert_close(found, expected):
    """Assert that two nested structures are equal, numbers to rounding."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            assert_close(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6)
    else:
        assert found == expected


def test_a_table_without_a_column_is_named(train):
    _, folder = train(*WALK)
    path = folder / "predictions.csv"
    pd.read_csv(path).drop(columns="origin").to_csv(path, index=False)
    with pytest.raises(ValueError, match="predictions.csv: the column origin is missing"):
        print(steepest.load(folder).predictions)
