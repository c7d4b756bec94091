"""Backtests against sums by hand, an account of shares and cash, vectorbt, and the Sharpe ratio's known distribution."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

import steepest
from steepest.cli import app
from steepest.evaluate.accounts import returns_of, sharpe_interval, trade
from steepest.evaluate.backtest import Rule, backtest
from steepest.evaluate.significance import diebold_mariano
from steepest.observe import backtest as pictures
from steepest.observe.theme import lay_out, percent
from steepest.runs.errors import exit_code


def table(prices, predicted, series="A", dates=None):
    """A run's predictions: predicted[t], made on day t, of day t + 1."""
    prices, predicted = np.asarray(prices, float), np.asarray(predicted, float)
    dates = pd.bdate_range("2020-01-01", periods=len(prices)) if dates is None else dates
    return pd.DataFrame(
        {
            "part": "test", "series": series, "origin": dates[:-1], "date": dates[1:], "horizon": 1,
            "last": prices[:-1], "prediction": predicted, "actual": prices[1:],
        }
    )  # fmt: skip


def market(days=300, seed=0):
    """Prices with fat tails, and predictions of which about half have the right sign."""
    random = np.random.default_rng(seed)
    prices = 100 * np.exp(0.01 * random.standard_t(4, days).cumsum())
    return prices, prices[:-1] * (1 + random.normal(0, 0.01, days - 1))


def capital(frame, **options):
    return backtest(frame, Rule(**options)).equity["strategy"].tolist()


PRICES = [100, 110, 99, 99, 108.9]
UP_DOWN_UP_FLAT = [101, 109, 100, 99]  # predictions on the first four days


def test_positions_and_costs_of_five_days_equal_a_calculation_by_hand():
    frame = table(PRICES, UP_DOWN_UP_FLAT)
    # Lag 0: +10 % long, 10 % fall while short, a day without change while long, flat on the last day.
    assert capital(frame, lag=0, cost=0) == pytest.approx([1, 1.1, 1.21, 1.21, 1.21])
    # Lag 1: the first position (long) earns day 2 to 3, the second (short) day 3 to 4, the third (long) day 4 to 5.
    assert capital(frame, lag=1, cost=0) == pytest.approx([1, 0.9, 0.9, 0.99])
    # A reversal trades twice the capital, the first entry and the last sale once.
    assert capital(frame, lag=1, cost=0.1) == pytest.approx(
        [0.9, 0.9**2 * 0.8, 0.9**2 * 0.8**2, 0.9**4 * 0.8**2 / 0.9 * 1.1]
    )
    assert capital(frame, lag=2, cost=0) == pytest.approx([1, 1, 0.9])
    assert capital(frame, lag=1, cost=0, long_only=True) == pytest.approx([1, 0.9, 0.9, 0.99])
    assert capital(frame, lag=0, cost=0, threshold=0.0095) == pytest.approx(
        [1, 1.1, 1.1, 1.1, 1.1]
    )  # only 1 % and 1.01 %


def shares_and_cash(prices, positions, cost):
    """The capital at each close of an account that buys and sells shares."""
    cash, shares, before, found = 1.0, 0.0, 0.0, []
    for price, position in zip(prices, [*positions, 0.0], strict=True):
        value = cash + shares * price
        value -= abs(position - before) * value * cost
        shares = position * value / price
        cash, before = value - shares * price, position
        found.append(value)
    return found


@pytest.mark.parametrize(
    "options", [{}, {"lag": 0}, {"lag": 3, "cost": 0.02}, {"threshold": 0.005}, {"long_only": True}]
)
def test_the_capital_is_that_of_an_account_of_shares_and_cash(options):
    prices, predicted = market()
    rule = Rule(**options)
    signs = [
        1 if p / q - 1 > rule.threshold else -1 if p / q - 1 < -rule.threshold and not rule.long_only else 0
        for p, q in zip(predicted, prices[:-1], strict=True)
    ]
    held = signs[: len(signs) - rule.lag]
    expected = shares_and_cash(prices[rule.lag :], held, rule.cost)
    found = backtest(table(prices, predicted), rule)
    np.testing.assert_allclose(found.equity["strategy"], expected, rtol=1e-10)
    assert found.equity["exposure"].tolist() == [*held, 0]
    changes = np.diff([0, *held, 0])
    assert found.strategy.trades == np.count_nonzero(changes)
    assert found.strategy.in_market == pytest.approx(np.mean(np.abs(held)))
    years = (found.equity.index[-1] - found.equity.index[0]).days / 365.25
    assert found.strategy.annual_turnover == pytest.approx(np.abs(changes).sum() / years)


