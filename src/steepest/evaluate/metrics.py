"""Scores of one model's predictions. Pure functions of tensors; no model, no windows.

Shapes: N samples, H horizon, O = 2 H logits. Every score is computed in float64 from all N * H predictions. A score
that is undefined or not finite (a percentage of a price of 0, the skill against a perfect reference) is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.nets.losses import two_classes

Scores = dict[str, float | None]
Terms = dict[str, Float[Tensor, "N H"]]  # numbers of each prediction, float64; scores are functions of their sums


def value_metrics(
    prediction_NH: Float[Tensor, "N H"],
    actual_NH: Float[Tensor, "N H"],
    reference_NH: Float[Tensor, "N H"],
    last_N1: Float[Tensor, "N 1"] | None = None,
    naive_N1: Float[Tensor, "N 1"] | None = None,
    unit_N1: Float[Tensor, "N 1"] | None = None,
) -> Scores:
    """Scores of predicted values. In the formulas, e = prediction - actual, and every mean is over all N * H values.

    Args:
        prediction_NH: what the model predicts, in the data's units.
        actual_NH: the actual values.
        reference_NH: what the reference (persistence, or the training mean) predicts for the same samples.
        last_N1: each sample's last known value; without it, there is no directional accuracy.
        naive_N1: the scale of ``mase``: the mean absolute one-step change of the training rows; None: no ``mase``.
        unit_N1: the unit of the ``_scaled`` scores: the standard deviation of the training rows; None: 1.

    Returns:
        ``mse`` = mean e^2; ``mae`` = mean |e|; ``rmse`` = sqrt(mse); ``mape`` = mean |e / actual|, a fraction;
        ``mase`` = mean |e| / naive (Hyndman & Koehler 2006, Int. J. Forecasting 22(4)); ``directional_accuracy`` = the
        fraction of predictions whose prediction - last has the sign of actual - last, among those where neither is 0;
        ``skill`` = 1 - mse / mse of the reference, exactly 0 for the reference itself; ``mse_scaled`` and
        ``mae_scaled``: the mse and mae of e / unit.

    Raises:
        ValueError: the shapes of prediction, actual and reference differ.
    """
    if not prediction_NH.shape == actual_NH.shape == reference_NH.shape:
        raise ValueError(
            f"shapes differ: prediction {tuple(prediction_NH.shape)}, actual {tuple(actual_NH.shape)}, "
            f"reference {tuple(reference_NH.shape)}"
        )
    terms = value_terms(prediction_NH, actual_NH, reference_NH, last_N1, naive_N1, unit_N1)
    return value_scores(totals(terms), prediction_NH.numel())


def value_terms(
    prediction_NH: Float[Tensor, "N H"],
    actual_NH: Float[Tensor, "N H"],
    reference_NH: Float[Tensor, "N H"],
    last_N1: Float[Tensor, "N 1"] | None,
    naive_N1: Float[Tensor, "N 1"] | None,
    unit_N1: Float[Tensor, "N 1"] | None,
) -> Terms:
    """What `value_metrics` adds up; it has the same arguments."""
    prediction_NH = prediction_NH.detach().double()
    actual_NH, reference_NH = actual_NH.double(), reference_NH.double()
    error_NH = prediction_NH - actual_NH
    size_NH = error_NH.abs()
    terms = {
        "mse": error_NH.square(),
        "reference": (reference_NH - actual_NH).square(),
        "mae": size_NH,
        "mape": size_NH / actual_NH.abs(),
    }
    if naive_N1 is not None:
        terms["mase"] = size_NH / naive_N1
    if unit_N1 is not None:
        terms["mae_scaled"] = size_NH / unit_N1
        terms["mse_scaled"] = terms["mae_scaled"].square()
    if last_N1 is not None:
        # 1 where both signs are equal, -1 where they differ, 0 where the prediction or the price does not change.
        terms["agreement"] = (prediction_NH - last_N1).sign() * (actual_NH - last_N1).sign()
        terms["moved"] = terms["agreement"].abs()
    return terms


def value_scores(sums: Mapping[str, float], count: int) -> Scores:
    """The scores of `value_metrics`, from the sums of `value_terms` over this number of predictions."""
    mean = {name: _ratio(total, count) for name, total in sums.items()}
    return finite(
        {
            "mse": mean["mse"],
            "mae": mean["mae"],
            "rmse": math.sqrt(mean["mse"]),
            "mape": mean["mape"],
            "mase": mean.get("mase", math.nan),
            "directional_accuracy": _ratio(sums["moved"] + sums["agreement"], 2 * sums["moved"])
            if "moved" in sums
            else math.nan,
            "skill": 1 - _ratio(mean["mse"], mean["reference"]),
            "mse_scaled": mean.get("mse_scaled", mean["mse"]),
            "mae_scaled": mean.get("mae_scaled", mean["mae"]),
        }
    )


def totals(terms: Terms) -> dict[str, float]:
    """The sum of each term."""
    # One sum over all terms: a torch call costs more than the arithmetic, and the model's mse and the reference's
    # add up in the same order.
    return dict(zip(terms, torch.stack(list(terms.values())).sum((1, 2)).tolist(), strict=True))


def direction_metrics(
    logits_NO: Float[Tensor, "N O"], up_NH: Int[Tensor, "N H"], reference_up: Float[Tensor, " H"]
) -> Scores:
    """Scores of predicted directions: `class_metrics` where class 1 means that the price rises."""
    return class_metrics(logits_NO, up_NH, reference_up, ordered=True)


def class_metrics(
    logits_NO: Float[Tensor, "N O"], class_NH: Int[Tensor, "N H"], reference_one: Float[Tensor, " H"], ordered: bool
) -> Scores:
    """Scores of predicted classes.

    Args:
        logits_NO: two logits for each day of the horizon, of class 0 and of class 1, (N, 2 H).
        class_NH: the actual classes, 0 or 1.
        reference_one: the reference's constant probability of class 1 for each day, (H,): the share of class 1
            in the training part.
        ordered: whether the rows are a time series, so that the classes are directions.

    Returns:
        ``cross_entropy``, a mean in nats; the fraction of correct classes, ``directional_accuracy`` if `ordered`, else
        ``accuracy``; ``skill`` = 1 - cross_entropy / cross_entropy of the reference, exactly 0 for the reference
        itself. As in `torch.nn.functional.binary_cross_entropy`, the reference's log probabilities are at least -100.

    Raises:
        ValueError: there are not two logits for each class.
    """
    if logits_NO.shape != (class_NH.shape[0], 2 * class_NH.shape[1]):
        raise ValueError(f"shapes differ: logits {tuple(logits_NO.shape)}, two for each class {tuple(class_NH.shape)}")
    return class_scores(totals(class_terms(logits_NO, class_NH, reference_one)), class_NH.numel(), ordered)


def class_terms(
    logits_NO: Float[Tensor, "N O"], class_NH: Int[Tensor, "N H"], reference_one: Float[Tensor, " H"]
) -> Terms:
    """What `class_metrics` adds up; it has the same arguments."""
    logits_NHC = two_classes(logits_NO.detach().double())
    gap_NH = logits_NHC[..., 1] - logits_NHC[..., 0]
    share_H = reference_one.double()
    reference_gap_NH = (share_H.log() - (1 - share_H).log()).expand_as(gap_NH)
    # log softmax of the actual class = log sigmoid(its logit - the other logit)
    log_2NH = torch.nn.functional.logsigmoid(torch.stack([gap_NH, reference_gap_NH]) * (2 * class_NH - 1))
    log_2NH[1].clamp_(min=-100)
    right_NH = (gap_NH > 0) == class_NH
    return {"cross_entropy": -log_2NH[0], "reference": -log_2NH[1], "right": right_NH.double()}


def class_scores(sums: Mapping[str, float], count: int, ordered: bool) -> Scores:
    """The scores of `class_metrics`, from the sums of `class_terms` over this number of classes."""
    return finite(
        {
            "cross_entropy": _ratio(sums["cross_entropy"], count),
            "directional_accuracy" if ordered else "accuracy": _ratio(sums["right"], count),
            "skill": 1 - _ratio(sums["cross_entropy"], sums["reference"]),
        }
    )


def _ratio(numerator: int | float, denominator: int | float) -> float:
    return numerator / denominator if denominator > 0 else math.nan


def finite(scores: Mapping[str, float]) -> Scores:
    """The scores, with None in place of a number that is not finite."""
    return {name: float(score) if math.isfinite(score) else None for name, score in scores.items()}
