"""Which predictions a run writes, and in which format."""

import pandas as pd
import pytest

import steepest
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


def test_a_table_without_a_column_is_named(train):
    _, folder = train(*WALK)
    path = folder / "predictions.csv"
    pd.read_csv(path).drop(columns="origin").to_csv(path, index=False)
    with pytest.raises(ValueError, match="predictions.csv: the column origin is missing"):
        print(steepest.load(folder).predictions)