@pytest.mark.parametrize("lag", [0, 1, 4])
def test_prices_and_predictions_after_a_day_do_not_change_the_capital_until_this_day(lag):
    prices, predicted = market(120)
    day = 60
    other = prices.copy()
    other[day + 1 :] *= np.linspace(1.3, 0.4, len(prices) - day - 1)
    changed = np.where(np.arange(len(predicted)) > day, other[:-1] * 1.1, predicted)
    one, two = (backtest(table(*both), Rule(lag=lag)).equity for both in ((prices, predicted), (other, changed)))
    assert one["strategy"].iloc[: day + 1 - lag].equals(two["strategy"].iloc[: day + 1 - lag])
    assert one["strategy"].iloc[day + 1 - lag] != two["strategy"].iloc[day + 1 - lag]


def test_the_capital_of_a_rule_that_is_always_long_without_costs_follows_the_price():
    prices, _ = market()
    found = backtest(table(prices, prices[:-1] * 1.01), Rule(cost=0))
    np.testing.assert_allclose(found.equity["strategy"], prices[1:] / prices[1], rtol=1e-12)
    assert found.equity["strategy"].equals(found.equity["buy_and_hold"])
    assert found.strategy == found.buy_and_hold
    assert found.sentence().startswith(
        "On these predictions, the rule is identical to buy-and-hold: after costs it returned"
    )


def test_a_higher_cost_only_lowers_the_capital():
    frame = table(*market())
    low, high = (np.array(capital(frame, cost=cost)) for cost in (0, 0.001))
    assert (high < low).all()


def test_a_short_position_cannot_lose_more_than_the_capital():
    account = trade(np.array([1.0, 3.0, 1.0]), np.array([-1.0, -1.0]), 0)
    assert account.equity_T.tolist() == [1, 0, 0]
    found = backtest(table([1.0] * 20 + [3.0] * 20, [0.5] * 39), Rule())
    assert found.strategy.total_return == -1
    assert found.sentence().startswith("The rule was not tested against buy-and-hold: it lost all its capital")
    json.dumps(found.facts(), allow_nan=False)


def test_series_have_equal_capital_and_keep_it_on_days_without_a_price():
    prices, predicted = market(80)
    days = pd.bdate_range("2020-01-01", periods=80)
    one, two = table(prices, predicted, "A", days), table(prices[20:60], predicted[20:59], "B", days[20:60])
    two = two[two["origin"] != days[40]]  # a day without a prediction of B
    found = backtest(pd.concat([one, two]), Rule())
    alone = [backtest(frame, Rule()).equity["strategy"] for frame in (one, two)]
    expected = pd.concat(alone, axis=1).ffill().fillna(1).mean(axis=1)
    np.testing.assert_allclose(found.equity["strategy"], expected, rtol=1e-12)
    assert found.strategy.trades == sum(backtest(frame, Rule()).strategy.trades for frame in (one, two))


def test_a_probability_above_one_half_is_long():
    prices, predicted = market(100)
    frame = table(prices, predicted)
    chances = frame.assign(probability_up=0.5 + (frame["prediction"] / frame["last"] - 1)).drop(
        columns=["actual", "prediction"]
    )
    # The price after the last prediction is not known, so the backtest ends a day earlier.
    assert backtest(chances, Rule(cost=0)).equity["strategy"].tolist() == capital(frame, cost=0)[:-1]


def test_the_largest_drawdown_is_the_lowest_ratio_of_a_later_to_an_earlier_capital():
    found = backtest(table(*market(101)), Rule()).strategy
    curve = backtest(table(*market(101)), Rule()).equity["strategy"]
    values = [1.0, *curve]
    assert found.max_drawdown == pytest.approx(min(b / a - 1 for n, a in enumerate(values) for b in values[n:]))
    assert curve[found.drawdown_to] / max(1.0, curve[found.drawdown_from]) - 1 == pytest.approx(found.max_drawdown)


