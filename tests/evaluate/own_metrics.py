"""Metrics as a user writes them: some are right, others are wrong."""

import math

from steepest import Metric


class Rmse(Metric):
    def terms(self, prediction, actual, last):
        return (prediction - actual) ** 2

    def score(self, mean):
        return math.sqrt(mean)


class Hits(Metric):
    """The negative share of correct directions, by its definition."""

    def terms(self, prediction, actual, last):
        return -((prediction > last) == (actual > last)).float()


class High(Metric):
    """The mean prediction."""

    higher_is_better = True

    def terms(self, prediction, actual, last):
        return prediction


class Low(High):
    higher_is_better = False


class Summed(Metric):
    def terms(self, prediction, actual, last):
        return (prediction - actual).sum()


class Broken(Metric):
    def terms(self, prediction, actual, last):
        raise KeyError("weights")
