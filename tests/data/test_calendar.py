"""The unit of a row, and the words for it in a run's sentences."""

import numpy as np
import pandas as pd
import pytest
import torch

from steepest.data.calendar import now_and_next, row_unit
from steepest.data.preparation import series_windows
from steepest.data.sources import PriceFile
from steepest.evaluate.evaluation import evaluate
from steepest.evaluate.table import line_in_words
from steepest.nets.networks import MLP


@pytest.mark.parametrize(
    ("frequency", "unit"),
    [
        ("min", "row"), ("h", "row"), ("D", "day"), ("B", "day"), ("W", "week"), ("SME", "week"), ("ME", "month"),
        ("MS", "month"), ("QE", "quarter"), ("YE", "year"),
    ],
)  # fmt: skip
def test_the_unit_of_a_row_is_that_of_its_frequency(frequency, unit):
    assert row_unit(pd.date_range("2000-01-01", periods=40, freq=frequency).to_numpy()) == unit


def test_one_missing_month_does_not_change_the_unit():
    assert row_unit(pd.date_range("2000-01-01", periods=40, freq="ME").delete(7).to_numpy()) == "month"


@pytest.mark.parametrize(
    ("unit", "words"),
    [("day", ("today", "tomorrow")), ("month", ("this month", "next month")), ("row", ("this row", "next row"))],
)
def test_the_last_row_and_the_next_have_words(unit, words):
    assert now_and_next(unit) == words


def test_the_sentences_about_monthly_prices_name_months(tmp_path):
    dates = pd.date_range("2000-01-31", periods=60, freq="ME")
    price = 100 + np.random.default_rng(0).normal(size=60).cumsum()
    pd.DataFrame({"Date": dates, "Close": price}).to_csv(tmp_path / "monthly.csv", index=False)
    source = PriceFile(path=str(tmp_path / "monthly.csv"), window=2, relative_to_last=True)
    windows = series_windows(source.read(), source, "test").to("cpu", torch.float64)
    found = evaluate(torch.nn.Linear(2, 1).double(), windows)
    assert found.inputs.startswith("Inputs: the last 2 prices, each minus this month's price")
    line = line_in_words(_Model(MLP(2, [], 1).double()), windows)
    assert line.startswith("The line: next month = ")
    assert " 1 month ago + " in line
    assert " this month " in line


class _Model(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network
