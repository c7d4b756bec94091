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
from steepest.models.networks import MLP, Layer, backward, forward, outputs

AT_ONCE = 1 << 17  # numbers of a layer that are cheap to hold: what a processor has near
SAMPLES = 256  # that outputs are made of at once; fewer make slow matrix products
LARGE = 1 << 17  # samples times hidden units of a run whose outputs are made by themselves


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
        self.padded = any(shapes != self.shapes for shapes in self.own_shapes)
        self.theta = torch.zeros(len(networks) * sum(self.sizes), device=device, dtype=dtype)
        self.gradient = torch.zeros_like(self.theta)
        for run, network in enumerate(networks):
            for mine, given in zip(self.of(self.theta, run), network.parameters(), strict=True):
                mine.copy_(given.detach())
        self.mask: Tensor | None = None
        if self.padded:
            self.mask = torch.zeros_like(self.theta)
            for run in range(len(networks)):
                for mine in self.of(self.mask, run):
                    mine.fill_(1)
        self._view()

    def __len__(self) -> int:
        return len(self.own_shapes)

    def _view(self) -> None:
        self._two: _Two | None = None
        self.layers, self.gradients = self._pairs(self.theta), self._pairs(self.gradient)

    def _pairs(self, numbers: Tensor) -> list[Layer]:
        """(W, b) of each layer: views."""
        blocks = self.blocks(numbers)
        return list(zip(blocks[::2], blocks[1::2], strict=True))

    def blocks(self, numbers: Float[Tensor, " M"]) -> list[Tensor]:
        """The numbers of each parameter tensor, (R, out, in) or (R, out): views."""
        return [
            part.view(-1, *reversed(shape)).mT if _lies_turned(shape) else part.view(-1, *shape)
            for part, shape in zip(self.pieces(numbers), self.shapes, strict=True)
        ]

    def pieces(self, numbers: Float[Tensor, " M"]) -> list[Float[Tensor, "R _"]]:
        """The numbers of each parameter tensor in a row per run, as they lie: views."""
        runs = len(numbers) // sum(self.sizes)
        return [part.view(runs, -1) for part in numbers.split([runs * size for size in self.sizes])]

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
        return self._own(self.blocks(numbers), run)

    def _own(self, blocks: Sequence[Tensor], run: int) -> list[Tensor]:
        if not self.padded:
            return [block[run] for block in blocks]
        return [b[run][tuple(map(slice, shape))] for b, shape in zip(blocks, self.own_shapes[run], strict=True)]

    def some(self, numbers: Float[Tensor, " M"], index_r: Int[Tensor, " r"]) -> Float[Tensor, " m"]:
        """The numbers of some of the runs."""
        return torch.cat([piece[index_r].flatten() for piece in self.pieces(numbers)])

    def into(self, network: MLP, run: int) -> None:
        """Give a network a run's parameters."""
        for mine, its in zip(network.parameters(), self.of(self.theta, run), strict=True):
            mine.data = its.clone()

    def loss_and_gradient(self, x_ND: Float[Tensor, "*#R N D"], y_NH: Tensor, loss: Loss) -> Float[Tensor, " R"]:
        """Each run's mean loss, with its gradient in `gradient`; samples without runs dimension are for all.

        A run's numbers are the same, to the bit, whoever it is trained with.
        """
        if len(self) > 1:
            x_RND = x_ND.expand(len(self), -1, -1)
            loss_R = self._loss_and_gradient(x_RND, y_NH, loss, self.layers, self.gradients)
        else:  # the product of one pair of matrices is done by another kernel, whose last digits differ
            two = self._two = self._two or _Two(self)
            two.fill()
            x_RND = x_ND.expand(2, -1, -1)
            loss_R = self._loss_and_gradient(x_RND, y_NH, loss, two.layers, two.gradients)[:1]
            torch.cat(two.gradient_of_one, out=self.gradient)
        if self.mask is not None:
            self.gradient *= self.mask
        return loss_R

    def _loss_and_gradient(
        self, x_RND: Tensor, y_NH: Tensor, loss: Loss, layers: Sequence[Layer], gradients: Sequence[Layer]
    ) -> Tensor:
        trace = forward(x_RND, layers, self.activations, once=True)
        loss_R, slope_RNO = loss.with_slope(trace.a[-1], y_NH)
        backward(slope_RNO, trace, layers, self.activations, gradients, once=True)
        return loss_R

    def _twice(self, numbers: Tensor) -> Tensor:
        """The numbers of the one run, for two."""
        return torch.cat([piece.expand(2, -1).flatten() for piece in self.pieces(numbers)])

    def outputs(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "R N O"]:
        """Every run's predictions in model space: to the bit the same, whoever it is asked with."""
        made_RNO = x_ND.new_empty(len(self), len(x_ND), self.shapes[-1][0])
        large = self._large(x_ND)
        if len(large) < len(self):
            self._outputs_together(x_ND, made_RNO)
        if large:
            self._outputs_one_by_one(x_ND, large, made_RNO)
        return made_RNO

    def _large(self, x_ND: Tensor) -> list[int]:
        """The runs whose outputs are made faster one by one."""
        known = x_ND.dtype == torch.float32 and all(sigma.in_place for sigma in self.activations[:-1])
        if not (known and x_ND.device.type == "cpu" and torch.backends.mkldnn.is_available()):
            return []
        units = [sum(shape[0] for shape in shapes[:-2:2]) for shapes in self.own_shapes]
        return [run for run, count in enumerate(units) if len(x_ND) * count >= LARGE]

    def _outputs_one_by_one(self, x_ND: Tensor, runs: Sequence[int], made_RNO: Tensor) -> None:
        """By oneDNN: its products use the widest instructions of every maker's processor, MKL's only of Intel's."""
        blocked_ND, blocks = x_ND.to_mkldnn(), self.blocks(self.theta)
        for run in runs:
            own, a_NI = self._own(blocks, run), blocked_ND
            for W_OI, b_O, sigma in zip(own[::2], own[1::2], self.activations, strict=True):
                a_NI = sigma.instead(torch.nn.functional.linear(a_NI, W_OI.contiguous(), b_O))
            made_RNO[run] = a_NI.to_dense()

    def _outputs_together(self, x_ND: Tensor, made_RNO: Tensor) -> None:
        runs = max(2, AT_ONCE // (SAMPLES * max(shape[0] for shape in self.shapes)))
        whole = self.layers if len(self) > 1 else self._pairs(self._twice(self.theta))
        start = 0
        for count in _shares(len(whole[0][1]), runs):
            layers = [(W[start : start + count], b[start : start + count]) for W, b in whole]
            for first in range(0, len(x_ND), SAMPLES):
                piece = outputs(x_ND[first : first + SAMPLES], layers, self.activations)
                made_RNO[start : start + count, first : first + SAMPLES] = piece[: len(self)]
            start += count

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


class _Two:
    """Room for a single run and its double: what is looked up in every update, looked up once."""

    def __init__(self, stack: Stack) -> None:
        theta = stack._twice(stack.theta)
        gradient = torch.empty_like(theta)
        self.both = list(zip(stack.pieces(theta), stack.pieces(stack.theta), strict=True))
        self.layers, self.gradients = stack._pairs(theta), stack._pairs(gradient)
        self.gradient_of_one = [piece[0] for piece in stack.pieces(gradient)]

    def fill(self) -> None:
        """Take the run's parameters as they are now."""
        for mine, its in self.both:
            mine.copy_(its)


def _lies_turned(shape: torch.Size) -> bool:
    return len(shape) == 2 and shape[1] < shape[0]


def _shares(count: int, most: int) -> list[int]:
    """So many runs in shares of at most `most`, none of a single one."""
    shares = -(-count // most)
    if count // shares == 1:
        shares = max(1, count // 2)
    return [count // shares + (share < count % shares) for share in range(shares)]
