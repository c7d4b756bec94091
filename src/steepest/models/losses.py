"""The losses a model can be trained on, by the name that `model.loss` takes.

Shapes: N samples, H horizon, O outputs. Every loss is the mean over all N * H targets (there is the 1/N), so its size
does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Scalar = Float[Tensor, ""]


def mse(prediction_NH: Float[Tensor, "N H"], target_NH: Float[Tensor, "N H"]) -> Scalar:
    """Mean squared error, sum (p - y)^2 / (N H)."""
    _same_shape(prediction_NH, target_NH)
    return (prediction_NH - target_NH).square().mean()


def mae(prediction_NH: Float[Tensor, "N H"], target_NH: Float[Tensor, "N H"]) -> Scalar:
    """Mean absolute error, sum |p - y| / (N H)."""
    _same_shape(prediction_NH, target_NH)
    return (prediction_NH - target_NH).abs().mean()


def huber(prediction_NH: Float[Tensor, "N H"], target_NH: Float[Tensor, "N H"]) -> Scalar:
    """Mean Huber loss with delta 1: e^2 / 2 where |e| <= 1, |e| - 1/2 beyond (Huber 1964)."""
    _same_shape(prediction_NH, target_NH)
    return torch.nn.functional.huber_loss(prediction_NH, target_NH)


def cross_entropy(logits_NO: Float[Tensor, "N O"], class_NH: Int[Tensor, "N H"]) -> Scalar:
    """Mean softmax cross-entropy in nats, -sum log softmax(logits)[class] / (N H).

    The O = 2 H outputs are two logits for each day of the horizon: down (class 0), up (class 1).
    """
    logits_NHC = two_classes(logits_NO)
    _same_shape(logits_NHC[..., 0], class_NH)
    return torch.nn.functional.cross_entropy(logits_NHC.flatten(0, 1), class_NH.flatten())


def two_classes(logits_NO: Float[Tensor, "N O"]) -> Float[Tensor, "N H 2"]:
    """Outputs (N, 2 H) -> logits (N, H, 2)."""
    return logits_NO.unflatten(-1, (-1, 2))


def _same_shape(prediction: Tensor, target: Tensor) -> None:
    # (N, 1) minus (N,) would broadcast to (N, N) without a word.
    if prediction.shape != target.shape:
        raise ValueError(f"a prediction of shape {tuple(prediction.shape)} has no loss against {tuple(target.shape)}")


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "cross_entropy": cross_entropy,
}
