"""A backtest of a run's predictions: positions, costs, equity, and the comparison with buy-and-hold.

It is arithmetic on closing prices, not a market simulation: `NOT_MODELLED` lists what it leaves out.

Shapes: N predictions, T days with a price, I = T - 1 intervals from one day's price to the next one's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from steepest.data.calendar import day_text, row_unit
from steepest.data.faults import counted
from steepest.evaluate.accounts import FEWEST_DAYS, Account, Performance, performance, returns_of, trade
from steepest.evaluate.names import SIGNIFICANT
from steepest.evaluate.significance import diebold_mariano, significance_in_words

NOT_MODELLED = (
    "Not modelled: slippage, the bid-ask spread and market impact beyond the cost; taxes; dividends; interest on cash; "
    "margin and borrowing costs of short positions; partial positions. All trades are filled at the close, and the "
    "daily rebalancing of a short position to the capital is free. Delisted assets may be missing from the data "
    "(survivorship bias). A threshold tuned on its own backtest looks better than it is."
)


@dataclass(frozen=True)
class Rule:
    """The trading rule: how predictions become positions.

    Attributes:
        threshold: the position is long if the predicted return is above it, short if the return is below its negative,
            else flat. For directions, the probability of a rise minus 0.5 replaces the return.
        cost: the transaction cost, as a share of the traded value.
        lag: the number of rows from the close on which a prediction is based to the close at which it is traded.
        long_only: stay flat instead of going short.

    Raises:
        ValueError: if a value is out of range.
    """

    threshold: float = 0.0
    cost: float = 0.0005
    lag: int = 1
    long_only: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < math.inf:
            raise ValueError(f"threshold={self.threshold} must be 0 or more, such as 0.001 for 0.1%")
        if not 0 <= self.cost < 0.5:
            raise ValueError(
                f"cost={self.cost} must be at least 0 and below 0.5: it is a share, such as 0.0005 for 0.05%"
            )
        if self.lag < 0:
            raise ValueError(f"lag={self.lag} must be 0 or more: a trade cannot come before its prediction")

    def positions(self, predicted: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """1 (long), 0 (flat) or -1 (short) for each predicted return."""
        short = 0.0 if self.long_only else -1.0
        return np.where(predicted > self.threshold, 1.0, np.where(predicted < -self.threshold, short, 0.0))


@dataclass(frozen=True)
class Backtest:
    """A rule and buy-and-hold on the same days, with the same capital and the same costs.

    Attributes:
        rule: the rule.
        equity: columns ``strategy``, ``buy_and_hold`` (the capital at each close, after the trade) and ``exposure``
            (the invested share of the strategy's capital after the trade, negative if short), by ``date``.
        strategy, buy_and_hold: the performance of each.
        p_value: of the hypothesis that both have the same mean log return, or None if this cannot be tested.
        classes: whether the predictions are probabilities of a rise.
    """

    rule: Rule
    equity: pd.DataFrame
    strategy: Performance
    buy_and_hold: Performance
    p_value: float | None
    classes: bool

    @cached_property
    def unit(self) -> str:
        """The unit of a row, such as day."""
        return row_unit(self.equity.index.to_numpy())

    @property
    def beat(self) -> bool | None:
        """Whether the strategy's return is significantly higher than buy-and-hold's, or None if this was not tested."""
        if self.p_value is None:
            return None
        return self.strategy.total_return > self.buy_and_hold.total_return and self.p_value <= SIGNIFICANT

    def in_words(self) -> str:
        """The rule as a phrase."""
        what = "the probability of a rise minus 0.5" if self.classes else "the predicted return"
        limit = self.rule.threshold
        short = "" if self.rule.long_only else f"short if it is below {-limit if limit else 0:g}, "
        sides = f"long if {what} is above {limit:g}, {short}otherwise flat"
        return f"{sides}; cost {self.rule.cost:.4g} of the traded value; lag {counted(self.rule.lag, self.unit)}"

    def sentence(self) -> str:
        """Whether the rule beat buy-and-hold, and whether the difference is statistically significant."""
        mine, other = self.strategy.total_return, self.buy_and_hold.total_return
        figures = f"after costs it returned {mine:,.1%}, against {other:,.1%}"
        intervals = len(self.equity) - 1
        if self.p_value is None:
            if np.array_equal(self.equity["strategy"], self.equity["buy_and_hold"]):
                return f"On these predictions, the rule is identical to buy-and-hold: {figures}."
            reason = "it lost all its capital"
            if intervals < FEWEST_DAYS:
                reason = f"there are only {counted(intervals, self.unit)}, and the test needs {FEWEST_DAYS}"
            return f"The rule was not tested against buy-and-hold: {reason}. A{figures[1:]}."
        result = "beat" if self.beat else "did not beat"
        return f"The rule {result} buy-and-hold: {figures}. {significance_in_words(self.p_value)}."

    def facts(self) -> dict[str, Any]:
        """All results except the equity, as plain values."""
        return {
            "rule": asdict(self.rule),
            "first": day_text(self.equity.index[0]),
            "last": day_text(self.equity.index[-1]),
            "intervals": len(self.equity) - 1,
            "strategy": self.strategy.facts(),
            "buy_and_hold": self.buy_and_hold.facts(),
            "p_value": self.p_value,
            "beat": self.beat,
            "sentence": self.sentence(),
            "not_modelled": NOT_MODELLED,
        }


def backtest(predictions: pd.DataFrame, rule: Rule) -> Backtest:
    """Trade the one-row-ahead predictions of the test part.

    Each series starts with the same capital in a separate account, without rebalancing between accounts. On a date on
    which a series has no price, its position and capital stay the same. Buy-and-hold uses the same accounts.

    Args:
        predictions: a run's table of predictions.
        rule: the rule.

    Raises:
        ValueError: if the table contains plain rows or no test part, if a price is not above 0, if a prediction is not
            finite, or if the test part is too short for the lag.
    """
    if "series" not in predictions:
        raise ValueError("the run was trained on plain rows, which have no prices: a backtest needs price series")
    rows = predictions[(predictions["part"] == "test") & (predictions["horizon"] == 1)]
    if rows.empty:
        raise ValueError("the run has no predictions of a test part: train one with a test part (data.split)")
    classes = "actual" not in rows
    finite = np.isfinite(rows["probability_up" if classes else "prediction"].to_numpy(float))
    if not finite.all():
        raise ValueError(f"{int((~finite).sum())} of {len(rows)} predictions of the test part are not finite numbers")
    accounts, holding, dates = dict[str, Account](), dict[str, Account](), dict[str, pd.DatetimeIndex]()
    for name, own in rows.groupby("series", sort=False, observed=True):
        price, held = _prices_and_positions(own.sort_values("origin"), str(name), rule, classes)
        if not len(held):
            continue
        accounts[str(name)] = trade(price.to_numpy(), held, rule.cost)
        holding[str(name)] = trade(price.to_numpy(), np.ones_like(held), rule.cost)
        dates[str(name)] = price.index
    if not accounts:
        longest = int(rows.groupby("series", observed=True).size().max())
        raise ValueError(f"lag={rule.lag} needs a longer test part: it has {counted(longest, 'prediction')}")
    capital, position = _by_date(accounts, dates)
    equity = pd.DataFrame({"strategy": capital.mean(axis=1), "buy_and_hold": _by_date(holding, dates)[0].mean(axis=1)})
    total = capital.sum(axis=1)
    equity["exposure"] = ((capital * position).sum(axis=1) / total.where(total > 0)).fillna(0.0)
    mine, other = (_log_returns(equity[name].to_numpy()) for name in ("strategy", "buy_and_hold"))
    enough = len(mine) >= FEWEST_DAYS
    p_value = diebold_mariano(torch.from_numpy(-mine), torch.from_numpy(-other), 1) if enough else None
    results = performance(equity["strategy"], accounts), performance(equity["buy_and_hold"], holding)
    return Backtest(rule, equity, *results, p_value, classes)


def _prices_and_positions(rows: pd.DataFrame, name: str, rule: Rule, classes: bool) -> tuple[pd.Series, np.ndarray]:
    """The prices of one series from its first possible trade, and its position in each interval between them."""
    price = pd.Series(rows["last"].to_numpy(float), pd.DatetimeIndex(rows["origin"], name="date"))
    if price.index.has_duplicates:
        twice = price.index[price.index.duplicated()][0]
        raise ValueError(f"{name}: {twice} occurs twice (daylight saving?): a backtest needs one price per time")
    predicted = rows["probability_up"] - 0.5 if classes else rows["prediction"] / rows["last"] - 1
    decided = pd.Series(rule.positions(predicted.to_numpy(float)), price.index)
    if not classes:  # the price after the last prediction is known
        after = pd.Series(rows["actual"].to_numpy(float), pd.DatetimeIndex(rows["date"], name="date"))
        price = pd.concat([price, after[~after.index.isin(price.index)]]).sort_index()
    if not ((price > 0) & np.isfinite(price)).all():
        worst = price[~((price > 0) & np.isfinite(price))]
        raise ValueError(
            f"{name}: {worst.iloc[0]:g} on {worst.index[0]:%Y-%m-%d} is not a price above 0, which a backtest needs"
        )
    held = decided.reindex(price.index, method="ffill").to_numpy()[: max(len(price) - 1 - rule.lag, 0)]
    return price.iloc[rule.lag :], held


def _by_date(
    accounts: Mapping[str, Account], dates: Mapping[str, pd.DatetimeIndex]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The capital and the position of each series on all dates."""
    equity = pd.DataFrame({name: pd.Series(a.equity_T, dates[name]) for name, a in accounts.items()}).sort_index()
    held = pd.DataFrame({name: pd.Series(a.position_T, dates[name]) for name, a in accounts.items()}).sort_index()
    return equity.ffill().fillna(1.0).rename_axis("date"), held.ffill().fillna(0.0).rename_axis("date")


def _log_returns(equity_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, " I"]:
    with np.errstate(divide="ignore"):
        return np.log1p(returns_of(equity_T))
