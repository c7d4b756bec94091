"""The losses a model can be trained on, each above its hand-derived backward, by the name `model.loss` takes.

Shapes: R runs (any leading dimensions, or none), N samples, H horizon, O outputs. Every loss is the mean over all
N * H targets of a run, so its size does not depend on the batch. There is the 1/N of all gradients: `..._backward`
returns dL/dp with it, and nothing after it divides again. Targets without leading dimensions are shared by all runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Inexact, Int
from torch import Tensor


def mse(prediction_NH: Inexact[Tensor, "*R N H"], target_NH: Inexact[Tensor, "*#R N H"]) -> Inexact[Tensor, "*R"]:
    """Mean squared error, L = sum_nh (p_nh - y_nh)^2 / (N H)."""
    _check_shapes(prediction_NH, target_NH)
    return (prediction_NH - target_NH).square().mean((-2, -1))


def mse_backward(
    prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]
) -> Float[Tensor, "*R N H"]:
    """dL/dp_nh = 2 (p_nh - y_nh) / (N H)."""
    return (prediction_NH - target_NH) * (2 / _count(prediction_NH))


def mae(prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]) -> Float[Tensor, "*R"]:
    """Mean absolute error, L = sum_nh |p_nh - y_nh| / (N H)."""
    _check_shapes(prediction_NH, target_NH)
    return (prediction_NH - target_NH).abs().mean((-2, -1))


def mae_backward(
    prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]
) -> Float[Tensor, "*R N H"]:
    """dL/dp_nh = sign(p_nh - y_nh) / (N H); at the kink p = y it is 0, as PyTorch takes it."""
    return (prediction_NH - target_NH).sign() / _count(prediction_NH)


def huber(prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]) -> Float[Tensor, "*R"]:
    """Mean Huber loss with delta 1: e^2 / 2 where |e| <= 1, |e| - 1/2 beyond, with e = p - y (Huber 1964)."""
    _check_shapes(prediction_NH, target_NH)
    loss_NH = torch.nn.functional.huber_loss(prediction_NH, target_NH.expand_as(prediction_NH), reduction="none")
    return loss_NH.mean((-2, -1))


def huber_backward(
    prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]
) -> Float[Tensor, "*R N H"]:
    """dL/dp_nh = clip(e_nh, -1, 1) / (N H): e inside, its sign outside; both agree at |e| = 1."""
    return (prediction_NH - target_NH).clamp(-1, 1) / _count(prediction_NH)


def cross_entropy(logits_NO: Float[Tensor, "*R N O"], class_NH: Int[Tensor, "*#R N H"]) -> Float[Tensor, "*R"]:
    """Mean softmax cross-entropy in nats, L = -sum_nh log softmax(l_nh)[class_nh] / (N H).

    The O = 2 H outputs are two logits for each day of the horizon: down (class 0), up (class 1).
    """
    logits_NHC = two_classes(logits_NO)
    _check_shapes(logits_NHC[..., 0], class_NH)
    class_NH1 = class_NH.expand(logits_NHC.shape[:-1]).unsqueeze(-1)
    return -logits_NHC.log_softmax(-1).gather(-1, class_NH1).squeeze(-1).mean((-2, -1))


def cross_entropy_backward(
    logits_NO: Float[Tensor, "*R N O"], class_NH: Int[Tensor, "*#R N H"]
) -> Float[Tensor, "*R N O"]:
    """dL/dl_nhc = (softmax(l_nh)_c - [c = class_nh]) / (N H).

    From log softmax(l)_k = l_k - log sum_c exp(l_c), whose derivative by l_c is [c = k] - softmax(l)_c.
    """
    share_NHC = two_classes(logits_NO).softmax(-1)
    is_class_NHC = class_NH.expand(share_NHC.shape[:-1]).unsqueeze(-1) == torch.arange(2, device=class_NH.device)
    return ((share_NHC - is_class_NHC.to(share_NHC.dtype)) / _count(share_NHC[..., 0])).flatten(-2)


def two_classes(logits_NO: Float[Tensor, "*R N O"]) -> Float[Tensor, "*R N H 2"]:
    """Outputs (N, 2 H) -> logits (N, H, 2)."""
    return logits_NO.unflatten(-1, (-1, 2))


def _count(targets_NH: Tensor) -> int:
    return targets_NH.shape[-2] * targets_NH.shape[-1]


def _check_shapes(prediction: Tensor, target: Tensor) -> None:
    # (N, 1) minus (N,) would broadcast to (N, N) without a word.
    if prediction.shape[-2:] != target.shape[-2:] or target.dim() < 2:
        raise ValueError(f"shapes differ: prediction {tuple(prediction.shape)}, target {tuple(target.shape)}")


@dataclass(frozen=True)
class Loss:
    """One loss: calling it is the forward.

    Attributes:
        name: as `model.loss` takes it.
        forward: (p, y) -> L, a number a run.
        backward: (p, y) -> dL/dp, in the shape of p.
        smooth: whether it has a derivative of every order everywhere.
    """

    name: str
    forward: Callable[[Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    smooth: bool = True

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """L(p, y)."""
        return self.forward(prediction, target)


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", mse, mse_backward),
        Loss("mae", mae, mae_backward, smooth=False),
        Loss("huber", huber, huber_backward, smooth=False),
        Loss("cross_entropy", cross_entropy, cross_entropy_backward),
    )
}


def loss_of(name: str) -> Loss:
    """A loss by its name in `LOSSES`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in LOSSES:
        raise ValueError(f"model.loss={name} must be one of {', '.join(LOSSES)}")
    return LOSSES[name]
