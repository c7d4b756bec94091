"""The functions with unknown parameters, the linear model and the fully connected net, with hand-derived gradients.

Shapes: R runs (any leading dimensions, or none: the same code handles one model or R models), N samples, D inputs, H
units of a hidden layer, O outputs. A layer has weights W (out, in) and biases b (out,). The parameters are called W1,
b1, W2, b2, ... from the input up, also in TensorBoard and in checkpoints.

The two-layer net by hand. Forward, for each sample n (each sum runs over the indices missing on the left side):

    z1_nh = sum_d W1_hd x_nd + b1_h      a1_nh = sigma(z1_nh)
    p_no  = sum_h W2_oh a1_nh + b2_o     L = mean over n, o of l(p_no, y_no)

Backward, from the loss down; each line applies the chain rule to one line of the forward:

    g2_no   = dL/dp_no                               the slope of the loss; only this factor contains the 1/(N O)
    dL/dW2_oh = sum_n g2_no a1_nh                    since dp_no/dW2_oh = a1_nh
    dL/db2_o  = sum_n g2_no                          since dp_no/db2_o = 1
    dL/da1_nh = sum_o g2_no W2_oh                    since dp_no/da1_nh = W2_oh
    g1_nh   = dL/dz1_nh = dL/da1_nh sigma'(z1_nh)
    dL/dW1_hd = sum_n g1_nh x_nd
    dL/db1_h  = sum_n g1_nh

A deeper net repeats the last four lines for each lower layer. The linear model needs only the first three. Each layer
needs one matrix product forward and two backward; the lowest layer needs only one, because nothing uses dL/dx.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from steepest.nets.activations import ACTIVATIONS, Activation, activation_of

Layer = tuple[Tensor, Tensor]  # W (R, out, in), b (R, out)


class Trace(NamedTuple):
    """The intermediate values of a forward, from the input up; the backward needs them.

    Attributes:
        z: z_k (R, N, units of layer k) of each layer.
        a: a_0 = x, then a_k of each layer; the last one is the output.
    """

    z: list[Tensor]
    a: list[Tensor]


def forward(x_ND: Inexact[Tensor, "*S N D"], layers: Sequence[Layer], activations: Sequence[Activation]) -> Trace:
    """a_0 = x; z_k = W_k a_(k-1) + b_k; a_k = sigma_k(z_k).

    Inputs x without leading dimensions are shared by all runs.
    """
    trace = Trace([], [x_ND])
    for (W_OI, b_O), sigma in zip(layers, activations, strict=True):
        trace.z.append(trace.a[-1] @ W_OI.mT + b_O.unsqueeze(-2))
        trace.a.append(sigma(trace.z[-1]))
    return trace


def errors(
    slope_NO: Float[Tensor, "*R N O"], trace: Trace, layers: Sequence[Layer], activations: Sequence[Activation]
) -> list[Tensor]:
    """Back-propagation: g_k = dL/dz_k (R, N, units) of each layer, from the input up, for dL/dp (R, N, O).

    From the top down: g_k = dL/da_k * sigma_k'(z_k), dL/da_(k-1) = g_k W_k. W_k are the weights of the forward, so no
    parameter may change before this is finished.
    """
    found: list[Tensor] = []
    slope = slope_NO
    for k in reversed(range(len(layers))):
        if found:
            slope = found[-1] @ layers[k + 1][0]
        found.append(activations[k].backward(slope, trace.z[k], trace.a[k + 1]))
    return found[::-1]


def backward(
    slope_NO: Float[Tensor, "*R N O"], trace: Trace, layers: Sequence[Layer], activations: Sequence[Activation]
) -> list[Layer]:
    """The gradients (dL/dW_k, dL/db_k) of each layer, in the shapes of `layers`, for dL/dp (R, N, O).

    dL/dW_oi = sum_n g_no a_ni, dL/db_o = sum_n g_no. The slope of the loss already contains the 1/N.
    """
    found = errors(slope_NO, trace, layers, activations)
    return [(g_NO.mT @ a_NI, g_NO.sum(-2)) for g_NO, a_NI in zip(found, trace.a, strict=False)]


class MLP(nn.Module):
    """z1 = W1 x + b1, a1 = sigma(z1), ..., p = Wk a(k-1) + bk: hidden layers with an activation, a linear output.

    With one hidden layer this is the course's two-layer net. With none it is the linear model p = W1 x + b1.

    Args:
        inputs: D.
        hidden: the number of units of each hidden layer.
        outputs: O.
        activation: a name for `activation_of`.
        seed: the initial weights are a pure function of the seed, the sizes and the scale.
        init_scale: multiplies the initial weights; 1 gives PyTorch's usual ones.

    Raises:
        ValueError: if a hidden layer has no units, the activation is unknown, or the scale is negative or not finite.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        activation: str = "sigmoid",
        seed: int = 0,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        sigma = activation_of(activation)
        if any(units < 1 for units in hidden):
            raise ValueError(f"model.hidden={list(hidden)}: a layer needs 1 unit or more; [] is the linear model")
        if not 0 <= init_scale < math.inf:
            raise ValueError(f"model.init_scale={init_scale} must be 0 or more; the default is 1")
        sizes = [inputs, *hidden, outputs]
        self.depth = len(sizes) - 1
        self.activations = [sigma] * (self.depth - 1) + [ACTIVATIONS["identity"]]
        random = torch.Generator().manual_seed(seed)
        for layer, (fan_in, units) in enumerate(pairwise(sizes), start=1):
            # U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases, like torch.nn.Linear.
            bound = init_scale / math.sqrt(fan_in)
            draw = torch.rand(units, fan_in + 1, generator=random, dtype=torch.float64).to(torch.get_default_dtype())
            start = (2 * draw - 1) * bound
            self.register_parameter(f"W{layer}", nn.Parameter(start[:, :-1].clone()))
            self.register_parameter(f"b{layer}", nn.Parameter(start[:, -1].clone()))

    def layers(self) -> list[Layer]:
        """(W, b) of each layer, from the input up."""
        return [(getattr(self, f"W{k}"), getattr(self, f"b{k}")) for k in range(1, self.depth + 1)]

    def affine(self) -> Layer | None:
        """Return W (O, D) and b (O,) of p = W x + b, or None for a net with hidden layers."""
        return self.layers()[0] if self.depth == 1 else None

    def in_words(self) -> str:
        """The kind, the units of each layer from the input up, and the activation: "Net 28-64-1, sigmoid"."""
        layers = self.layers()
        sizes = "-".join(str(units) for units in [layers[0][0].shape[1], *(len(b_O) for _, b_O in layers)])
        return f"Linear model {sizes}" if self.depth == 1 else f"Net {sizes}, {self.activations[0].name}"

    def forward(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N O"]:
        """Predictions (N, O) for inputs (N, D)."""
        return forward(x_ND, self.layers(), self.activations).a[-1]


class Linear(MLP):
    """p = W x + b. With one input and one output this is the line y = a x + b: W1 is a, b1 is b."""

    def __init__(self, inputs: int, outputs: int, seed: int = 0, init_scale: float = 1.0) -> None:
        super().__init__(inputs, [], outputs, "identity", seed, init_scale)
