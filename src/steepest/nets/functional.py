"""Any network's outputs and gradients as functions of its parameters.

A fully connected net uses the hand-derived formulas of `networks.py`; other networks use autograd.

Shapes: R parameter vectors (any leading dimensions, or none), N samples, D inputs, O outputs. Parameters are a list of
tensors in the order of `network.parameters()`, each with the leading dimensions R.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from steepest.nets.losses import Loss
from steepest.nets.networks import MLP, Layer, backward, forward
from steepest.nets.regularised import RegularisedMLP
from steepest.nets.window_linear import WindowLinear


def layers_of(parameters: Sequence[Tensor]) -> list[Layer]:
    """(W, b) of each layer of an `MLP`."""
    return list(zip(parameters[::2], parameters[1::2], strict=True))


def in_words(network: nn.Module) -> str:
    """The kind of a network and its size, for titles."""
    if isinstance(network, MLP | WindowLinear | RegularisedMLP):
        return network.in_words()
    return f"{type(network).__name__}, {sum(p.numel() for p in network.parameters())} parameters"


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into the mode for evaluation, in which dropout is off; then each part gets its own mode back."""
    modes = {part: part.training for part in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def outputs_at(network: nn.Module, parameters: Sequence[Tensor], x_ND: Float[Tensor, "N D"]) -> Tensor:
    """The outputs (R, N, O) at these parameters."""
    if isinstance(network, MLP):
        return forward(x_ND, layers_of(parameters), network.activations).a[-1]
    if parameters[0].dim() > next(network.parameters()).dim():
        return torch.stack([outputs_at(network, one, x_ND) for one in zip(*parameters, strict=True)])
    names = [name for name, _ in network.named_parameters()]
    return functional_call(network, dict(zip(names, parameters, strict=True)), (x_ND,))


def gradients_at(
    network: nn.Module, parameters: Sequence[Tensor], loss: Loss, x_ND: Float[Tensor, "N D"], y_NH: Tensor
) -> list[Tensor]:
    """The gradients of the mean loss of these samples, a tensor per parameter.

    They can be differentiated again if autograd is enabled and a parameter requires it.
    """
    if isinstance(network, MLP):
        layers = layers_of(parameters)
        trace = forward(x_ND, layers, network.activations)
        pairs = backward(loss.backward(trace.a[-1], y_NH), trace, layers, network.activations)
        return [gradient for pair in pairs for gradient in pair]
    again = torch.is_grad_enabled() and any(p.requires_grad for p in parameters)
    with torch.enable_grad():
        leaves = [p if again else p.detach().requires_grad_() for p in parameters]
        value = loss(outputs_at(network, leaves, x_ND), y_NH)
        return list(torch.autograd.grad(value, leaves, create_graph=again, materialize_grads=True))
