"""Trading accounts, one per series, and the performance of a strategy: return, Sharpe ratio, drawdown, costs.

Shapes: T days with a price, I = T - 1 intervals from one day's price to the next one's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
from jaxtyping import Float

from steepest.data.calendar import day_text
from steepest.evaluate.names import SIGNIFICANT
from steepest.evaluate.significance import error_of_mean

FEWEST_DAYS = 30  # minimum number of returns for the Sharpe ratio's interval and the test against buy-and-hold
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Account:
    """One series' capital, which starts at 1.

    Attributes:
        equity_T: the capital at each close, after the trade at that close.
        position_T: the position after the trade; the last is 0.
        traded_T: the traded value as a share of the capital.
        costs: the sum of all costs.
    """

    equity_T: Float[np.ndarray, " T"]
    position_T: Float[np.ndarray, " T"]
    traded_T: Float[np.ndarray, " T"]
    costs: float


def trade(price_T: Float[np.ndarray, " T"], held: Float[np.ndarray, " I"], cost: float) -> Account:
    """Hold a position in each of the I = T - 1 intervals, and close it at the last close.

    In each interval, the capital is multiplied by 1 + position * return, with a floor of 0. A trade at a close
    multiplies it by 1 - cost * |change of position|.
    """
    position_T = np.append(held, 0.0)
    traded_T = np.abs(np.diff(position_T, prepend=0.0))
    growth_T = np.append(1.0, np.maximum(1 + held * (price_T[1:] / price_T[:-1] - 1), 0))
    equity_T = np.cumprod(growth_T * (1 - cost * traded_T))
    costs = float((equity_T / (1 - cost * traded_T) * cost * traded_T).sum())
    return Account(equity_T, position_T, traded_T, costs)


@dataclass(frozen=True)
class Performance:
    """The performance of one strategy. Undefined numbers are None.

    Attributes:
        total_return: the final capital minus 1.
        annual_return: the annualised (geometric) return, or None for less than a year.
        annual_volatility: the standard deviation of the returns, times the square root of the intervals per year.
        sharpe: the annualised Sharpe ratio: mean return / standard deviation, times the same root. The risk-free rate
            is taken to be 0.
        sharpe_interval: its 95 % confidence interval.
        max_drawdown: the maximum drawdown, as a negative share of the peak.
        drawdown_from, drawdown_to: the days of its peak and its trough.
        trades: the number of position changes, including the final one to flat.
        annual_turnover: the value traded per year, in multiples of the capital.
        in_market: the share of intervals in which the position is not flat.
        costs: the sum of all costs, as a share of the initial capital.
    """

    total_return: float
    annual_return: float | None
    annual_volatility: float | None
    sharpe: float | None
    sharpe_interval: tuple[float, float] | None
    max_drawdown: float
    drawdown_from: pd.Timestamp
    drawdown_to: pd.Timestamp
    trades: int
    annual_turnover: float
    in_market: float
    costs: float

    def facts(self) -> dict[str, Any]:
        """The numbers, and the days as text."""
        return asdict(self) | {name: day_text(getattr(self, name)) for name in ("drawdown_from", "drawdown_to")}


def returns_of(equity_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, " I"]:
    """The return of each interval, 0 after a total loss. The first includes the cost of the first trade."""
    before = np.append(1.0, equity_T[1:-1])
    return np.divide(equity_T[1:], before, out=np.ones_like(before), where=before > 0) - 1


def sharpe_interval(return_I: Float[np.ndarray, " I"]) -> tuple[float, float]:
    """The 95 % confidence interval of the per-interval Sharpe ratio S, which is not annualised.

    With z = (r - mean) / standard deviation, the estimation error is, to first order, the mean of z - S (z^2 - 1) / 2
    (Lo, 2002, "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4)). The confidence interval therefore
    accounts for skewness, fat tails and serial correlation. The standard error of this mean is estimated as in
    `diebold_mariano`.
    """
    z_I = (return_I - return_I.mean()) / return_I.std(ddof=1)
    sharpe = return_I.mean() / return_I.std(ddof=1)
    error, terms = error_of_mean(z_I - sharpe * (z_I**2 - 1) / 2)
    half = float(scipy.special.stdtrit(terms, 1 - SIGNIFICANT / 2)) * error
    return float(sharpe) - half, float(sharpe) + half


def performance(equity: pd.Series, accounts: Mapping[str, Account]) -> Performance:
    """The performance of accounts. `equity` is their mean capital by date."""
    equity_T, dates = equity.to_numpy(), equity.index
    return_I = returns_of(equity_T)
    years = (dates[-1] - dates[0]) / pd.Timedelta(days=DAYS_PER_YEAR)
    root = math.sqrt(len(return_I) / years)
    deviation = float(return_I.std(ddof=1)) if len(return_I) > 1 else 0.0
    sharpe = float(return_I.mean()) / deviation * root if deviation else None
    interval = None
    if sharpe is not None and len(return_I) >= FEWEST_DAYS:
        low, high = sharpe_interval(return_I)
        interval = (low * root, high * root)
    drawdown_T = drawdowns(equity_T)
    lowest = int(drawdown_T.argmin())
    traded = sum(account.traded_T.sum() for account in accounts.values()) / len(accounts)
    held = np.concatenate([account.position_T[:-1] for account in accounts.values()])
    return Performance(
        total_return=float(equity_T[-1] - 1),
        annual_return=float(equity_T[-1] ** (1 / years) - 1) if years >= 1 else None,
        annual_volatility=deviation * root if len(return_I) > 1 else None,
        sharpe=sharpe,
        sharpe_interval=interval,
        max_drawdown=float(drawdown_T[lowest]),
        drawdown_from=dates[int(equity_T[: lowest + 1].argmax())],
        drawdown_to=dates[lowest],
        trades=sum(int((account.traded_T > 0).sum()) for account in accounts.values()),
        annual_turnover=float(traded / years),
        in_market=float((held != 0).mean()),
        costs=sum(account.costs for account in accounts.values()) / len(accounts),
    )


def drawdowns(equity_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """The drawdown from the running maximum, which starts at the initial capital of 1, as a negative share of it."""
    return equity_T / np.maximum.accumulate(np.maximum(equity_T, 1.0)) - 1
