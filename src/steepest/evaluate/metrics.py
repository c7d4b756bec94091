"""Scores of predictions, in the data's own units. Pure functions of tensors; no model, no windows.

Shapes: R runs (any leading dimensions, or none), N samples, H horizon; everything is a mean over all N * H predictions
of a run, computed in float64. A score that is not defined (a percentage of a price of 0, the direction of a prediction
that stands still) is NaN among tensors, None among numbers.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.nets.losses import cross_entropy, two_classes

Scores = dict[str, float | None]
RunScores = dict[str, Tensor]  # a number a run


class Measure:
    """What predicted values of some samples are scored against, made once, asked often.

    Args:
        actual_NH: what came.
        reference_NH: what the reference (persistence) predicted for the same samples.
        last_N1: the last value known; without it there is no direction.
        naive_N1: each sample's scale for ``mase``: the mean absolute one-step change of the training rows.
        unit_N1: each sample's unit for the ``_scaled`` scores: the standard deviation of the training rows; 1 if None.
    """

    def __init__(
        self,
        actual_NH: Float[Tensor, "N H"],
        reference_NH: Float[Tensor, "N H"],
        last_N1: Float[Tensor, "N 1"] | None = None,
        naive_N1: Float[Tensor, "N 1"] | None = None,
        unit_N1: Float[Tensor, "N 1"] | None = None,
    ) -> None:
        self.actual_NH, self.last_N1 = actual_NH.double(), last_N1
        one_NH = torch.ones_like(self.actual_NH)
        per_unit_NH = one_NH if unit_N1 is None else one_NH / unit_N1
        defined = bool((self.actual_NH != 0).all())
        per_size_NH = 1 / self.actual_NH.abs() if defined else torch.full_like(one_NH, math.nan)
        per_naive_NH = one_NH / (math.nan if naive_N1 is None else naive_N1)
        # Every mean is a sum of squares, or of sizes, each times a number of its sample: a product reads them once.
        self.of_square_MW = _columns(one_NH, per_unit_NH.square())
        self.of_size_MW = _columns(one_NH, per_unit_NH, per_size_NH, per_naive_NH)
        if last_N1 is not None:
            sign_NH = (self.actual_NH - last_N1).sign()
            self.sign_MW, self.moved_MW = _columns(sign_NH), _columns(sign_NH.abs())
        # By the same sum: a model that says what the reference says has a skill of 0, to the last digit.
        self.reference = self._means((reference_NH.double() - self.actual_NH).square_(), self.of_square_MW)[0]

    def __call__(self, prediction_NH: Float[Tensor, "*R N H"]) -> RunScores:
        """The scores of these predictions.

        Returns:
            ``mse``; ``mae``; ``rmse`` = sqrt(mse); ``mape`` = mean |e / actual|, a fraction; ``mase`` = mean |e| /
            naive (Hyndman & Koehler 2006); ``directional_accuracy`` = the fraction of right signs of (prediction -
            last) among samples where both prediction and actual moved; ``skill`` = 1 - mse / mse of the reference;
            ``mse_scaled`` and ``mae_scaled`` of e / unit.
        """
        prediction_NH = prediction_NH.detach().double()
        error_NH = prediction_NH - self.actual_NH
        mae, mae_scaled, mape, mase = self._means(error_NH.abs_(), self.of_size_MW)
        mse, mse_scaled = self._means(error_NH.square_(), self.of_square_MW)
        undefined = torch.full_like(mse, math.nan)
        direction = undefined
        if self.last_N1 is not None:
            direction = self._right_signs(torch.sub(prediction_NH, self.last_N1, out=error_NH).sign_())
        return {
            "mse": mse,
            "mae": mae,
            "rmse": mse.sqrt(),
            "mape": mape,
            "mase": mase,
            "directional_accuracy": direction,
            "skill": 1 - mse / self.reference if self.reference > 0 else undefined,
            "mse_scaled": mse_scaled,
            "mae_scaled": mae_scaled,
        }

    def _means(self, numbers_NH: Tensor, weights_MW: Tensor) -> tuple[Tensor, ...]:
        return _sums(numbers_NH, weights_MW).div_(self.actual_NH.numel()).unbind(-1)

    def _right_signs(self, sign_NH: Tensor) -> Tensor:
        # Of signs s and t that are not 0, s t is 1 where they are equal and -1 where they are not.
        (balance,) = _sums(sign_NH, self.sign_MW).unbind(-1)
        (called,) = _sums(sign_NH.abs_(), self.moved_MW).unbind(-1)
        return (called + balance) / (2 * called)  # 0 / 0, where nothing moved, is NaN


def value_scores(
    prediction_NH: Float[Tensor, "*R N H"],
    actual_NH: Float[Tensor, "N H"],
    reference_NH: Float[Tensor, "N H"],
    last_N1: Float[Tensor, "N 1"] | None = None,
    naive_N1: Float[Tensor, "N 1"] | None = None,
    unit_N1: Float[Tensor, "N 1"] | None = None,
) -> RunScores:
    """Scores of predicted values, in the data's units: see `Measure`."""
    return Measure(actual_NH, reference_NH, last_N1, naive_N1, unit_N1)(prediction_NH)


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
    (found,) = numbers_of_runs({name: score.unsqueeze(0) for name, score in scores.items()})
    return found


def numbers_of_runs(scores_R: RunScores) -> list[Scores]:
    """Each run's scores as numbers; None for what is no finite one."""
    return [
        {name: number if math.isfinite(number) else None for name, number in zip(scores_R, row, strict=True)}
        for row in torch.stack(list(scores_R.values()), -1).tolist()
    ]


def _columns(*weights_NH: Tensor) -> Tensor:
    """Numbers of each sample and day, a column a kind (N H, W)."""
    return torch.stack([weight_NH.flatten() for weight_NH in weights_NH], -1)


def _sums(numbers_NH: Float[Tensor, "*R N H"], weights_MW: Float[Tensor, "M W"]) -> Float[Tensor, "*R W"]:
    """For each kind of weight the sum over all samples of the numbers times it."""
    each_RM = numbers_NH.flatten(-2)
    # A product of matrices also for a single run: that of a vector adds up in another order.
    return (torch.atleast_2d(each_RM) @ weights_MW).view(*each_RM.shape[:-1], -1)


def _mean(numbers_NH: Tensor) -> Tensor:
    return numbers_NH.mean((-2, -1))
