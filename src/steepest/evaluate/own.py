"""Baselines and metrics of the user's own: the nodes in `evaluation.baselines` and `evaluation.metrics`, by name.

For each series, a baseline is built, fitted to the training rows, and predicts from each row of the series. It must not
use later rows than that; `steepest audit` checks it. A metric is a function of the mean of a number of each prediction,
so a part is scored in blocks.

Shapes: N samples, H horizon, T rows of a series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.windows import Windows


class Baseline:
    """Base class of baselines. Each object predicts one series."""

    def fit(self, prices: pd.Series) -> None:
        """Learn from the prices of the training rows, indexed by date. By default, nothing is learned."""

    def predict(self, prices: pd.Series, horizon: int) -> Any:
        """Return the predicted prices (T, H): row t predicts the rows t + 1 .. t + H from the rows up to t.

        Args:
            prices: all prices of the series (T,), indexed by date.
            horizon: H. With H = 1, the result may have the shape (T,).
        """
        raise NotImplementedError


class Metric:
    """Base class of metrics.

    Attributes:
        higher_is_better: whether a higher score is better, as in torchmetrics. It is an attribute of the class.
    """

    higher_is_better: bool = False

    def terms(self, prediction: Tensor, actual: Tensor, last: Tensor | None) -> Tensor:
        """Return a number for each prediction (N, H), such as its absolute error.

        Args:
            prediction, actual: prices (N, H) in the data's units, float64.
            last: the last known price of each sample (N, 1), or None for plain rows.
        """
        raise NotImplementedError

    def score(self, mean: float) -> float:
        """The score, from the mean of all `terms` of a part. By default, the mean itself."""
        return mean


Metrics = Mapping[str, Metric]
TERM = "evaluation.metrics."  # before the name of a metric: the name of its terms


def own_terms(metrics: Metrics, prediction_NH: Tensor, actual_NH: Tensor, last_N1: Tensor | None) -> dict[str, Tensor]:
    """The terms of each metric (N, H), float64.

    Raises:
        ValueError: if a metric fails or returns another shape.
    """
    found = {}
    for name, metric in metrics.items():
        try:
            term_NH = torch.as_tensor(metric.terms(prediction_NH.detach().double(), actual_NH.double(), last_N1))
        except Exception as error:  # a function of the user's may raise any error
            raise ValueError(f"{TERM}{name} fails: {type(error).__name__}: {error}") from error
        if term_NH.shape != actual_NH.shape:
            raise ValueError(
                f"{TERM}{name}: terms returns the shape {tuple(term_NH.shape)}; it must be {tuple(actual_NH.shape)}, "
                "one number per prediction"
            )
        found[TERM + name] = term_NH.double()
    return found


def own_scores(metrics: Metrics, sums: Mapping[str, float], count: int) -> dict[str, float | None]:
    """The score of each metric, from the sums of its terms over `count` predictions; it is None if not finite."""
    found = {}
    for name, metric in metrics.items():
        try:
            value = float(metric.score(sums[TERM + name] / count)) if count else math.nan
        except (ArithmeticError, ValueError):  # such as the root of a negative number
            value = math.nan
        found[name] = value if math.isfinite(value) else None
    return found


Makers = Mapping[str, Callable[[], Baseline]]  # name -> builds a baseline for one series


def predictors(windows: Windows, makers: Makers, known: Mapping[str, Any]) -> dict[str, Callable[[Tensor], Tensor]]:
    """Fit the baselines to the training rows of each series.

    Args:
        windows: the data.
        makers: name -> a function that builds the baseline.
        known: the names of the other baselines.

    Returns:
        name -> a function that predicts the prices (N, H) of samples with these origins (N,).

    Raises:
        ValueError: if the data have no prices to predict, or a baseline fails or has no prediction for a sample.
    """
    if makers and (windows.classes or not windows.ordered):
        what = "directions or classes" if windows.classes else "plain rows, which have no order in time"
        raise ValueError(
            f"evaluation.baselines predicts series of prices, but these data are {what}: use evaluation.baselines={{}}"
        )
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    for name, make in makers.items():
        if name in known:
            raise ValueError(f"evaluation.baselines.{name} is the name of another baseline: use a different name")
        found[name] = _predictor(windows, f"evaluation.baselines.{name}", make)
    return found


def _predictor(windows: Windows, key: str, make: Callable[[], Baseline]) -> Callable[[Tensor], Tensor]:
    date_T = pd.DatetimeIndex(windows.index.get_level_values("date"))
    price_T = windows.price_T.double().cpu().numpy()
    bounds = [*windows.start_S.tolist(), len(price_T)]
    predicted = np.empty((len(price_T), windows.horizon))
    for series, (start, stop) in enumerate(pairwise(bounds)):
        prices = pd.Series(price_T[start:stop], date_T[start:stop], name=windows.names[series])
        predicted[start:stop] = _of_series(key, make, prices, int(windows.train_stop_S[series]) - start, windows)
    for part in windows.parts.values():
        row_N = part.origins(torch.arange(len(part), device=windows.price_T.device)).cpu().numpy()
        if len(empty := row_N[~np.isfinite(predicted[row_N]).all(1)]):
            series, day = windows.index[empty[0]]
            raise ValueError(
                f"{key} has no finite prediction from {len(empty)} rows, first {series} on {day:%Y-%m-%d}: predict "
                "from every row, for example the last price where too few rows are known"
            )
    predicted_TH = torch.from_numpy(predicted).to(windows.price_T.device)
    return lambda origin_N: predicted_TH[origin_N]


def _of_series(key: str, make: Callable[[], Baseline], prices: pd.Series, rows: int, windows: Windows) -> np.ndarray:
    """The predictions (T, H) for one series with this number of training rows."""
    try:
        baseline = make()
        baseline.fit(prices.iloc[:rows].copy())
        found = np.asarray(baseline.predict(prices.copy(), windows.horizon), dtype=float)
    except Exception as error:  # a class of the user's may raise any error
        raise ValueError(f"{key} fails on {prices.name}: {type(error).__name__}: {error}") from error
    shape = (len(prices), windows.horizon)
    found = found.reshape(shape) if found.shape == (len(prices),) and windows.horizon == 1 else found
    if found.shape != shape:
        raise ValueError(f"{key}: predict returns the shape {found.shape}; it must be {shape}, rows x horizon")
    return found
