"""The data sets: shipped files match their card, generated data match their formula, Yahoo works from its cache."""

import hashlib
import math
import re
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from steepest import Curve, Line, PriceFile, RandomWalk, Rings, ShippedPrices, Sigmoid, Table, YahooPrices


def test_the_shipped_files_match_the_data_card():
    card = (ROOT / "data" / "README.md").read_text()
    digests = dict(re.findall(r"\| `(\S+\.csv\S*)` \|.*`([0-9a-f]{64})`", card))
    assert set(digests) == {p.name for p in (ROOT / "data").glob("*.csv*")}
    for name, digest in digests.items():
        assert hashlib.sha256((ROOT / "data" / name).read_bytes()).hexdigest() == digest


def test_the_shipped_prices_match_the_data_card():
    index = ShippedPrices(file="sp500.csv.gz").read()
    assert len(index) == 8313
    assert [str(d.date()) for d in index.index.get_level_values("date")[[0, -1]]] == ["1990-01-02", "2022-12-28"]
    stocks = ShippedPrices(file="stocks.csv.gz").read()
    assert len(stocks.index.unique("series")) == 20
    assert len(stocks) == 20 * 8313
    with pytest.raises(ValueError, match=r"data.file=ftse.csv.gz: the included files are \['sp500.csv.gz'"):
        ShippedPrices(file="ftse.csv.gz").read()


def test_points_without_noise_lie_on_the_line():
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


def test_generated_data_depends_on_its_own_seed():
    assert RandomWalk(seed=0).read().equals(RandomWalk(seed=0).read())
    assert not RandomWalk(seed=0).read().equals(RandomWalk(seed=1).read())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomWalk(window=0), "data.window=0 must be 1 or more"),
        (lambda: RandomWalk(horizon=0), "data.horizon=0 must be 1 or more"),
        (lambda: RandomWalk(batch_size=0), "data.batch_size=0 must be 1 or more"),
        (lambda: RandomWalk(window=5, longest_window=4), "data.longest_window=4 is below data.window=5"),
        (lambda: RandomWalk(split=[0.5, 0.2, 0.2]), "sum to 1; these sum to 0.9"),
        (lambda: RandomWalk(split=[1.2, -0.1, -0.1]), "must be 0 or more"),
        (lambda: RandomWalk(split=[0.0, 0.5, 0.5]), "the training part is empty"),
        (lambda: RandomWalk(split=[float("nan"), 0.5, 0.5]), "must be 0 or more"),
        (lambda: RandomWalk(split=[1.0]), "three fractions for train, val and test"),
        (lambda: RandomWalk(split=["2020-01-01", "2019-01-01"]), "a later first day of test"),
        (lambda: RandomWalk(split=["soon", "later"]), "or two dates"),
        (lambda: Line(split=[0.5, 0.5]), "three fractions"),
        (lambda: Line(rows=2).read(), "data.rows=2 must be 3 or more"),
        (lambda: Line(low=1, high=1).read(), "data.low=1 must be below data.high=1"),
        (lambda: PriceFile(path="no.csv").read(), "data.path=no.csv: there is no such file"),
        (
            lambda: Rings(radius=1.6).read(),
            "data.radius=1.6, data.inner=1.5, data.outer=2: 0 < radius <= inner < outer",
        ),
        (lambda: Rings(rows=5).read(), "data.rows=5 must be 6 or more"),
    ],
)
def test_invalid_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_sigmoid_data_equal_scipys():
    special = pytest.importorskip("scipy.special")
    rows = Sigmoid(c=3, b=0.5, w=-2, rows=50).read()
    np.testing.assert_allclose(rows["value"], 3 * special.expit(0.5 - 2 * rows["x"]), rtol=1e-12)
    assert rows["x"].between(-3, 4).all()


