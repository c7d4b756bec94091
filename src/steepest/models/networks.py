"""The functions with unknowns: the linear model and the fully connected net.

Shapes: N samples, D inputs, H units of a hidden layer, O outputs. A layer's weights are W (out, in), its biases b
(out,); the parameters are called W1, b1, W2, b2, ... from the input up, in TensorBoard and in checkpoints too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steepest.models.activations import ACTIVATIONS


class MLP(nn.Module):
    """z1 = W1 x + b1, a1 = sigma(z1), ..., p = Wk a(k-1) + bk: hidden layers with an activation, a linear output.

    With one hidden layer this is the course's two-layer net; with none it is the linear model p = W1 x + b1.

    Args:
        inputs: D.
        hidden: units of each hidden layer.
        outputs: O.
        activation: a name in `ACTIVATIONS`.
        seed: the initial weights are a pure function of it and the sizes.

    Raises:
        ValueError: for sizes below 1 and unknown activations.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, activation: str = "sigmoid", seed: int = 0
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"model.activation={activation} must be one of {', '.join(ACTIVATIONS)}")
        if any(units < 1 for units in hidden):
            raise ValueError(f"model.hidden={list(hidden)}: a layer needs 1 unit or more; [] is the linear model")
        self.activation = ACTIVATIONS[activation]
        sizes = [inputs, *hidden, outputs]
        self.depth = len(sizes) - 1
        random = torch.Generator().manual_seed(seed)
        for layer, (fan_in, units) in enumerate(pairwise(sizes), start=1):
            # U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases, as torch.nn.Linear starts.
            bound = 1 / math.sqrt(fan_in)
            draw = torch.rand(units, fan_in + 1, generator=random, dtype=torch.float64).to(torch.get_default_dtype())
            start = (2 * draw - 1) * bound
            self.register_parameter(f"W{layer}", nn.Parameter(start[:, :-1].clone()))
            self.register_parameter(f"b{layer}", nn.Parameter(start[:, -1].clone()))

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """(W, b) of each layer, from the input up."""
        return [(getattr(self, f"W{k}"), getattr(self, f"b{k}")) for k in range(1, self.depth + 1)]

    def forward(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N O"]:
        """Predictions (N, O) for inputs (N, D)."""
        *hidden, (W_OH, b_O) = self.layers()
        a_NH = x_ND
        for W_HD, b_H in hidden:
            a_NH = self.activation(nn.functional.linear(a_NH, W_HD, b_H))  # sigma(W a + b)
        return nn.functional.linear(a_NH, W_OH, b_O)


class Linear(MLP):
    """p = W x + b. With one input and one output it is the course's line y = a x + b: W1 is a, b1 is b."""

    def __init__(self, inputs: int, outputs: int, seed: int = 0) -> None:
        super().__init__(inputs, [], outputs, "identity", seed)
