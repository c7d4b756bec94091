"""The unit of a row, and the words for it in a run's sentences."""

import numpy as np
import pandas as pd
import pytest
import torch

from steepest.data.calendar import next_dates, now_and_next, row_unit
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
    line = line_in_words(MLP(2, [], 1).double(), windows)
    assert line.startswith("The line: next month = ")
    assert " 1 month ago + " in line
    assert " this month " in line


@pytest.mark.parametrize(
    "frequency", ["D", "B", "W-FRI", "ME", "MS", "BME", "BMS", "QE", "QS", "BQE", "YE", "h", "30min"]
)
def test_the_dates_after_the_last_continue_the_frequency(frequency):
    dates = pd.date_range("2019-01-01", periods=90, freq=frequency)
    assert list(next_dates(dates[:60], 30)) == list(dates[60:])


def test_holidays_do_not_change_the_weekdays_and_a_rare_session_does_not_add_one():
    days = pd.bdate_range("2022-01-03", periods=260)
    days = days.delete([5, 40, 41, 100]).append(pd.DatetimeIndex(["2022-05-07"])).sort_values()  # one Saturday
    assert list(next_dates(days, 10)) == list(pd.bdate_range(days[-1], periods=11)[1:])


def test_bars_continue_in_the_hours_of_the_exchange():
    times = pd.date_range("2024-01-02", "2024-02-16", freq="30min")
    times = times[(times.hour >= 9) & (times.hour < 17) & (times.day_of_week < 5)]
    assert times[-1] == pd.Timestamp("2024-02-15 16:30")
    found = next_dates(times, 17)
    assert [found[0], found[-1]] == [pd.Timestamp("2024-02-16 09:00"), pd.Timestamp("2024-02-19 09:00")]


def test_the_day_of_the_month_is_kept():
    dates = pd.DatetimeIndex([f"2020-{month:02d}-15" for month in range(1, 13)])
    assert list(next_dates(dates, 2)) == [pd.Timestamp("2021-01-15"), pd.Timestamp("2021-02-15")]


def test_two_weekly_series_on_different_weekdays_have_weekly_rows(tmp_path):
    rng = np.random.default_rng(0)
    long = [
        pd.DataFrame({"date": pd.date_range("2020-01-01", periods=80, freq=f"W-{day}"), "id": day})
        for day in ("MON", "THU")
    ]
    long = pd.concat(long).assign(close=lambda rows: 100 + rng.normal(size=len(rows)).cumsum())
    long.to_csv(tmp_path / "long.csv", index=False)
    source = PriceFile(path=str(tmp_path / "long.csv"), id="id")
    frame = source.read()
    assert frame.attrs["recognised"]["unit"] == "week"
    assert series_windows(frame, source, "test").unit == "week"


class _Model(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network
