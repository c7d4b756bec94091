"""Baselines as a user writes them: some are right, others are wrong."""

import numpy as np

from steepest import Baseline

SEEN: list[int] = []  # rows of each fit


class Drift(Baseline):
    def fit(self, prices):
        SEEN.append(len(prices))
        self.slope = (prices.iloc[-1] - prices.iloc[0]) / (len(prices) - 1)

    def predict(self, prices, horizon):
        return prices.to_numpy()[:, None] + self.slope * np.arange(1, horizon + 1)


class Rolling(Baseline):
    def __init__(self, rows: int):
        self.rows = rows

    def predict(self, prices, horizon):
        return prices.rolling(self.rows).mean()


class Tomorrow(Baseline):
    def predict(self, prices, horizon):
        return prices.shift(-1).ffill()


class Flat(Baseline):
    def predict(self, prices, horizon):
        return [1, 2, 3]


class Broken(Baseline):
    def fit(self, prices):
        raise ZeroDivisionError("division by zero")


class NotOne:
    pass
