"""The data sets: shipped ones as their card says, made ones as their formula says, the live one without a network."""

import hashlib
import re
import sys
import types

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from steepest import Curve, Line, PriceFile, RandomWalk, ShippedPrices, YahooPrices


def test_the_shipped_files_are_those_of_the_data_card():
    card = (ROOT / "data" / "README.md").read_text()
    digests = dict(re.findall(r"\| `(\S+\.csv\.gz)` \|.*`([0-9a-f]{64})`", card))
    assert set(digests) == {p.name for p in (ROOT / "data").glob("*.gz")}
    for name, digest in digests.items():
        assert hashlib.sha256((ROOT / "data" / name).read_bytes()).hexdigest() == digest


def test_the_shipped_prices_are_what_the_card_says():
    index = ShippedPrices(file="sp500.csv.gz").read()
    assert len(index) == 8313
    assert [str(d.date()) for d in index.index.get_level_values("date")[[0, -1]]] == ["1990-01-02", "2022-12-28"]
    stocks = ShippedPrices(file="stocks.csv.gz").read()
    assert len(stocks.index.unique("series")) == 20
    assert len(stocks) == 20 * 8313
    with pytest.raises(ValueError, match=r"data.file=ftse.csv.gz: the checkout's data folder has \['sp500.csv.gz'"):
        ShippedPrices(file="ftse.csv.gz").read()


def test_a_line_without_noise_is_the_line():
    rows = Line(a=3, b=-1, noise=0, low=0, high=5, rows=50).read()
    slope, constant = np.polyfit(rows["x"], rows["value"], 1)
    assert (slope, constant) == pytest.approx((3, -1))
    assert rows["x"].between(0, 5).all()


@pytest.mark.parametrize(
    ("name", "function"),
    [("sine", np.sin), ("square", np.square), ("absolute", np.abs), ("step", lambda x: (x > 0).astype(float))],
)
def test_a_curve_without_noise_is_its_function(name, function):
    rows = Curve(function=name, rows=40).read()
    np.testing.assert_allclose(rows["value"], function(rows["x"]), atol=1e-15)


def test_the_piecewise_curve_goes_through_its_points():
    rows = Curve(function="piecewise", rows=4000).read()
    nearest = lambda x: rows["value"].iloc[(rows["x"] - x).abs().argmin()]  # noqa: E731
    assert [round(nearest(x), 1) for x in (-1, 0, 1.5)] == [2, -1, 1]


def test_a_random_walk_has_the_drift_and_volatility_it_was_given():
    walk = RandomWalk(rows=50_000, drift=0.001, volatility=0.02, frequency="h").read()["value"]
    steps = np.diff(np.log(walk))
    assert steps.mean() == pytest.approx(0.001, abs=4 * 0.02 / np.sqrt(50_000))
    assert steps.std() == pytest.approx(0.02, rel=0.02)
    assert walk.iloc[0] == 100


def test_the_seed_of_made_data_is_its_own():
    assert RandomWalk(seed=0).read().equals(RandomWalk(seed=0).read())
    assert not RandomWalk(seed=0).read().equals(RandomWalk(seed=1).read())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomWalk(window=0), "data.window=0 must be 1 or more"),
        (lambda: RandomWalk(horizon=0), "data.horizon=0 must be 1 or more"),
        (lambda: RandomWalk(batch_size=0), "data.batch_size=0 must be 1 or more"),
        (lambda: RandomWalk(window=5, longest_window=4), "data.longest_window=4 is below data.window=5"),
        (lambda: RandomWalk(split=[0.5, 0.2, 0.2]), "sum to 1, these sum to 0.9"),
        (lambda: RandomWalk(split=[1.2, -0.1, -0.1]), "must be 0 or more"),
        (lambda: RandomWalk(split=[0.0, 0.5, 0.5]), "the training part is empty"),
        (lambda: RandomWalk(split=[1.0]), "three fractions for train, val and test"),
        (lambda: RandomWalk(split=["2020-01-01", "2019-01-01"]), "a later first day of test"),
        (lambda: RandomWalk(split=["soon", "later"]), "two dates are wanted"),
        (lambda: Line(split=[0.5, 0.5]), "three fractions"),
        (lambda: Line(rows=2).read(), "data.rows=2 must be 3 or more"),
        (lambda: Line(low=1, high=1).read(), "data.low=1 must lie below data.high=1"),
        (lambda: PriceFile(path="no.csv").read(), "data.path=no.csv: there is no such file"),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Yahoo:
    """Stands in for yfinance."""

    def __init__(self, monkeypatch, answer):
        self.calls = 0

        def history(**kwargs):
            self.calls += 1
            if isinstance(answer, Exception):
                raise answer
            return answer

        fake = types.ModuleType("yfinance")
        fake.Ticker = lambda symbol: types.SimpleNamespace(history=history)
        monkeypatch.setitem(sys.modules, "yfinance", fake)


def test_a_download_is_kept_and_not_fetched_again(monkeypatch, tmp_path):
    days = pd.date_range("2020-01-01", periods=4, tz="America/New_York")
    yahoo = Yahoo(monkeypatch, pd.DataFrame({"Close": [1.0, 2, 3, 2]}, index=days))
    source = YahooPrices(symbol="^GSPC", cache=str(tmp_path / "cache"))
    first = source.read()
    assert first.loc["^GSPC", "value"].tolist() == [1, 2, 3, 2]
    assert first.index[0][1] == pd.Timestamp("2020-01-01")
    assert source.read().equals(first)
    assert yahoo.calls == 1
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".parquet"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (pd.DataFrame(), "Yahoo Finance sent no prices: check the symbol"),
        (OSError("no route to host"), r"did not answer \(no route to host\): without a network use data=csv"),
    ],
)
def test_a_download_that_fails_says_what_to_use_instead(monkeypatch, tmp_path, answer, message):
    Yahoo(monkeypatch, answer)
    with pytest.raises(ValueError, match=message):
        YahooPrices(symbol="NOPE", cache=str(tmp_path)).read()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(ValueError, match=r"pip install -e '.\[yahoo\]'"):
        YahooPrices(symbol="AAPL", cache=str(tmp_path)).read()
