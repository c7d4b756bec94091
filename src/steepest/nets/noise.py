"""The spread of the gradients within a batch: per-sample gradient norms and the statistics computed from them.

Shapes as in `networks.py`. For one sample, dL_n/dW = g_n a_n^T and dL_n/db = g_n, with g_n = dL_n/dz (without the
1/N). The norm of an outer product is the product of the norms, so

    |dL_n/dtheta|^2 = sum over layers of |g_n|^2 (|a_n|^2 + 1)

and no sample's gradient has to be stored (Goodfellow 2015, "Efficient per-example gradient computations").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steepest.nets.activations import Activation
from steepest.nets.losses import Loss
from steepest.nets.networks import Layer, backward, errors, forward


@dataclass(frozen=True)
class Noise:
    """The gradients of the N samples of a batch.

    Attributes:
        norm_N: Euclidean norm of each sample's gradient.
        mean_square: squared norm of their mean, which is the batch's gradient.
        variance: variance over the samples (divisor N - 1), summed over all parameters; 0 for one sample.
    """

    norm_N: Float[Tensor, " N"]
    mean_square: float
    variance: float

    @property
    def signal_square(self) -> float:
        """An estimate of |G|^2, the squared norm of the true gradient: unbiased, except that it is cut off at 0.

        The batch's value is too large by the variance of its mean: E |g_batch|^2 = |G|^2 + variance / N
        (McCandlish et al. 2018, "An empirical model of large-batch training", appendix A.1).
        """
        return max(0.0, self.mean_square - self.variance / len(self.norm_N))

    @property
    def scale(self) -> float:
        """The simple noise scale variance / |G|^2 (McCandlish et al.): the batch size at which noise equals signal.

        Infinite if the estimate of |G|^2 is 0.
        """
        return self.variance / self.signal_square if self.signal_square > 0 else float("inf")

    def norm_test(self, theta: float = 1.0) -> float:
        """The smallest batch size that passes the norm test, variance / B <= theta^2 |g|^2 (Byrd et al. 2012).

        Infinite if the gradient is 0.
        """
        return self.variance / (theta**2 * self.mean_square) if self.mean_square > 0 else float("inf")


@torch.no_grad()
def noise(
    layers: Sequence[Layer],
    activations: Sequence[Activation],
    loss: Loss,
    x_ND: Float[Tensor, "N D"],
    y_NH: Tensor,
) -> Noise:
    """The noise of one batch's gradient."""
    trace = forward(x_ND, layers, activations)
    slope_NO = loss.backward(trace.a[-1], y_NH)
    count = len(x_ND)
    square_N = x_ND.new_zeros(count, dtype=torch.float64)
    for g_NO, a_NI in zip(errors(slope_NO, trace, layers, activations), trace.a, strict=False):
        # The slope of the loss contains a 1/N: a sample's gradient is N times its contribution.
        square_N += (count * g_NO).double().square().sum(1) * (a_NI.double().square().sum(1) + 1)
    gradients = backward(slope_NO, trace, layers, activations)
    mean_square = sum(float(g.double().square().sum()) for layer in gradients for g in layer)
    # sum_n |g_n - g|^2 = sum_n |g_n|^2 - N |g|^2
    variance = max(0.0, float(square_N.sum()) - count * mean_square) / (count - 1) if count > 1 else 0.0
    return Noise(square_N.sqrt(), mean_square, variance)
