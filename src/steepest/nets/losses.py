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
    _same_shape(prediction_NH, target_NH)
    return (prediction_NH - target_NH).square().mean((-2, -1))


def mse_backward(
    prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]
) -> Float[Tensor, "*R N H"]:
    """dL/dp_nh = 2 (p_nh - y_nh) / (N H)."""
    return (prediction_NH - target_NH).mul_(2 / _count(prediction_NH))


def mse_with_slope(
    prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]
) -> tuple[Float[Tensor, "*R"], Float[Tensor, "*R N H"]]:
    """Both from one residual e = p - y: dL/dp = 2 e / (N H), and L = sum e^2 / (N H) = sum e * dL/dp / 2."""
    residual_NH = prediction_NH - target_NH
    slope_NH = residual_NH * (2 / _count(residual_NH))
    return (residual_NH * slope_NH).sum((-2, -1)) / 2, slope_NH


def mae(prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]) -> Float[Tensor, "*R"]:
    """Mean absolute error, L = sum_nh |p_nh - y_nh| / (N H)."""
    _same_shape(prediction_NH, target_NH)
    return (prediction_NH - target_NH).abs().mean((-2, -1))


def mae_backward(
    prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]
) -> Float[Tensor, "*R N H"]:
    """dL/dp_nh = sign(p_nh - y_nh) / (N H); 0 at the kink p = y, as PyTorch does."""
    return (prediction_NH - target_NH).sign_().div_(_count(prediction_NH))


def huber(prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]) -> Float[Tensor, "*R"]:
    """Mean Huber loss with delta 1: e^2 / 2 where |e| <= 1, |e| - 1/2 beyond, with e = p - y (Huber 1964)."""
    _same_shape(prediction_NH, target_NH)
    return torch.nn.functional.huber_loss(prediction_NH, target_NH.expand_as(prediction_NH), reduction="none").mean(
        (-2, -1)
    )


def huber_backward(
    prediction_NH: Float[Tensor, "*R N H"], target_NH: Float[Tensor, "*#R N H"]
) -> Float[Tensor, "*R N H"]:
    """dL/dp_nh = clip(e_nh, -1, 1) / (N H): e inside, its sign outside, and both agree at |e| = 1."""
    return (prediction_NH - target_NH).clamp_(-1, 1).div_(_count(prediction_NH))


def cross_entropy(logits_NO: Float[Tensor, "*R N O"], class_NH: Int[Tensor, "*#R N H"]) -> Float[Tensor, "*R"]:
    """Mean softmax cross-entropy in nats, L = -sum_nh log softmax(l_nh)[class_nh] / (N H).

    The O = 2 H outputs are two logits for each day of the horizon: down (class 0), up (class 1).
    """
    logits_NHC = two_classes(logits_NO)
    _same_shape(logits_NHC[..., 0], class_NH)
    class_NH1 = class_NH.expand(logits_NHC.shape[:-1]).unsqueeze(-1)
    return -logits_NHC.log_softmax(-1).gather(-1, class_NH1).squeeze(-1).mean((-2, -1))


def cross_entropy_backward(
    logits_NO: Float[Tensor, "*R N O"], class_NH: Int[Tensor, "*#R N H"]
) -> Float[Tensor, "*R N O"]:
    """dL/dl_nhc = (softmax(l_nh)_c - [c = class_nh]) / (N H).

    From log softmax(l)_k = l_k - log sum_c exp(l_c), whose derivative by l_c is [c = k] - softmax(l)_c.
    """
    slope_NHC = two_classes(logits_NO).softmax(-1)
    class_NH1 = class_NH.expand(slope_NHC.shape[:-1]).unsqueeze(-1)
    slope_NHC = slope_NHC.scatter_add(-1, class_NH1, slope_NHC.new_full((), -1).expand(class_NH1.shape))
    return slope_NHC.div_(_count(slope_NHC[..., 0])).flatten(-2)


def two_classes(logits_NO: Float[Tensor, "*R N O"]) -> Float[Tensor, "*R N H 2"]:
    """Outputs (N, 2 H) -> logits (N, H, 2)."""
    return logits_NO.unflatten(-1, (-1, 2))


def _count(targets_NH: Tensor) -> int:
    return targets_NH.shape[-2] * targets_NH.shape[-1]


def _same_shape(prediction: Tensor, target: Tensor) -> None:
    # (N, 1) minus (N,) would broadcast to (N, N) without a word.
    if prediction.shape[-2:] != target.shape[-2:] or target.dim() < 2:
        raise ValueError(f"a prediction of shape {tuple(prediction.shape)} has no loss against {tuple(target.shape)}")


@dataclass(frozen=True)
class Loss:
    """One loss: calling it is the forward.

    Attributes:
        forward: (p, y) -> L, a number a run.
        backward: (p, y) -> dL/dp, in the shape of p.
        smooth: whether it has a derivative of every order everywhere.
        together: (p, y) -> (L, dL/dp), where one computation is cheaper than two.
    """

    forward: Callable[[Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    smooth: bool = True
    together: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """L(p, y)."""
        return self.forward(prediction, target)

    def with_slope(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """L(p, y) and dL/dp."""
        if self.together is not None:
            return self.together(prediction, target)
        return self.forward(prediction, target), self.backward(prediction, target)


LOSSES = {
    "mse": Loss(mse, mse_backward, together=mse_with_slope),
    "mae": Loss(mae, mae_backward, smooth=False),
    "huber": Loss(huber, huber_backward, smooth=False),
    "cross_entropy": Loss(cross_entropy, cross_entropy_backward),
}


def loss_of(name: str) -> Loss:
    """A loss by its name in `LOSSES`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in LOSSES:
        raise ValueError(f"model.loss={name} must be one of {', '.join(LOSSES)}")
    return LOSSES[name]
