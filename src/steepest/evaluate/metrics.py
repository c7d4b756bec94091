"""Scores of predictions, in the data's own units. Pure functions of tensors; no model, no windows.

Shapes: N samples, H horizon; everything is a mean over all N * H predictions, computed in float64.
A score that is not defined (a percentage of a price of 0, the direction of a prediction that stands still) is None.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torchmetrics.functional as tm
from jaxtyping import Float, Int
from torch import Tensor

from steepest.models.losses import two_classes

HIGHER_IS_BETTER = {"directional_accuracy", "skill"}
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

Scores = dict[str, float | None]


def better(metric: str) -> Literal["min", "max"]:
    """``min`` or ``max``: which way a metric such as ``val/mse_scaled`` is better."""
    return "max" if metric.rsplit("/", 1)[-1] in HIGHER_IS_BETTER else "min"


def value_metrics(
    prediction_NH: Float[Tensor, "N H"],
    actual_NH: Float[Tensor, "N H"],
    reference_NH: Float[Tensor, "N H"],
    last_N1: Float[Tensor, "N 1"] | None = None,
    naive_N1: Float[Tensor, "N 1"] | None = None,
    unit_N1: Float[Tensor, "N 1"] | None = None,
) -> Scores:
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
    unit_N1 = torch.ones_like(error_NH[:, :1]) if unit_N1 is None else unit_N1
    mse = tm.mean_squared_error(prediction_NH.reshape(-1), actual_NH.reshape(-1)).item()
    reference = (reference_NH - actual_NH).square().mean().item()
    return {
        "mse": _defined(mse),
        "mae": _defined(tm.mean_absolute_error(prediction_NH.reshape(-1), actual_NH.reshape(-1)).item()),
        "rmse": _defined(math.sqrt(mse)) if mse >= 0 else None,
        "mape": _defined((error_NH / actual_NH).abs().mean().item()) if bool((actual_NH != 0).all()) else None,
        "mase": None if naive_N1 is None else _defined((error_NH.abs() / naive_N1).mean().item()),
        "directional_accuracy": None if last_N1 is None else _same_sign(prediction_NH - last_N1, actual_NH - last_N1),
        "skill": _defined(1 - mse / reference) if reference > 0 else None,
        "mse_scaled": _defined((error_NH / unit_N1).square().mean().item()),
        "mae_scaled": _defined((error_NH / unit_N1).abs().mean().item()),
    }


def direction_metrics(
    logits_NO: Float[Tensor, "N O"], up_NH: Int[Tensor, "N H"], reference_up: Float[Tensor, " H"]
) -> Scores:
    """Scores of predicted directions.

    Args:
        logits_NO: two logits a day, down and up, (N, 2 H).
        up_NH: 1 where the price rose above the last one known, else 0.
        reference_up: the constant probability of up of the reference, (H,): the training part's share of ups.

    Returns:
        ``cross_entropy`` in nats; ``directional_accuracy``; ``skill`` = 1 - cross_entropy / that of the reference.
    """
    logits_MC = two_classes(logits_NO.double()).flatten(0, 1)
    up_M = up_NH.flatten()
    entropy = torch.nn.functional.cross_entropy(logits_MC, up_M).item()
    share_NH = reference_up.double().expand(up_NH.shape)
    reference = torch.nn.functional.binary_cross_entropy(share_NH, up_NH.double()).item()
    return {
        "cross_entropy": _defined(entropy),
        "directional_accuracy": tm.accuracy(logits_MC, up_M, task="multiclass", num_classes=2).item(),
        "skill": _defined(1 - entropy / reference) if reference > 0 else None,
    }


def _same_sign(predicted_NH: Tensor, actual_NH: Tensor) -> float | None:
    called = (predicted_NH != 0) & (actual_NH != 0)
    if not bool(called.any()):
        return None
    return (predicted_NH.sign() == actual_NH.sign())[called].double().mean().item()


def _defined(number: float) -> float | None:
    return number if math.isfinite(number) else None
