"""The activation functions a net can use, each above its hand-derived backward, by the name `model.activation` takes.

Forward: a = sigma(z). Backward, by the chain rule: dL/dz = dL/da * sigma'(z). All elementwise, so any shape. The slope
at a kink is the one PyTorch takes for the same expression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

# One kernel each where the formula beneath would take three: dL/da * a (1 - a), dL/da * (1 - a^2), dL/da where a > 0.
_sigmoid_backward = torch.ops.aten.sigmoid_backward.default
_tanh_backward = torch.ops.aten.tanh_backward.default
_relu_backward = torch.ops.aten.threshold_backward.default
# The same in the place of dL/da.
_sigmoid_backward_ = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward_ = torch.ops.aten.tanh_backward.grad_input
_relu_backward_ = torch.ops.aten.threshold_backward.grad_input


def identity(z: Inexact[Tensor, "*S"]) -> Inexact[Tensor, "*S"]:
    """a = z."""
    return z


def identity_backward(
    slope_a: Float[Tensor, "*S"], z: Float[Tensor, "*S"], a: Float[Tensor, "*S"]
) -> Float[Tensor, "*S"]:
    """sigma'(z) = 1, so dL/dz = dL/da."""
    return slope_a


def sigmoid(z: Inexact[Tensor, "*S"]) -> Inexact[Tensor, "*S"]:
    """a = 1 / (1 + exp(-z))."""
    return torch.sigmoid(z)


def sigmoid_backward(
    slope_a: Float[Tensor, "*S"], z: Float[Tensor, "*S"], a: Float[Tensor, "*S"]
) -> Float[Tensor, "*S"]:
    """sigma'(z) = exp(-z) / (1 + exp(-z))^2 = a (1 - a), so dL/dz = dL/da * a * (1 - a); at most dL/da / 4."""
    return _sigmoid_backward(slope_a, a)


def tanh(z: Inexact[Tensor, "*S"]) -> Inexact[Tensor, "*S"]:
    """a = (exp(z) - exp(-z)) / (exp(z) + exp(-z))."""
    return torch.tanh(z)


def tanh_backward(slope_a: Float[Tensor, "*S"], z: Float[Tensor, "*S"], a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """sigma'(z) = 1 - a^2 (the quotient rule), so dL/dz = dL/da * (1 - a^2)."""
    return _tanh_backward(slope_a, a)


def relu(z: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """a = max(0, z)."""
    return torch.relu(z)


def relu_backward(slope_a: Float[Tensor, "*S"], z: Float[Tensor, "*S"], a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """sigma'(z) = 1 for z > 0, else 0; at the kink z = 0 it is taken as 0, as PyTorch does."""
    return _relu_backward(slope_a, a, 0)  # a > 0 exactly where z > 0


def hard_sigmoid(z: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """a = relu(z/6 + 1/2) - relu(z/6 - 1/2): a ramp from 0 at z = -3 to 1 at z = 3, the sum of two relus.

    The values of `torch.nn.functional.hardsigmoid`, written as the course writes it.
    """
    return torch.relu(z / 6 + 0.5) - torch.relu(z / 6 - 0.5)


def hard_sigmoid_backward(
    slope_a: Float[Tensor, "*S"], z: Float[Tensor, "*S"], a: Float[Tensor, "*S"]
) -> Float[Tensor, "*S"]:
    """sigma'(z) = 1/6 for -3 < z <= 3, else 0: the two relus' slopes, each 0 at its own kink.

    So it is 0 at z = -3 and 1/6 at z = 3. (PyTorch's own function takes 0 at both.)
    """
    sixth = slope_a / 6
    return _relu_backward(sixth, z / 6 + 0.5, 0) - _relu_backward(sixth, z / 6 - 0.5, 0)


@dataclass(frozen=True)
class Activation:
    """One activation: calling it is the forward.

    Attributes:
        forward: z -> a.
        backward: (dL/da, z, a) -> dL/dz.
        smooth: whether it has a derivative of every order everywhere.
        in_place: the forward where z is not wanted any more, if one kernel puts a in its place.
        backward_in_place: (dL/da, a) -> dL/dz in the place of dL/da, if one kernel does it; then z is not wanted.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    smooth: bool = True
    in_place: Callable[[Tensor], Tensor] | None = None
    backward_in_place: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, z: Tensor) -> Tensor:
        """a = sigma(z)."""
        return self.forward(z)

    def instead(self, z: Tensor) -> Tensor:
        """a = sigma(z), in the place of z where that can be."""
        return self.forward(z) if self.in_place is None else self.in_place(z)


ACTIVATIONS = {
    "sigmoid": Activation(
        sigmoid,
        sigmoid_backward,
        in_place=torch.sigmoid_,
        backward_in_place=lambda slope, a: _sigmoid_backward_(slope, a, grad_input=slope),
    ),
    "relu": Activation(
        relu,
        relu_backward,
        smooth=False,
        in_place=torch.relu_,
        backward_in_place=lambda slope, a: _relu_backward_(slope, a, 0, grad_input=slope),
    ),
    "tanh": Activation(
        tanh,
        tanh_backward,
        in_place=torch.tanh_,
        backward_in_place=lambda slope, a: _tanh_backward_(slope, a, grad_input=slope),
    ),
    "hard_sigmoid": Activation(hard_sigmoid, hard_sigmoid_backward, smooth=False),
    "identity": Activation(identity, identity_backward),
}
