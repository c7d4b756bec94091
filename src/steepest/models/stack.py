"""R networks trained at once: the numbers of all of them in one tensor, their gradients likewise.

The formulas are those of `networks.py`, which broadcast. Narrower networks are padded with units whose weights are 0
and stay 0: such a unit's outgoing weights are 0, so nothing above it sees it, and its gradients are masked.

Shapes: R runs, T parameter tensors, M = R times the numbers of the widest network, N samples, D inputs, O outputs.
All numbers of one kind (parameters, gradients, momenta) are a tensor (M,): W1 of all runs, b1 of all runs, W2 ..., so
that an elementwise step is one kernel and every W and b of all runs lies in one piece, as matrix products like it. They
like rows to be long, too: a W (out, in) with less columns than rows lies there as its transpose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.models.losses import Loss
from steepest.models.networks import MLP, backward, forward, outputs

AT_ONCE = 1 << 17  # numbers of a layer that are cheap to hold: what a processor has near
SAMPLES = 128  # fewer at once make slow matrix products


class Stack:
    """Networks of one depth and activation as one.

    Args:
        networks: one per run; copied, and left alone.
        device, dtype: where they are trained, and in which precision.

    Attributes:
        theta: all parameters.
        gradient: their gradients, as `loss_and_gradient` left them.
        names: of the parameter tensors.
        own_shapes: each run's, of its parameter tensors.
    """

    def __init__(self, networks: Sequence[MLP], device: torch.device, dtype: torch.dtype) -> None:
        first = networks[0]
        assert all(n.activations == first.activations for n in networks), "networks of one kind are stacked"
        self.activations = first.activations
        self.names = [name for name, _ in first.named_parameters()]
        self.own_shapes = [[p.shape for p in n.parameters()] for n in networks]
        self.shapes = [torch.Size(map(max, zip(*shapes, strict=True))) for shapes in zip(*self.own_shapes, strict=True)]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.theta = torch.zeros(len(networks) * sum(self.sizes), device=device, dtype=dtype)
        self.gradient = torch.zeros_like(self.theta)
        for run, network in enumerate(networks):
            for mine, given in zip(self.of(self.theta, run), network.parameters(), strict=True):
                mine.copy_(given.detach())
        self.mask: Tensor | None = None
        if any(shapes != self.shapes for shapes in self.own_shapes):
            self.mask = torch.zeros_like(self.theta)
            for run in range(len(networks)):
                for mine in self.of(self.mask, run):
                    mine.fill_(1)
        self._view()

    def __len__(self) -> int:
        return len(self.own_shapes)

    def _view(self) -> None:
        theta, gradient = self.blocks(self.theta), self.blocks(self.gradient)
        self.layers = list(zip(theta[::2], theta[1::2], strict=True))
        self.gradients = list(zip(gradient[::2], gradient[1::2], strict=True))

    def blocks(self, numbers: Float[Tensor, " M"]) -> list[Tensor]:
        """The numbers of each parameter tensor, (R, out, in) or (R, out): views."""
        return [
            part.view(len(self), *reversed(shape)).mT if _lies_turned(shape) else part.view(len(self), *shape)
            for part, shape in zip(self.pieces(numbers), self.shapes, strict=True)
        ]

    def pieces(self, numbers: Float[Tensor, " M"]) -> list[Float[Tensor, "R _"]]:
        """The numbers of each parameter tensor in a row per run, as they lie: views."""
        return [part.view(len(self), -1) for part in numbers.split([len(self) * size for size in self.sizes])]

    def rows(self, numbers: Float[Tensor, " M"]) -> Float[Tensor, "R P"]:
        """The numbers of each run in a row."""
        return torch.cat([block.flatten(1) for block in self.blocks(numbers)], 1)

    def spread(self, value_R: Float[Tensor, " R"]) -> Float[Tensor, " M"]:
        """A number of each run for all of its numbers."""
        return torch.cat([value_R.unsqueeze(1).expand(-1, size).flatten() for size in self.sizes])

    def norms(self, numbers: Float[Tensor, " M"]) -> Float[Tensor, "R T"]:
        """The Euclidean norm of each parameter tensor's numbers."""
        return torch.stack([torch.linalg.vector_norm(piece, dim=1) for piece in self.pieces(numbers)], 1)

    def of(self, numbers: Float[Tensor, " M"], run: int) -> list[Tensor]:
        """One run's tensors, in its own shapes: views."""
        own = self.own_shapes[run]
        return [b[run][tuple(map(slice, shape))] for b, shape in zip(self.blocks(numbers), own, strict=True)]

    def some(self, numbers: Float[Tensor, " M"], index_r: Int[Tensor, " r"]) -> Float[Tensor, " m"]:
        """The numbers of some of the runs."""
        return torch.cat([piece[index_r].flatten() for piece in self.pieces(numbers)])

    def into(self, network: MLP, run: int) -> None:
        """Give a network a run's parameters."""
        for mine, its in zip(network.parameters(), self.of(self.theta, run), strict=True):
            mine.data = its.clone()

    def loss_and_gradient(self, x_ND: Float[Tensor, "*#R N D"], y_NH: Tensor, loss: Loss) -> Float[Tensor, " R"]:
        """Each run's mean loss, with its gradient in `gradient`; samples without runs dimension are for all."""
        trace = forward(x_ND, self.layers, self.activations)
        loss_R, slope_RNO = loss.with_slope(trace.a[-1], y_NH)
        backward(slope_RNO, trace, self.layers, self.activations, self.gradients)
        if self.mask is not None:
            self.gradient *= self.mask
        return loss_R

    def outputs(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "R N O"]:
        """Every run's predictions in model space."""
        widest = max(shape[0] for shape in self.shapes)
        samples = max(SAMPLES, AT_ONCE // (len(self) * widest))
        runs = max(1, AT_ONCE // (samples * widest))
        made_RNO = x_ND.new_empty(len(self), len(x_ND), self.shapes[-1][0])
        for some in range(0, len(self), runs):
            layers = [(W[some : some + runs], b[some : some + runs]) for W, b in self.layers]
            for start in range(0, len(x_ND), samples):
                piece = outputs(x_ND[start : start + samples], layers, self.activations)
                made_RNO[some : some + runs, start : start + samples] = piece
        return made_RNO

    def part(self, index_r: Int[Tensor, " r"]) -> Stack:
        """These runs only."""
        other = object.__new__(Stack)
        other.__dict__.update(vars(self))
        other.theta, other.gradient = (self.some(numbers, index_r) for numbers in (self.theta, self.gradient))
        other.mask = None if self.mask is None else self.some(self.mask, index_r)
        other.own_shapes = [self.own_shapes[run] for run in index_r.tolist()]
        other._view()
        return other

    def widths(self) -> list[Int[Tensor, " R"]]:
        """Each run's own units of each hidden layer."""
        biases = zip(*(shapes[1:-2:2] for shapes in self.own_shapes), strict=True)
        return [torch.tensor([shape[0] for shape in shapes], device=self.theta.device) for shapes in biases]

    def own_places(self, run: int) -> np.ndarray:
        """Where a run's own numbers are in its row."""
        if self.mask is None:
            return np.arange(sum(self.sizes))
        return np.flatnonzero(self.rows(self.mask)[run].cpu().numpy())


def _lies_turned(shape: torch.Size) -> bool:
    return len(shape) == 2 and shape[1] < shape[0]