def test_rings_are_a_disc_and_a_ring_with_half_of_the_rows_each():
    rows = Rings(radius=0.8, inner=1.2, outer=1.9, rows=4000).read()
    assert list(rows.columns) == ["x1", "x2", "value"]
    distance = np.hypot(rows["x1"], rows["x2"])
    disc, ring = distance[rows["value"] == 0], distance[rows["value"] == 1]
    assert len(disc) == len(ring) == 2000
    assert disc.max() <= 0.8
    assert ring.between(1.2, 1.9).all()
    # uniform over the area: half of the disc lies within radius / sqrt(2)
    assert (disc < 0.8 / 2**0.5).mean() == pytest.approx(0.5, abs=0.05)


def test_no_line_separates_the_rings():
    linear = pytest.importorskip("sklearn.linear_model")
    rows = Rings(rows=4000).read()
    inputs, kind = rows[["x1", "x2"]], rows["value"]
    assert linear.LogisticRegression().fit(inputs, kind).score(inputs, kind) < 0.6


def test_a_shipped_table_is_found_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    table = Table(path="data/norris.csv", inputs=["x"], target="y")
    assert len(table.read()) == 36
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "norris.csv").write_text("x,y\n1,2\n2,3\n")
    own = Table(path="data/norris.csv", inputs=["x"], target="y")
    assert len(own.read()) == 2, "the user's own file takes precedence"


class Yahoo:
    """A fake yfinance."""

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


def test_a_download_is_cached_and_not_repeated(monkeypatch, tmp_path):
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
        (pd.DataFrame(), "Yahoo Finance has no prices: check the symbol"),
        (OSError("no route to host"), r"did not answer \(no route to host\): without a network, use data=csv"),
    ],
)
def test_a_failed_download_is_reported_with_an_alternative(monkeypatch, tmp_path, answer, message):
    Yahoo(monkeypatch, answer)
    with pytest.raises(ValueError, match=message):
        YahooPrices(symbol="NOPE", cache=str(tmp_path)).read()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(ValueError, match=r"pip install -e '.\[yahoo\]'"):
        YahooPrices(symbol="AAPL", cache=str(tmp_path)).read()


def test_shipped_prices_have_their_names_and_first_entries():
    index = ShippedPrices(file="sp500.csv.gz").read()
    assert list(index.index.unique("series")) == ["SP500"]
    stocks = ShippedPrices(file="stocks.csv.gz", series=["MSFT", "AAPL"]).read()
    assert list(stocks.index.unique("series")) == ["MSFT", "AAPL"]
    assert stocks.loc[("AAPL", pd.Timestamp("1990-01-02")), "value"] == 0.264
    assert stocks.loc[("MSFT", pd.Timestamp("1990-01-03")), "value"] == 0.386
    with pytest.raises(ValueError, match=r"stocks.csv.gz: has no series 'APPL' \(data.series\); did you mean 'AAPL'\?"):
        ShippedPrices(file="stocks.csv.gz", series=["APPL"]).read()


def test_a_random_walk_follows_its_formula_step_by_step():
    walk = RandomWalk(rows=30, start=7, drift=0.01, volatility=0.3, seed=5, frequency="B").read()
    steps = np.random.default_rng(5).normal(0.01, 0.3, 29)
    expected = [7.0]
    for step in steps:
        expected.append(expected[-1] * np.exp(step))
    np.testing.assert_allclose(walk["value"], expected, rtol=1e-12)
    days = walk.index.get_level_values("date")
    assert days.day_name().isin(["Saturday", "Sunday"]).sum() == 0
    assert days[0] == pd.Timestamp("1990-01-01")


@pytest.mark.parametrize("rows", [0, -3])
def test_a_random_walk_without_rows_names_its_key(rows):
    with pytest.raises(ValueError, match=rf"data.rows={rows} must be"):
        RandomWalk(rows=rows).read()


def test_a_constant_random_walk_is_refused():
    with pytest.raises(ValueError, match=r"data=random_walk: .*'random_walk' is constant \(100\)"):
        RandomWalk(volatility=0).read()