def test_the_cost_of_the_first_trade_is_in_the_first_return_and_in_the_drawdown():
    found = backtest(table([100, 100, 90, 90], [101] * 3), Rule(cost=0.1))
    equity = found.equity["strategy"].to_numpy()
    assert equity == pytest.approx([0.9, 0.81, 0.729])
    assert returns_of(equity) == pytest.approx([-0.19, -0.1])
    assert found.strategy.max_drawdown == pytest.approx(-0.271)
    assert found.strategy.drawdown_from == found.equity.index[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cost", "long_only", "tolerance"), [(0, True, 1e-12), (0, False, 1e-12), (0.0005, True, 1e-4)]
)
def test_results_equal_those_of_vectorbt(cost, long_only, tolerance):
    # Of the capital, vectorbt spends the share 1 / (1 + cost) on shares, and trades to keep a short position constant.
    vectorbt = pytest.importorskip("vectorbt", reason="pip install vectorbt")
    prices, predicted = market(400)
    found = backtest(table(prices, predicted), Rule(cost=cost, long_only=long_only))
    equity, result = found.equity, found.strategy
    close = pd.Series(prices[1:], equity.index)
    other = vectorbt.Portfolio.from_orders(
        close, size=equity["exposure"], size_type="targetpercent", fees=cost, init_cash=1.0, freq="1D"
    )
    np.testing.assert_allclose(equity["strategy"], other.value(), rtol=tolerance)
    assert result.total_return == pytest.approx(other.total_return(), abs=tolerance)
    assert result.max_drawdown == pytest.approx(other.max_drawdown(), abs=tolerance)
    assert result.costs == pytest.approx(other.orders.fees.sum(), abs=tolerance)
    years = (equity.index[-1] - equity.index[0]).days / 365.25
    returns = pd.Series(returns_of(equity["strategy"].to_numpy()), equity.index[1:])
    yearly = returns.vbt.returns(freq="1D", year_freq=f"{len(returns) / years}D")
    assert result.annual_return == pytest.approx(yearly.annualized())
    assert result.annual_volatility == pytest.approx(yearly.annualized_volatility())
    assert result.sharpe == pytest.approx(yearly.sharpe_ratio())


def test_the_sharpe_interval_of_independent_returns_is_that_of_mertens():
    # Mertens (2002): T var(S) = 1 + S^2 / 2 - skewness S + (kurtosis - 3) / 4 S^2; here S = 1 and skewness 2, kurtosis 9
    returns = np.random.default_rng(0).exponential(1.0, 200_000)
    low, high = sharpe_interval(returns)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt((1 + 0.5 - 2 + 1.5) / len(returns)), rel=0.05)


@pytest.mark.parametrize("dependence", [0.0, 0.3])
def test_the_sharpe_interval_contains_the_true_ratio_in_95_percent_of_samples(dependence):
    random, samples, days = np.random.default_rng(1), 1000, 750
    noise = random.normal(size=(samples, days + 50))
    for day in range(1, days + 50):
        noise[:, day] += dependence * noise[:, day - 1]
    true = 0.1 * np.sqrt(1 - dependence**2)
    inside = [low <= true <= high for low, high in map(sharpe_interval, 0.1 + noise[:, 50:])]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.025)


def test_the_difference_from_buy_and_hold_is_tested_on_log_returns():
    prices, _ = market(400)
    random = np.random.default_rng(3)
    right = prices[1:] + 0.02 * prices[:-1] * random.normal(size=399)  # sees the future, so the rule is better
    found = backtest(table(prices, right), Rule(lag=0))
    logs = [np.diff(np.log([1.0, *found.equity[name][1:]])) for name in ("strategy", "buy_and_hold")]
    assert found.p_value == pytest.approx(diebold_mariano(*(torch.from_numpy(-log) for log in logs), 1), rel=1e-9)
    assert found.beat
    assert ". The difference is statistically significant (p = " in found.sentence()
    unlucky = backtest(table(*market(400)), Rule())
    assert not unlucky.beat
    assert unlucky.sentence().startswith("The rule did not beat buy-and-hold: after costs it returned ")


def test_a_short_test_part_has_no_interval_and_no_test():
    found = backtest(table(*market(31)), Rule())
    assert len(found.equity) == 30
    assert found.strategy.sharpe_interval is None
    assert found.beat is None
    assert "there are only 29 days, and the test needs 30" in found.sentence()
    assert backtest(table(*market(32)), Rule()).strategy.sharpe_interval is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": -0.1}, "threshold=-0.1 must be 0 or more"),
        ({"threshold": float("nan")}, "threshold=nan must be 0 or more"),
        ({"cost": 0.5}, "cost=0.5 must be at least 0 and below 0.5"),
        ({"lag": -1}, "lag=-1 must be 0 or more"),
        ({"lag": 4}, "lag=4 needs a longer test part: it has 4 predictions"),
    ],
)
def test_an_impossible_rule_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        backtest(table(PRICES, UP_DOWN_UP_FLAT), Rule(**options))


