"""Scores of predictions, in the data's own units. Pure functions of tensors; no model, no windows.

Shapes: R runs (any leading dimensions, or none), N samples, H horizon; everything is a mean over all N * H predictions
of a run, computed in float64. A score that is not defined (a percentage of a price of 0, the direction of a prediction
that stands still) is NaN among tensors, None among numbers.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.models.losses import cross_entropy, two_classes

HIGHER_IS_BETTER = {"directional_accuracy", "accuracy", "skill"}
VALUE_METRICS = (
    "mse",
    "mae",
    "rmse",
    "mape",
    "mase",
    "directional_accuracy",
    "skill",
    "mse_scaled",
    "mae_scaled",
)
DIRECTION_METRICS = ("cross_entropy", "directional_accuracy", "skill")
CLASS_METRICS = ("cross_entropy", "accuracy", "skill")  # of plain rows

Scores = dict[str, float | None]
RunScores = dict[str, Tensor]  # a number a run


def better(metric: str) -> Literal["min", "max"]:
    """``min`` or ``max``: which way a metric such as ``val/mse_scaled`` is better."""
    return "max" if metric.rsplit("/", 1)[-1] in HIGHER_IS_BETTER else "min"


def value_scores(
    prediction_NH: Float[Tensor, "*R N H"],
    actual_NH: Float[Tensor, "N H"],
    reference_NH: Float[Tensor, "N H"],
    last_N1: Float[Tensor, "N 1"] | None = None,
    naive_N1: Float[Tensor, "N 1"] | None = None,
    unit_N1: Float[Tensor, "N 1"] | None = None,
) -> RunScores:
    """Scores of predicted values.

    Args:
        prediction_NH: predictions, in the data's units.
        actual_NH: what came.
        reference_NH: what the reference (persistence) predicted for the same samples.
        last_N1: the last value known; without it there is no direction.
        naive_N1: each sample's scale for ``mase``: the mean absolute one-step change of the training rows.
        unit_N1: each sample's unit for the ``_scaled`` scores: the standard deviation of the training rows; 1 if None.

    Returns:
        ``mse``; ``mae``; ``rmse`` = sqrt(mse); ``mape`` = mean |e / actual|, a fraction; ``mase`` = mean |e| / naive
        (Hyndman & Koehler 2006); ``directional_accuracy`` = the fraction of right signs of (prediction - last) among
        samples where both prediction and actual moved; ``skill`` = 1 - mse / mse of the reference; ``mse_scaled`` and
        ``mae_scaled`` of e / unit.
    """
    prediction_NH, actual_NH, reference_NH = prediction_NH.double(), actual_NH.double(), reference_NH.double()
    error_NH = prediction_NH - actual_NH
    size_NH = error_NH.abs()
    unit_N1 = torch.ones_like(actual_NH[:, :1]) if unit_N1 is None else unit_N1
    mse = _mean(error_NH.square())
    undefined = torch.full_like(mse, math.nan)
    reference = _mean((reference_NH - actual_NH).square())
    moved = None if last_N1 is None else (prediction_NH - last_N1, actual_NH - last_N1)
    return {
        "mse": mse,
        "mae": _mean(size_NH),
        "rmse": mse.sqrt(),
        "mape": _mean(size_NH / actual_NH.abs()) if bool((actual_NH != 0).all()) else undefined,
        "mase": undefined if naive_N1 is None else _mean(size_NH / naive_N1),
        "directional_accuracy": undefined if moved is None else _same_sign(*moved),
        "skill": 1 - mse / reference if reference > 0 else undefined,
        "mse_scaled": _mean((error_NH / unit_N1).square()),
        "mae_scaled": _mean(size_NH / unit_N1),
    }


def class_scores(
    logits_NO: Float[Tensor, "*R N O"],
    one_NH: Int[Tensor, "N H"],
    reference_one: Float[Tensor, " H"],
    *,
    ordered: bool = True,
) -> RunScores:
    """Scores of predicted classes, such as down and up.

    Args:
        logits_NO: two logits a day, of class 0 and class 1, (N, 2 H).
        one_NH: the class that came; of days 1 where the price rose above the last one known, else 0.
        reference_one: the constant probability of class 1 of the reference, (H,): its share in the training part.
        ordered: whether the classes are directions of days.

    Returns:
        ``cross_entropy`` in nats; the share of right classes, ``directional_accuracy`` or, of plain rows, ``accuracy``;
        ``skill`` = 1 - cross_entropy / that of the reference.
    """
    logits_NO = logits_NO.double()
    entropy = cross_entropy(logits_NO, one_NH)
    share_NH = reference_one.double().expand(one_NH.shape)
    reference = torch.nn.functional.binary_cross_entropy(share_NH, one_NH.double())
    return {
        "cross_entropy": entropy,
        "directional_accuracy" if ordered else "accuracy": _mean(
            (two_classes(logits_NO).argmax(-1) == one_NH).double()
        ),
        "skill": 1 - entropy / reference if reference > 0 else torch.full_like(entropy, math.nan),
    }


def value_metrics(
    prediction_NH: Float[Tensor, "N H"],
    actual_NH: Float[Tensor, "N H"],
    reference_NH: Float[Tensor, "N H"],
    last_N1: Float[Tensor, "N 1"] | None = None,
    naive_N1: Float[Tensor, "N 1"] | None = None,
    unit_N1: Float[Tensor, "N 1"] | None = None,
) -> Scores:
    """`value_scores` of one run as numbers; None where a score is not defined or not finite."""
    return numbers(value_scores(prediction_NH, actual_NH, reference_NH, last_N1, naive_N1, unit_N1))


def direction_metrics(
    logits_NO: Float[Tensor, "N O"], up_NH: Int[Tensor, "N H"], reference_up: Float[Tensor, " H"]
) -> Scores:
    """`class_scores` of one run as numbers; None where a score is not defined or not finite."""
    return numbers(class_scores(logits_NO, up_NH, reference_up))


def numbers(scores: RunScores) -> Scores:
    """One run's scores as numbers; None for what is no finite one."""
    found = torch.stack(list(scores.values())).tolist()
    return {name: number if math.isfinite(number) else None for name, number in zip(scores, found, strict=True)}


def _same_sign(predicted_NH: Tensor, actual_NH: Tensor) -> Tensor:
    called_NH = (predicted_NH != 0) & (actual_NH != 0)
    right_NH = (predicted_NH.sign() == actual_NH.sign()) & called_NH
    # 0 / 0, where nothing moved, is NaN.
    return right_NH.sum((-2, -1)).double() / called_NH.sum((-2, -1)).double()


def _mean(numbers_NH: Tensor) -> Tensor:
    return numbers_NH.mean((-2, -1))
