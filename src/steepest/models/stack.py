"""R networks trained at once: their parameters in one tensor with a leading runs dimension, their gradients likewise.

The formulas are those of `networks.py`, which broadcast. Narrower networks are padded with units whose weights are 0
and stay 0: such a unit's outgoing weights are 0, so nothing above it sees it, and its gradients are masked.

Shapes: R runs, P numbers of all parameters of the widest network, N samples, D inputs, H horizon, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.models.losses import Loss
from steepest.models.networks import MLP, Layer, backward, forward


class Stack:
    """Networks of one depth and activation as one.

    Args:
        networks: one per run; copied, and left alone.
        device, dtype: where they are trained, and in which precision.

    Attributes:
        theta_RP: all parameters, W1, b1, W2, ... of every run.
        gradient_RP: their gradients, as `loss_and_gradient` left them.
        names: of the parameter tensors.
    """

    def __init__(self, networks: Sequence[MLP], device: torch.device, dtype: torch.dtype) -> None:
        first = networks[0]
        assert all(n.activations == first.activations for n in networks), "networks of one kind are stacked"
        self.activations = first.activations
        self.names = [name for name, _ in first.named_parameters()]
        self.own_shapes = [[p.shape for p in n.parameters()] for n in networks]
        self.shapes = [torch.Size(map(max, zip(*shapes, strict=True))) for shapes in zip(*self.own_shapes, strict=True)]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.theta_RP = torch.zeros(len(networks), sum(self.sizes), device=device, dtype=dtype)
        self.gradient_RP = torch.zeros_like(self.theta_RP)
        for number, network in enumerate(networks):
            for mine, given in zip(self.of(self.theta_RP, number), network.parameters(), strict=True):
                mine.copy_(given.detach())
        self.from_here: Tensor | None = None  # the parameters at the last look at the size of a step
        self.mask_RP: Tensor | None = None
        if any(shapes != self.shapes for shapes in self.own_shapes):
            self.mask_RP = torch.zeros_like(self.theta_RP)
            for number in range(len(networks)):
                for mine in self.of(self.mask_RP, number):
                    mine.fill_(1)
        self._view()

    def __len__(self) -> int:
        return len(self.theta_RP)

    def _view(self) -> None:
        self.layers = self.layers_of(self.theta_RP)
        self.gradients = self.layers_of(self.gradient_RP)

    def layers_of(self, numbers_RP: Float[Tensor, "R P"]) -> list[Layer]:
        """(W, b) of each layer, (R, out, in) and (R, out): views of all runs' numbers."""
        parts = numbers_RP.split(self.sizes, dim=1)
        shaped = [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return list(zip(shaped[::2], shaped[1::2], strict=True))

    def of(self, numbers_RP: Float[Tensor, "R P"], run: int) -> list[Tensor]:
        """One run's parameter tensors, in its own shapes: views of its numbers."""
        parts = numbers_RP[run].split(self.sizes)
        shaped = (part.view(shape) for part, shape in zip(parts, self.shapes, strict=True))
        return [tensor[tuple(slice(n) for n in own)] for tensor, own in zip(shaped, self.own_shapes[run], strict=True)]

    def into(self, network: MLP, run: int) -> None:
        """Give a network a run's parameters."""
        for mine, its in zip(network.parameters(), self.of(self.theta_RP, run), strict=True):
            mine.data = its.clone()

    def loss_and_gradient(self, x_ND: Float[Tensor, "*#R N D"], y_NH: Tensor, loss: Loss) -> Float[Tensor, " R"]:
        """Each run's mean loss, with its gradient in `gradient_RP`; samples without runs dimension are for all."""
        trace = forward(x_ND, self.layers, self.activations)
        loss_R, slope_RNO = loss.with_slope(trace.a[-1], y_NH)
        backward(slope_RNO, trace, self.layers, self.activations, self.gradients)
        if self.mask_RP is not None:
            self.gradient_RP *= self.mask_RP
        return loss_R

    def outputs(self, x_ND: Float[Tensor, "*#R N D"]) -> Float[Tensor, "R N O"]:
        """Every run's predictions in model space."""
        return forward(x_ND, self.layers, self.activations).a[-1]

    def keep(self, index_r: Int[Tensor, " r"]) -> None:
        """Go on with these runs only."""
        self.theta_RP, self.gradient_RP = self.theta_RP[index_r], self.gradient_RP[index_r]
        self.own_shapes = [self.own_shapes[run] for run in index_r.tolist()]
        if self.mask_RP is not None:
            self.mask_RP = self.mask_RP[index_r]
        if self.from_here is not None:
            self.from_here = self.from_here[index_r]
        self._view()

    def part(self, index_r: Int[Tensor, " r"]) -> Stack:
        """These runs only, as a stack of their own."""
        other = copy(self)
        other.keep(index_r)
        return other

    def widths(self) -> list[Int[Tensor, " R"]]:
        """Each run's own units of each hidden layer."""
        biases = zip(*(shapes[1:-2:2] for shapes in self.own_shapes), strict=True)
        return [torch.tensor([shape[0] for shape in shapes], device=self.theta_RP.device) for shapes in biases]

    def own_places(self, run: int) -> np.ndarray:
        """Where a run's own numbers are among P."""
        if self.mask_RP is None:
            return np.arange(self.theta_RP.shape[1])
        return np.flatnonzero(self.mask_RP[run].cpu().numpy())


def padded_size(networks: Sequence[MLP]) -> tuple[int, int]:
    """Parameters of these networks together, and of as many as wide as their widest: what padding would cost."""
    widths = [[len(b) for _, b in n.layers()] for n in networks]
    inputs = networks[0].layers()[0][0].shape[1]
    widest = [inputs, *map(max, zip(*widths, strict=True))]
    return (
        sum(p.numel() for n in networks for p in n.parameters()),
        len(networks) * sum((a + 1) * b for a, b in pairwise(widest)),
    )