def test_least_squares_recovers_a_noisy_line_and_its_noise():
    rows = Line(a=2, b=1, noise=0.5, rows=20_000, low=-4, high=2).read()
    (slope, constant), (squares,), *_ = np.linalg.lstsq(
        np.stack([rows["x"], np.ones(len(rows))], 1), rows["value"], rcond=None
    )
    assert slope == pytest.approx(2, abs=4 * 0.5 / (np.sqrt(3) * np.sqrt(20_000)))  # x deviates by 6 / sqrt 12
    assert constant == pytest.approx(1, abs=0.02)
    assert np.sqrt(squares / 20_000) == pytest.approx(0.5, rel=0.02)
    assert rows.index.tolist() == list(range(1, 20_001))
    assert rows.columns.tolist() == ["x", "value"]
    assert (rows["x"].min(), rows["x"].max()) == pytest.approx((-4, 2), abs=0.01)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("sine", math.sin),
        ("square", lambda x: x * x),
        ("absolute", lambda x: x if x > 0 else -x),
        ("step", lambda x: 1.0 if x > 0 else 0.0),
        # the straight lines through (-3, 0), (-1, 2), (0, -1), (1.5, 1), (3, 0)
        (
            "piecewise",
            lambda x: x + 3 if x < -1 else -1 - 3 * x if x < 0 else -1 + 4 * x / 3 if x < 1.5 else 2 - 2 * x / 3,
        ),
    ],
)
def test_a_curve_holds_its_function_at_every_point(name, function):
    rows = Curve(function=name, rows=200, seed=2).read()
    np.testing.assert_allclose(rows["value"], [function(x) for x in rows["x"]], rtol=1e-12, atol=1e-12)
    assert rows["x"].min() < -2.8
    assert rows["x"].max() > 2.8


def test_noise_on_a_curve_has_the_given_deviation():
    rows = Curve(function="square", noise=0.2, rows=20_000).read()
    rest = rows["value"] - rows["x"] ** 2
    assert rest.mean() == pytest.approx(0, abs=4 * 0.2 / np.sqrt(20_000))
    assert rest.std() == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomWalk(window=-2), "data.window=-2 must be 1 or more"),
        (lambda: RandomWalk(longest_window=0), "data.longest_window=0 must be 1 or more"),
        (lambda: RandomWalk(split=["2020-01-01", "2020-01-01"]), "a later first day of test"),
        (lambda: RandomWalk(split=[0.8, 0.2]), "or two dates"),
        (lambda: RandomWalk(split=[0.5, 0.2, 0.2, 0.1]), "three fractions for train, val and test"),
        (lambda: Line(batch_size=0), "data.batch_size=0 must be 1 or more"),
        (lambda: Line(split=[0.8, 0.3, -0.1]), "must be 0 or more"),
        (lambda: Line(split=[0, 0.5, 0.5]), "the training part is empty"),
        (lambda: Curve(rows=2).read(), "data.rows=2 must be 3 or more"),
        (lambda: Table(path="no.csv", inputs=["x"], target="y").read(), "data.path=no.csv: there is no such file"),
    ],
)
def test_more_invalid_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_options_at_their_limits_are_accepted():
    spec = RandomWalk(window=5, longest_window=5, batch_size=None, split=["2010", "2016-01-01"])
    assert spec.window == spec.longest_window == 5
    assert RandomWalk(split=[1, 0, 0]).split == Line(split=[1, 0, 0]).split == [1, 0, 0]
    assert RandomWalk(split=[0.1 + 0.2, 0.3, 0.4]).split[1] == 0.3  # sums to 1 but for rounding


