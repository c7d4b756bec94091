"""The activation functions a net can use, by the name that `model.activation` takes. Elementwise, any shape."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def identity(z: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """a = z."""
    return z


def sigmoid(z: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """a = 1 / (1 + exp(-z))."""
    return torch.sigmoid(z)


def tanh(z: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """a = (exp(z) - exp(-z)) / (exp(z) + exp(-z))."""
    return torch.tanh(z)


def relu(z: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """a = max(0, z); its slope at the kink z = 0 is taken as 0, as PyTorch does."""
    return torch.relu(z)


def hard_sigmoid(z: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """a = relu(z/6 + 1/2) - relu(z/6 - 1/2): a ramp from 0 at z = -3 to 1 at z = 3, the sum of two relus.

    The values of `torch.nn.functional.hardsigmoid`, written as the course writes it. Each relu's slope at its kink is
    taken as 0, so this one's is 0 at z = -3 and 1/6 at z = 3 (PyTorch's own function takes 0 at both).
    """
    return torch.relu(z / 6 + 0.5) - torch.relu(z / 6 - 0.5)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": sigmoid,
    "relu": relu,
    "tanh": tanh,
    "hard_sigmoid": hard_sigmoid,
    "identity": identity,
}
