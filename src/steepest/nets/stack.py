"""R networks trained at once: the numbers of all of them in one tensor, their gradients likewise.

The formulas are those of `networks.py`, which broadcast. Narrower networks are padded with units whose weights are 0
and stay 0: such a unit's outgoing weights are 0, so nothing above it sees it, and its gradients are masked.

Shapes: R runs, T parameter tensors, M = R times the numbers of the widest network, N samples, D inputs, O outputs.
All numbers of one kind (parameters, gradients, momenta) are a tensor (M,): W1 of all runs, b1 of all runs, W2 ..., so
that an elementwise step is one kernel and every W and b of all runs lies in one piece, as matrix products like it. They
like rows to be long, too: a W (out, in) with less columns than rows lies there as its transpose. If W1 does, each run's
b1 lies after its W1, as one more row: z1 is one product where x has one more input that is always 1, and dL/db1 comes
with dL/dW1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from steepest.nets.losses import Loss
from steepest.nets.networks import MLP, Layer, Whole, backward, forward, outputs

AT_ONCE = 1 << 18  # numbers of a layer that are cheap to hold: what a processor has near
SAMPLES = 256  # that outputs are made of at once; fewer make slow matrix products


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
        self.layers = self._pairs(self.theta)
        self.wholes, self.gradients = self._wholes(self.theta), self._wholes(self.gradient)

    def _pairs(self, numbers: Tensor) -> list[Layer]:
        """(W, b) of each layer: views."""
        blocks = self.blocks(numbers)
        return list(zip(blocks[::2], blocks[1::2], strict=True))

    def _wholes(self, numbers: Tensor) -> list[Whole]:
        """The same, the lowest as (W and b, None) where they lie as one matrix."""
        pairs: list[Whole] = [*self._pairs(numbers)]
        if self.takes_one:
            units, inputs = self.shapes[0]
            pairs[0] = (self._spans(numbers)[0].view(-1, inputs + 1, units).mT, None)
        return pairs

    @property
    def takes_one(self) -> bool:
        """Whether `loss_and_gradient` wants inputs `with_one`."""
        return _lies_turned(self.shapes[0])

    def with_one(self, x_ND: Float[Tensor, "*S N D"]) -> Float[Tensor, "*S N I"]:
        """Inputs as `loss_and_gradient` wants them: with one more that is always 1, where b1 lies as its weights."""
        return torch.cat([x_ND, x_ND.new_ones(*x_ND.shape[:-1], 1)], -1) if self.takes_one else x_ND

    def blocks(self, numbers: Float[Tensor, " M"]) -> list[Tensor]:
        """The numbers of each parameter tensor, (R, out, in) or (R, out): views."""
        return [
            part.view(-1, *reversed(shape)).mT if _lies_turned(shape) else part.view(-1, *shape)
            for part, shape in zip(self.pieces(numbers), self.shapes, strict=True)
        ]

    def pieces(self, numbers: Float[Tensor, " M"]) -> list[Float[Tensor, "R _"]]:
        """The numbers of each parameter tensor in a row per run, as they lie: views."""
        first, *others = self._spans(numbers)
        return [*first.split(self.sizes[:2], 1), *others] if self.takes_one else [first, *others]

    def _spans(self, numbers: Float[Tensor, " M"]) -> list[Float[Tensor, "R _"]]:
        """The same, views that lie in one piece each: W1 and b1 are one where each run's lie together."""
        sizes = self._span_sizes()
        runs = len(numbers) // sum(sizes)
        return [part.view(runs, -1) for part in numbers.split([runs * size for size in sizes])]

    def _span_sizes(self) -> list[int]:
        return [sum(self.sizes[:2]), *self.sizes[2:]] if self.takes_one else self.sizes

    def rows(self, numbers: Float[Tensor, " M"]) -> Float[Tensor, "R P"]:
        """The numbers of each run in a row."""
        return torch.cat([block.flatten(1) for block in self.blocks(numbers)], 1)

    def spread(self, value_R: Float[Tensor, " R"]) -> Float[Tensor, " M"]:
        """A number of each run for all of its numbers."""
        return torch.cat([value_R.unsqueeze(1).expand(-1, size).flatten() for size in self._span_sizes()])

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
        return torch.cat([part[index_r].flatten() for part in self._spans(numbers)])

    def into(self, network: MLP, run: int) -> None:
        """Give a network a run's parameters."""
        for mine, its in zip(network.parameters(), self.of(self.theta, run), strict=True):
            mine.data = its.clone()

    def loss_and_gradient(self, x_SNI: Float[Tensor, "S N I"], y_SNH: Shaped[Tensor, "S N H"], loss: Loss) -> Tensor:
        """Each run's mean loss (R,), with its gradient in `gradient`.

        A run's numbers are the same, to the bit, whoever it is trained with.

        Args:
            x_SNI: inputs `with_one`, of S batches: each of the next R / S runs.
            y_SNH: targets.
            loss: of all runs.
        """
        each = len(self) // len(x_SNI)
        y_RNH = y_SNH.repeat_interleave(each, 0) if each > 1 else y_SNH
        if not self.takes_one and each > 1:
            x_SNI = x_SNI.repeat_interleave(each, 0)
        if len(self) > 1:
            loss_R = self._loss_and_gradient(x_SNI, y_RNH, loss, self.wholes, self.gradients)
        else:  # the product of one pair of matrices is done by another kernel, whose last digits differ
            two = self._two = self._two or _Two(self)
            two.fill()
            loss_R = self._loss_and_gradient(x_SNI.expand(2, -1, -1), y_RNH, loss, two.wholes, two.gradients)[:1]
            torch.cat(two.gradient_of_one, out=self.gradient)
        if self.mask is not None:
            self.gradient *= self.mask
        return loss_R

    def _loss_and_gradient(
        self, x_SNI: Tensor, y_RNH: Tensor, loss: Loss, layers: Sequence[Whole], gradients: Sequence[Whole]
    ) -> Tensor:
        trace = forward(x_SNI, layers, self.activations, once=True)
        loss_R, slope_RNO = loss.with_slope(trace.a[-1], y_RNH)
        backward(slope_RNO, trace, layers, self.activations, gradients, once=True)
        return loss_R

    def _twice(self, numbers: Tensor) -> Tensor:
        """The numbers of the one run, for two."""
        return torch.cat([part.expand(2, -1).flatten() for part in self._spans(numbers)])

    def outputs(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "R N O"]:
        """Every run's predictions in model space: to the bit the same, whoever it is asked with."""
        made_RNO = x_ND.new_empty(len(self), len(x_ND), self.shapes[-1][0])
        runs = max(2, AT_ONCE // (SAMPLES * max(shape[0] for shape in self.shapes)))
        wholes = self.wholes if len(self) > 1 else self._wholes(self._twice(self.theta))
        x_NI, start = self.with_one(x_ND), 0
        for count in _shares(max(2, len(self)), runs):
            layers = [(W[start : start + count], None if b is None else b[start : start + count]) for W, b in wholes]
            for first in range(0, len(x_ND), SAMPLES):
                x_1NI = x_NI[None, first : first + SAMPLES]
                piece = outputs(x_1NI, layers, self.activations)
                made_RNO[start : start + count, first : first + SAMPLES] = piece[: len(self)]
            start += count
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


class _Two:
    """Room for a single run and its double: what is looked up in every update, looked up once."""

    def __init__(self, stack: Stack) -> None:
        theta = stack._twice(stack.theta)
        gradient = torch.empty_like(theta)
        self.both = list(zip(stack._spans(theta), stack._spans(stack.theta), strict=True))
        self.wholes, self.gradients = stack._wholes(theta), stack._wholes(gradient)
        self.gradient_of_one = [part[0] for part in stack._spans(gradient)]

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
