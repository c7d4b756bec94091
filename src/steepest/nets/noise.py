"""The spread of the gradients within a batch: per-sample gradient norms and the statistics computed from them.

Shapes as in `networks.py`. For one sample, dL_n/dW = g_n a_n^T and dL_n/db = g_n, with g_n = dL_n/dz (without the
1/N). The norm of an outer product is the product of the norms, so

    |dL_n/dtheta|^2 = sum over layers of |g_n|^2 (|a_n|^2 + 1)

and no sample's gradient has to be stored (Goodfellow 2015, "Efficient per-example gradient computations"). This is for
fully connected nets; the gradients of other networks are computed one sample at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steepest.nets.functional import gradients_at, layers_of
from steepest.nets.losses import Loss
from steepest.nets.networks import MLP, errors, forward


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
    network: nn.Module, parameters: Sequence[Tensor], loss: Loss, x_ND: Float[Tensor, "N D"], y_NH: Tensor
) -> Noise:
    """The noise of one batch's gradient at these parameters, a tensor per parameter of the network."""
    square_N, count = _squares(network, parameters, loss, x_ND, y_NH), len(x_ND)
    mean_square = _square(gradients_at(network, parameters, loss, x_ND, y_NH))
    # sum_n |g_n - g|^2 = sum_n |g_n|^2 - N |g|^2
    variance = max(0.0, float(square_N.sum()) - count * mean_square) / (count - 1) if count > 1 else 0.0
    return Noise(square_N.sqrt(), mean_square, variance)


def _squares(network: nn.Module, parameters: Sequence[Tensor], loss: Loss, x_ND: Tensor, y_NH: Tensor) -> Tensor:
    """The squared norm of each sample's gradient (N,), float64."""
    if not isinstance(network, MLP):
        samples = zip(x_ND.split(1), y_NH.split(1), strict=True)
        found = [_square(gradients_at(network, parameters, loss, x_1D, y_1H)) for x_1D, y_1H in samples]
        return x_ND.new_tensor(found, dtype=torch.float64)
    layers, activations = layers_of(parameters), network.activations
    trace, square_N = forward(x_ND, layers, activations), x_ND.new_zeros(len(x_ND), dtype=torch.float64)
    slope_NO = loss.backward(trace.a[-1], y_NH)
    for g_NO, a_NI in zip(errors(slope_NO, trace, layers, activations), trace.a, strict=False):
        # The slope of the loss contains a 1/N: a sample's gradient is N times its contribution.
        square_N += (len(x_ND) * g_NO).double().square().sum(1) * (a_NI.double().square().sum(1) + 1)
    return square_N


def _square(gradients: Sequence[Tensor]) -> float:
    return sum(float(g.double().square().sum()) for g in gradients)
