"""Scores in addition to those of `metrics.py`, computed only once, at the end of a run. Pure functions.

Shapes: N samples, H horizon, O = 2 H logits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

from steepest.evaluate.metrics import Scores, Terms, finite
from steepest.nets.losses import two_classes

BINS = 10  # for the calibration error
FEW_SERIES = 5  # minimum number of series on a day for a rank correlation


def final_value_terms(
    prediction_NH: Float[Tensor, "N H"],
    actual_NH: Float[Tensor, "N H"],
    mean: Float[Tensor, ""],
    change_N1: Float[Tensor, "N 1"] | None,
) -> Terms:
    """What `final_value_scores` needs the sums of.

    Args:
        prediction_NH: the predictions, in the data's units.
        actual_NH: the actual values, float64.
        mean: the mean of all actual values of the part.
        change_N1: the scale of ``rmsse``: the root mean squared one-step change of the training rows; None leaves
            out ``rmsse``.
    """
    prediction_NH = prediction_NH.detach().double()
    error_NH = prediction_NH - actual_NH
    size_NH = prediction_NH.abs() + actual_NH.abs()  # 0 only where both are 0, and then the error is 0
    terms = {
        "error": error_NH,
        "smape": 2 * error_NH.abs() / size_NH.where(size_NH > 0, 1.0),
        "square": error_NH.square(),
        "spread": (actual_NH - mean).square(),
    }
    return terms if change_N1 is None else terms | {"rmsse": (error_NH / change_N1).square()}


def final_value_scores(sums: Mapping[str, float], count: int) -> Scores:
    """Additional scores of predicted values, from the sums of `final_value_terms` over `count` predictions.

    In the formulas, e = prediction - actual, and means are over all values.

    Returns:
        ``bias`` = mean e; ``smape`` = mean 2 |e| / (|prediction| + |actual|), a fraction; ``r2`` = 1 - sum e^2 / sum
        (actual - mean actual)^2; ``rmsse`` = sqrt(mean (e / change)^2), the root mean squared scaled error (Hyndman &
        Koehler 2006).
    """
    scores = {
        "bias": sums["error"] / count,
        "smape": sums["smape"] / count,
        "r2": 1 - sums["square"] / sums["spread"] if sums["spread"] else math.nan,
    }
    if "rmsse" in sums:
        scores["rmsse"] = math.sqrt(sums["rmsse"] / count)
    return finite(scores)


def final_class_metrics(logits_NO: Float[Tensor, "N O"], class_NH: Int[Tensor, "N H"]) -> Scores:
    """Additional scores of predicted classes.

    Args:
        logits_NO: two logits for each day of the horizon, of class 0 and of class 1, (N, 2 H).
        class_NH: the actual classes, 0 or 1.

    Returns:
        scikit-learn's ``balanced_accuracy``, ``f1`` (of class 1), ``auc`` (area under the ROC curve) and ``brier``
        (mean squared error of the probability of class 1), over all days of the horizon; ``calibration_error``: the
        expected calibration error, which is the mean distance between the mean probability and the share of class 1 in
        `BINS` bins of equal width, weighted by the bins' numbers of predictions (Naeini, Cooper & Hauskrecht 2015).
        ``balanced_accuracy`` and ``auc`` need both classes.
    """
    from sklearn import metrics  # slow to import, and only classes need it

    one_M = two_classes(logits_NO.detach().double()).softmax(-1)[..., 1].flatten().cpu().numpy()
    class_M = class_NH.flatten().cpu().numpy()
    both = 0 < class_M.sum() < len(class_M)
    place_M = np.minimum((one_M * BINS).astype(int), BINS - 1)
    gaps = [
        abs(one_M[place_M == place].mean() - class_M[place_M == place].mean()) * (place_M == place).mean()
        for place in np.unique(place_M)
    ]
    return finite(
        {
            "balanced_accuracy": metrics.balanced_accuracy_score(class_M, one_M > 0.5) if both else math.nan,
            "f1": metrics.f1_score(class_M, one_M > 0.5, zero_division=0.0),
            "auc": metrics.roc_auc_score(class_M, one_M) if both else math.nan,
            "brier": float(((one_M - class_M) ** 2).mean()),
            "calibration_error": float(sum(gaps)),
        }
    )


def information_coefficient(
    prediction_N: Float[Tensor, " N"], actual_N: Float[Tensor, " N"], last_N: Float[Tensor, " N"], day_N: np.ndarray
) -> float | None:
    """The mean over days of Spearman's rank correlation, across series, between predicted and actual returns.

    Args:
        prediction_N, actual_N, last_N: predicted, actual and last known prices of one step of the horizon.
        day_N: the day of each sample.

    Returns:
        The mean over the days on which at least `FEW_SERIES` series have different returns, or None if there are none.
    """
    columns = {"predicted": prediction_N / last_N - 1, "actual": actual_N / last_N - 1}
    frame = pd.DataFrame({name: return_N.cpu().numpy() for name, return_N in columns.items()})
    finite_N = np.isfinite(frame.to_numpy()).all(1)
    frame, day_N = frame[finite_N], day_N[finite_N]
    rank = frame.groupby(day_N).rank()
    centred = rank - rank.groupby(day_N).transform("mean")
    squares = centred.pow(2).groupby(day_N).sum()
    products = (centred["predicted"] * centred["actual"]).groupby(day_N).sum()
    tested = (frame.groupby(day_N).size() >= FEW_SERIES) & (squares > 0).all(axis=1)
    found = products[tested] / np.sqrt(squares["predicted"] * squares["actual"])[tested]
    return float(found.mean()) if len(found) else None