def test_a_price_file_passes_on_all_of_its_options(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(
        "when,who,paid,size\n"
        "05.02.2020,X,3,30\n05.02.2020,X,9,90\n04.02.2020,X,n/k,20\n03.02.2020,X,1,10\n03.02.2020,Y,7,70\n"
    )
    frame = PriceFile(
        path=str(path), date="when", value="paid", id="who", series=["X"], features=["size"],
        date_format="%d.%m.%Y", missing="forward_fill", duplicates="last",
    ).read()  # fmt: skip
    assert frame.index.tolist() == [("X", pd.Timestamp(f"2020-02-0{day}")) for day in (3, 4, 5)]
    assert frame.columns.tolist() == ["value", "size"]
    assert frame.to_numpy().tolist() == [[1, 10], [1, 20], [9, 90]]


def test_a_table_passes_on_all_of_its_options(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\n1,2,3\n4,x,6\n7,8,1\n")
    frame = Table(path=str(path), inputs=["c", "a"], target="b", missing="drop").read()
    assert frame.columns.tolist() == ["c", "a", "b"]
    assert frame.to_numpy().tolist() == [[3, 1, 2], [1, 7, 8]]


def answer(days=4, **close) -> pd.DataFrame:
    """A frame like yfinance's: dates at midnight in New York, and more columns than needed."""
    index = pd.date_range("2020-03-06", periods=days, tz="America/New_York", name="Date")  # summer time begins
    return pd.DataFrame({"Open": 0.0, "Close": np.arange(1.0, days + 1) ** 2, "Volume": 5} | close, index=index)


def test_yahoo_returns_adjusted_prices_of_the_given_days(monkeypatch, tmp_path):
    asked = []

    def ticker(symbol):
        return types.SimpleNamespace(history=lambda **options: asked.append((symbol, options)) or answer())

    fake = types.ModuleType("yfinance")
    fake.Ticker = ticker
    monkeypatch.setitem(sys.modules, "yfinance", fake)
    frame = YahooPrices(symbol="AAPL", start="2020-03-06", end="2020-03-10", cache=str(tmp_path)).read()
    assert asked == [("AAPL", {"start": "2020-03-06", "end": "2020-03-10", "auto_adjust": True})]
    assert frame.index.tolist() == [("AAPL", day) for day in pd.date_range("2020-03-06", periods=4)]
    assert frame["value"].tolist() == [1, 4, 9, 16]


def test_the_cache_is_parquet_and_works_without_yfinance(monkeypatch, tmp_path):
    Yahoo(monkeypatch, answer())
    source = YahooPrices(symbol="AAPL", cache=str(tmp_path))
    first = source.read()
    assert pd.read_parquet(source.path)["close"].tolist() == [1, 4, 9, 16]
    monkeypatch.setitem(sys.modules, "yfinance", None)
    pd.testing.assert_frame_equal(source.read(), first)


def test_each_symbol_and_span_has_its_own_file_in_the_cache(tmp_path):
    sources = [
        YahooPrices(symbol=symbol, start=start, cache=str(tmp_path))
        for symbol in ("AAPL", "MSFT", "../AAPL", "^GSPC")
        for start in ("1990-01-01", "2000-01-01")
    ]
    paths = {Path(source.path).resolve() for source in sources}
    assert len(paths) == len(sources)
    assert {path.parent for path in paths} == {tmp_path.resolve()}


def test_an_empty_answer_is_refused_with_an_alternative(monkeypatch, tmp_path):
    Yahoo(monkeypatch, None)
    with pytest.raises(ValueError, match=r"data.symbol=NOPE: Yahoo Finance has no prices.*data=csv data.path=FILE"):
        YahooPrices(symbol="NOPE", cache=str(tmp_path)).read()
    assert list(tmp_path.iterdir()) == []


def test_a_day_without_a_close_is_refused_or_dropped(monkeypatch, tmp_path):
    Yahoo(monkeypatch, answer(Close=[1.0, 4.0, 9.0, np.nan]))
    with pytest.raises(ValueError, match=r"'close': 1 of 4 are not numbers \(1 missing\), first in row 4"):
        YahooPrices(symbol="AAPL", cache=str(tmp_path)).read()
    assert YahooPrices(symbol="AAPL", cache=str(tmp_path), missing="drop").read()["value"].tolist() == [1, 4, 9]
