"""The activation functions, each above its hand-derived backward. `model.activation` takes their names.

Forward: a = sigma(z). Backward, by the chain rule: dL/dz = dL/da * sigma'(z). Both are elementwise and take any shape.
At a kink, the slope is the one that PyTorch uses for the same expression.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Inexact
from torch import Tensor

Values = Inexact[Tensor, "*S"]


def identity(z: Values) -> Values:
    """a = z."""
    return z


def identity_backward(slope_a: Values, z: Values, a: Values) -> Values:
    """sigma'(z) = 1, so dL/dz = dL/da."""
    return slope_a


def sigmoid(z: Values) -> Values:
    """a = 1 / (1 + exp(-z))."""
    return torch.sigmoid(z)


def sigmoid_backward(slope_a: Values, z: Values, a: Values) -> Values:
    """sigma'(z) = exp(-z) / (1 + exp(-z))^2 = a (1 - a), so dL/dz = dL/da * a * (1 - a); at most dL/da / 4."""
    return slope_a * (a * (1 - a))


def tanh(z: Values) -> Values:
    """a = (exp(z) - exp(-z)) / (exp(z) + exp(-z))."""
    return torch.tanh(z)


def tanh_backward(slope_a: Values, z: Values, a: Values) -> Values:
    """sigma'(z) = 1 - a^2 (the quotient rule), so dL/dz = dL/da * (1 - a^2)."""
    return slope_a * (1 - a * a)


def relu(z: Values) -> Values:
    """a = max(0, z)."""
    return torch.relu(z)


def relu_backward(slope_a: Values, z: Values, a: Values) -> Values:
    """sigma'(z) = 1 for z > 0, else 0; at the kink z = 0 it is 0, as in PyTorch."""
    return slope_a * (z > 0)


def hard_sigmoid(z: Values) -> Values:
    """a = relu(z/6 + 1/2) - relu(z/6 - 1/2): a ramp from 0 at z = -3 to 1 at z = 3, the difference of two relus.

    The values equal those of `torch.nn.functional.hardsigmoid`; the formula is the course's.
    """
    return torch.relu(z / 6 + 0.5) - torch.relu(z / 6 - 0.5)


def hard_sigmoid_backward(slope_a: Values, z: Values, a: Values) -> Values:
    """sigma'(z) = 1/6 for -3 < z <= 3, else 0: the slopes of the two relus, each 0 at its own kink.

    So it is 0 at z = -3 and 1/6 at z = 3. (The slope of PyTorch's `hardsigmoid` is 0 at both.)
    """
    return slope_a / 6 * ((z > -3) & (z <= 3))


def gelu(z: Values) -> Values:
    """a = z Phi(z), with the normal distribution function Phi(z) = (1 + erf(z / sqrt 2)) / 2 (Hendrycks 2016)."""
    return z * _normal(z)


def gelu_backward(slope_a: Values, z: Values, a: Values) -> Values:
    """sigma'(z) = Phi(z) + z Phi'(z) (the product rule), with Phi'(z) = exp(-z^2 / 2) / sqrt(2 pi)."""
    return slope_a * (_normal(z) + z * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi))


def _normal(z: Values) -> Values:
    return (1 + torch.erf(z / math.sqrt(2))) / 2


def silu(z: Values) -> Values:
    """a = z s(z), with the sigmoid s (Elfwing et al. 2018)."""
    return z * torch.sigmoid(z)


def silu_backward(slope_a: Values, z: Values, a: Values) -> Values:
    """sigma'(z) = s + z s (1 - s) = s + a (1 - s): the product rule, with s' = s (1 - s) and a = z s."""
    s = torch.sigmoid(z)
    return slope_a * (s + a * (1 - s))


@dataclass(frozen=True)
class Activation:
    """One activation function. Calling it computes the forward.

    Attributes:
        name: its name in `model.activation`.
        forward: z -> a.
        backward: (dL/da, z, a) -> dL/dz.
        smooth: whether it has derivatives of every order everywhere.
    """

    name: str
    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    smooth: bool = True

    def __call__(self, z: Tensor) -> Tensor:
        """a = sigma(z)."""
        return self.forward(z)


ACTIVATIONS = {
    sigma.name: sigma
    for sigma in (
        Activation("sigmoid", sigmoid, sigmoid_backward),
        Activation("relu", relu, relu_backward, smooth=False),
        Activation("tanh", tanh, tanh_backward),
        Activation("hard_sigmoid", hard_sigmoid, hard_sigmoid_backward, smooth=False),
        Activation("identity", identity, identity_backward),
        Activation("gelu", gelu, gelu_backward),
        Activation("silu", silu, silu_backward),
    )
}
OF_USER: dict[str, Activation] = {}  # a dotted name -> an activation of the user's own; `runs.own` fills it


def activation_of(name: str) -> Activation:
    """The activation of this name in `ACTIVATIONS` or `OF_USER`.

    Raises:
        ValueError: if none has this name.
    """
    if name not in ACTIVATIONS | OF_USER:
        raise ValueError(f"model.activation={name} must be one of {', '.join(ACTIVATIONS)}")
    return (ACTIVATIONS | OF_USER)[name]