def test_plain_rows_missing_test_parts_and_values_not_above_0_are_refused():
    frame = table(PRICES, UP_DOWN_UP_FLAT)
    with pytest.raises(ValueError, match="plain rows"):
        backtest(frame.drop(columns="series"), Rule())
    with pytest.raises(ValueError, match="no predictions of a test part"):
        backtest(frame.assign(part="val"), Rule())
    with pytest.raises(ValueError, match="A: -1 on 2020-01-03 is not a price above 0"):
        backtest(table([100, 110, -1, 99, 108.9], UP_DOWN_UP_FLAT), Rule())


def test_predictions_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 of 4 predictions of the test part are not finite"):
        backtest(table(PRICES, [101, np.nan, 100, 99]), Rule())


def test_the_picture_ends_at_the_two_results_and_its_title_states_them(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: drawn.append(lay_out(figure, 100).figure))
    found = backtest(table(*market()), Rule())
    pictures.draw_backtest(found, "Net", tmp_path / "b.png")
    capital, drawdown = drawn[0].axes
    ends = [line.get_ydata()[-1] for line in capital.lines if len(line.get_ydata()) > 2]
    assert ends == [found.equity[name].iloc[-1] for name in ("buy_and_hold", "strategy")]
    assert min(drawdown.lines[1].get_ydata()) == found.strategy.max_drawdown
    title = drawn[0].get_suptitle().replace("\n", " ")
    assert f"the rule returned {percent(found.strategy.total_return)} and buy-and-hold" in title
    assert title.endswith(f"The difference is not statistically significant (p = {found.p_value:.2g})")


FEW = ("data=random_walk", "data.rows=400", "stop.epochs=1", "data.window=5", "logger=none")


def test_the_command_prints_and_writes_the_backtest_of_python(train, tmp_path, caplog):
    caplog.set_level(logging.INFO, "steepest")
    _, folder = train(*FEW, "data.horizon=2")
    answer = CliRunner().invoke(app, ["backtest", str(folder), "--lag", "2", "--out", str(tmp_path / "curve.csv")])
    assert answer.exit_code == 0, answer.exception
    found = steepest.load(folder).backtest(lag=2)
    assert found.sentence() in answer.output
    assert json.loads((folder / "backtest.json").read_text()) == json.loads(json.dumps(found.facts()))
    written = pd.read_csv(tmp_path / "curve.csv", parse_dates=["date"]).set_index("date")
    pd.testing.assert_frame_equal(written, found.equity, check_freq=False, check_index_type=False)
    assert (folder / "figures" / "backtest.png").stat().st_size > 10_000
    assert "Not modelled: slippage" in answer.output
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | {"status": "running"}))
    with pytest.raises(ValueError, match="status is running: finish it with resume="):
        steepest.load(folder).backtest()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_run"], "no_run: there is no checkpoints/best.ckpt"),
        (["no_run", "--cost", "0.9"], "cost=0.9 must be at least 0 and below 0.5"),
        (["no_run", "--threshold", "-1"], "threshold=-1.0 must be 0 or more"),
    ],
)
def test_bad_input_gives_one_message_and_exit_code_2(arguments, message):
    error = CliRunner().invoke(app, ["backtest", *arguments]).exception
    assert message in str(error)
    assert exit_code(error) == 2


def test_the_options_of_the_command_have_the_defaults_of_the_rule():
    options = {command.name: command for command in get_command(app).commands.values()}["backtest"].params
    defaults = {option.name: option.default for option in options}
    assert {name: defaults[name] for name in vars(Rule())} == vars(Rule())


def test_a_time_that_occurs_twice_is_named():
    time = pd.to_datetime(["2021-10-31 01:00", "2021-10-31 02:00", "2021-10-31 02:00", "2021-10-31 03:00"])
    rows = {"part": "test", "series": "A", "origin": time[:-1], "date": time[1:], "horizon": 1, "last": 1.0}
    with pytest.raises(ValueError, match="2021-10-31 02:00:00 occurs twice"):
        backtest(pd.DataFrame(rows | {"prediction": 1.1, "actual": 1.0}), Rule())
