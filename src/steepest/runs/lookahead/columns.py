"""Finds additional inputs that contain later prices, such as a column that was shifted in the wrong direction.

Changing the future cannot reveal such a column, because its past rows already contain later prices and are not
recomputed. So its values are compared with later prices. Smoothed or mixed columns are not detected.

Shapes: T rows of one series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from steepest.data.files import VALUE

FURTHEST = 5  # minimum number of later rows to compare a column with
CORRELATED = 0.999
SMOOTH = 0.9  # above this autocorrelation of price changes, a series is smooth; market prices have about 0
FEWEST = 10  # minimum number of rows for a correlation


@dataclass(frozen=True)
class LeakingColumn:
    """An additional input whose row contains a later price.

    Attributes:
        column, series: the input's column and series.
        ahead: the number of rows from the input to the price.
        what: the quantity with which the input is correlated.
        correlation: their correlation.
    """

    column: str
    series: str
    ahead: int
    what: str
    correlation: float

    def __str__(self) -> str:
        later = "the next row" if self.ahead == 1 else f"the row {self.ahead} rows later"
        return (
            f"Input '{self.column}' of {self.series} follows {self.what} {later} (correlation {self.correlation:.5f}), "
            "so it contains the future: remove it from data.features, or shift it to the row in which it is known."
        )


def leaking_columns(frame: pd.DataFrame, horizon: int) -> list[LeakingColumn]:
    """Find the additional inputs of a checked frame that contain later prices, once per column.

    Smooth series are skipped: there, today's price and many harmless columns predict the next price.
    """
    found: list[LeakingColumn] = []
    for column in (str(name) for name in frame.columns if name != VALUE):
        for series in frame.index.unique("series"):
            table = frame.loc[series]
            if leak := _leak(table[VALUE], table[column], str(series), column, max(horizon, FURTHEST)):
                found.append(leak)
                break
    return found


def _leak(price_T: pd.Series, input_T: pd.Series, series: str, column: str, furthest: int) -> LeakingColumn | None:
    change_T = price_T.diff()
    if abs(_correlation(change_T, change_T.shift(-1))) > SMOOTH:
        return None
    for ahead in range(1, furthest + 1):
        for what, of_input, of_price in _pairs(price_T, input_T, ahead):
            value = _correlation(of_input, of_price)
            if abs(value) > CORRELATED:
                return LeakingColumn(column, series, ahead, what, value)
    return None


def _pairs(price_T: pd.Series, input_T: pd.Series, ahead: int) -> Iterator[tuple[str, pd.Series, pd.Series]]:
    """Yield the name of a quantity of later prices, the transformed input to compare with it, and the quantity.

    Levels are compared by their changes, because price levels are always correlated.
    """
    later_T = price_T.shift(-ahead)
    yield "the price of", input_T.diff(), later_T.diff()
    yield "the change of the price to", input_T, later_T - price_T
    yield "the direction of the price to", input_T, np.sign(later_T - price_T)
    if (price_T > 0).all():
        yield "the return to", input_T, later_T / price_T - 1
        yield "the price of", np.log(input_T.where(input_T > 0)).diff(), np.log(later_T).diff()


def _correlation(one_T: pd.Series, other_T: pd.Series) -> float:
    """The correlation over the rows that both have, or 0 if there are too few."""
    both = pd.DataFrame({"one": one_T, "other": other_T}).dropna()
    if len(both) < FEWEST or both["one"].nunique() < 2 or both["other"].nunique() < 2:
        return 0.0
    return float(both["one"].corr(both["other"]))
