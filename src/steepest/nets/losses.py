"""The losses, each above its hand-derived backward. `model.loss` takes their names.

Shapes: R runs (any leading dimensions, or none), N samples, H horizon, O outputs. Each loss is the mean over all N * H
targets of a run, so its size does not depend on the batch size. The 1/N of every gradient is here: `..._backward`
returns dL/dp with it, and no later step divides again. Targets without leading dimensions are shared by all runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Inexact, Int
from torch import Tensor

Values = Inexact[Tensor, "*R N H"]
Targets = Inexact[Tensor, "*#R N H"]
Logits = Float[Tensor, "*R N O"]
Quantiles = Inexact[Tensor, "*R N O"]
Classes = Int[Tensor, "*#R N H"]
Means = Inexact[Tensor, "*R"]
QUANTILES = (0.5, 0.05, 0.95)  # of the outputs of `quantile`; the median is the model's prediction


def mse(p_NH: Values, y_NH: Targets) -> Means:
    """Mean squared error, L = sum_nh (p_nh - y_nh)^2 / (N H)."""
    return _residual(p_NH, y_NH).square().mean((-2, -1))


def mse_backward(p_NH: Values, y_NH: Targets) -> Values:
    """dL/dp_nh = 2 (p_nh - y_nh) / (N H)."""
    return _residual(p_NH, y_NH) * (2 / _count(p_NH))


def mae(p_NH: Values, y_NH: Targets) -> Means:
    """Mean absolute error, L = sum_nh |p_nh - y_nh| / (N H)."""
    return _residual(p_NH, y_NH).abs().mean((-2, -1))


def mae_backward(p_NH: Values, y_NH: Targets) -> Values:
    """dL/dp_nh = sign(p_nh - y_nh) / (N H); at the kink p = y it is 0, as in PyTorch."""
    return _residual(p_NH, y_NH).sign() / _count(p_NH)


def huber(p_NH: Values, y_NH: Targets) -> Means:
    """Mean Huber loss with delta 1: e^2 / 2 for |e| <= 1, else |e| - 1/2, with e = p - y (Huber 1964)."""
    e_NH = _residual(p_NH, y_NH)
    return torch.nn.functional.huber_loss(e_NH, torch.zeros_like(e_NH), reduction="none").mean((-2, -1))


def huber_backward(p_NH: Values, y_NH: Targets) -> Values:
    """dL/dp_nh = clip(e_nh, -1, 1) / (N H): e for |e| <= 1, else its sign; both are equal at |e| = 1."""
    return _residual(p_NH, y_NH).clamp(-1, 1) / _count(p_NH)


def cross_entropy(logits_NO: Logits, class_NH: Classes) -> Means:
    """Mean softmax cross-entropy in nats, L = -sum_nh log softmax(l_nh)[class_nh] / (N H).

    The O = 2 H outputs are two logits for each day of the horizon: down (class 0), up (class 1).
    """
    logits_NHC = two_classes(logits_NO)
    _check_shapes(logits_NHC[..., 0], class_NH)
    class_NH1 = class_NH.expand(logits_NHC.shape[:-1]).unsqueeze(-1)
    return -logits_NHC.log_softmax(-1).gather(-1, class_NH1).squeeze(-1).mean((-2, -1))


def cross_entropy_backward(logits_NO: Logits, class_NH: Classes) -> Logits:
    """dL/dl_nhc = (softmax(l_nh)_c - [c = class_nh]) / (N H).

    From log softmax(l)_k = l_k - log sum_c exp(l_c), whose derivative by l_c is [c = k] - softmax(l)_c.
    """
    share_NHC = two_classes(logits_NO).softmax(-1)
    is_class_NHC = class_NH.expand(share_NHC.shape[:-1]).unsqueeze(-1) == torch.arange(2, device=class_NH.device)
    return ((share_NHC - is_class_NHC.to(share_NHC.dtype)) / _count(share_NHC[..., 0])).flatten(-2)


def two_classes(logits_NO: Logits) -> Float[Tensor, "*R N H 2"]:
    """Outputs (N, 2 H) -> logits (N, H, 2)."""
    return logits_NO.unflatten(-1, (-1, 2))


def quantile(p_NO: Quantiles, y_NH: Targets) -> Means:
    """Mean quantile loss, L = sum_nqh max(q e_nqh, (q - 1) e_nqh) / (3 N H), with e_nqh = y_nh - p_nqh.

    The best constant prediction under max(q e, (q - 1) e) is the q-quantile of y (Koenker & Bassett 1978, Econometrica
    46(1)). The O = 3 H outputs are H medians, then H 5 % quantiles, then H 95 % quantiles.
    """
    e_NQH, q_Q1 = _below(p_NO, y_NH)
    return (q_Q1 * e_NQH.relu() + (1 - q_Q1) * (-e_NQH).relu()).mean((-3, -2, -1))


def quantile_backward(p_NO: Quantiles, y_NH: Targets) -> Quantiles:
    """dL/dp_nqh = ([p_nqh > y_nh] - q) / (3 N H); at the kink p = y it is 0, as in PyTorch."""
    e_NQH, q_Q1 = _below(p_NO, y_NH)
    slope_NQH = torch.where(e_NQH > 0, -q_Q1, torch.where(e_NQH < 0, 1 - q_Q1, e_NQH))
    return slope_NQH.flatten(-2) / _count(p_NO)


def by_quantile(p_NO: Quantiles) -> tuple[Tensor, ...]:
    """Outputs (N, 3 H) -> the predictions (N, H) of each of `QUANTILES`."""
    return p_NO.unflatten(-1, (len(QUANTILES), -1)).unbind(-2)


def _below(p_NO: Tensor, y_NH: Tensor) -> tuple[Tensor, Tensor]:
    """How far each predicted quantile is below its target, e = y - p (N, Q, H), and the quantiles (Q, 1)."""
    p_NQH = p_NO.unflatten(-1, (len(QUANTILES), -1))
    _check_shapes(p_NQH[..., 0, :], y_NH)
    return y_NH.unsqueeze(-2) - p_NQH, p_NO.new_tensor(QUANTILES).unsqueeze(-1)


def _residual(p_NH: Tensor, y_NH: Tensor) -> Tensor:
    """e = p - y."""
    _check_shapes(p_NH, y_NH)
    return p_NH - y_NH


def _count(targets_NH: Tensor) -> int:
    return targets_NH.shape[-2] * targets_NH.shape[-1]


def _check_shapes(prediction: Tensor, target: Tensor) -> None:
    # Without this check, (N, 1) minus (N,) would broadcast to (N, N).
    if prediction.shape[-2:] != target.shape[-2:] or target.dim() < 2:
        raise ValueError(f"shapes differ: prediction {tuple(prediction.shape)}, target {tuple(target.shape)}")


@dataclass(frozen=True)
class Loss:
    """One loss. Calling it computes the forward.

    Attributes:
        name: its name in `model.loss`.
        forward: (p, y) -> L, one number per run.
        backward: (p, y) -> dL/dp, in the shape of p.
        smooth: whether it has derivatives of every order everywhere.
        outputs: the number of outputs that a model needs for each target.
    """

    name: str
    forward: Callable[[Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    smooth: bool = True
    outputs: int = 1

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """L(p, y)."""
        return self.forward(prediction, target)


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", mse, mse_backward),
        Loss("mae", mae, mae_backward, smooth=False),
        Loss("huber", huber, huber_backward, smooth=False),
        Loss("cross_entropy", cross_entropy, cross_entropy_backward, outputs=2),
        Loss("quantile", quantile, quantile_backward, smooth=False, outputs=len(QUANTILES)),
    )
}


OF_USER: dict[str, Loss] = {}  # a dotted name -> a loss of the user's own; `runs.own` fills it


def loss_of(name: str) -> Loss:
    """The loss of this name in `LOSSES` or `OF_USER`.

    Raises:
        ValueError: if no loss has this name.
    """
    if name not in LOSSES | OF_USER:
        raise ValueError(f"model.loss={name} must be one of {', '.join(LOSSES)}")
    return (LOSSES | OF_USER)[name]
