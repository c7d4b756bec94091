"""Compares three ways to compute a gradient: by hand, by autograd and by finite differences.

Shapes as in `networks.py`. The error for a parameter is the largest absolute difference of two gradients, divided by
max_oi sum_n |g_no| |a_ni|, the largest sum of the samples' absolute contributions to one entry. Rounding is bounded
relative to that sum. Unlike the gradient, it does not vanish where contributions cancel, as they do at a minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from steepest.nets.differences import EXACT, finite_differences, is_own
from steepest.nets.losses import Loss
from steepest.nets.networks import MLP, Layer, backward, errors, forward

# Bounds of the errors, by the precision of the gradient that is compared.
BOUND = {torch.float64: 1e-12, torch.float32: 1e-5}
BOUND_OF_DIFFERENCES = 1e-11 if EXACT else 1e-7
BOUND_OF_OWN = 1e-6  # for functions of the user's own, whose values are in double precision


class Disagreement(ArithmeticError):
    """A hand-derived gradient is wrong."""


@dataclass(frozen=True)
class Agreement:
    """The result of the comparison for one parameter tensor.

    Attributes:
        parameter: its name, W1, b1, ...
        shape: its shape.
        norm: Euclidean norm of the hand-derived gradient.
        autograd: error of the hand-derived gradient against autograd's, in the network's precision.
        differences: error of the hand-derived gradient, in double precision, against finite differences, or None if
            every entry's step crossed a kink.
        entries: number of entries compared with finite differences.
        used: error of the gradient that training used against autograd's, or None if none was given.
        bound: of `differences`.
    """

    parameter: str
    shape: tuple[int, ...]
    norm: float
    autograd: float
    differences: float | None
    entries: int
    used: float | None = None
    bound: float = BOUND_OF_DIFFERENCES

    def largest_error(self) -> float:
        """The largest of the errors."""
        return max(self.autograd, self.differences or 0.0, self.used or 0.0)

    def fault(self, bound: float, engine: str = "engine") -> str | None:
        """A message if an error is not below its bound, or is NaN. `engine` names the source of the gradient `used`."""
        for error, limit, problem in (
            (self.autograd, bound, "the hand-derived gradient differs from autograd's"),
            (self.used, bound, f"the {engine}'s gradient differs from autograd's"),
            (
                self.differences,
                max(bound, self.bound),
                "the hand-derived gradient differs from finite differences",
            ),
        ):
            if error is not None and not error < limit:
                return f"{self.parameter}: {problem} by a relative error of {error:.3g}; the bound is {limit:g}"
        return None


def hand_derived(network: nn.Module, user: str) -> MLP:
    """Return a network that has hand-derived gradients, or raise `ValueError`: `user` is what needs them."""
    if not isinstance(network, MLP):
        raise ValueError(
            f"{user} compares hand-derived gradients, which this model does not have: use "
            "model=linear_manual or model=mlp_manual"
        )
    return network


def compare(
    network: MLP,
    loss: Loss,
    x_ND: Tensor,
    y_NH: Tensor,
    *,
    entries: int | None = None,
    used: Sequence[Tensor] | None = None,
) -> list[Agreement]:
    """Compare the gradients of the mean loss of these samples, parameter by parameter.

    Args:
        network: gives the parameters and the precision.
        loss: one of `LOSSES`.
        x_ND, y_NH: samples, in the network's precision.
        entries: the maximum number of entries of each parameter to compare with finite differences, evenly
            spaced; None compares all.
        used: the gradients that training used, to compare with autograd's too, in the order of the parameters.
    """
    layers = [(W.detach(), b.detach()) for W, b in network.layers()]
    hand, scale = _by_hand(network, layers, loss, x_ND, y_NH)
    auto = _by_autograd(network, loss, x_ND, y_NH)
    double = [(W.double(), b.double()) for W, b in layers]
    wide = (x_ND.double(), y_NH.double() if y_NH.is_floating_point() else y_NH)
    exact, exact_scale = _by_hand(network, double, loss, *wide)
    arrays = [p.cpu().numpy() for layer in double for p in layer]
    own = any(is_own(part) for part in (loss, *network.activations))
    rows = []
    for number, (name, parameter) in enumerate(network.named_parameters()):
        step = max(1, -(-parameter.numel() // entries)) if entries else 1
        index_E = torch.arange(0, parameter.numel(), step)
        slope_E, valid_E = finite_differences(
            arrays,
            network.activations,
            loss,
            wide[0].cpu().numpy(),
            wide[1].cpu().numpy(),
            number,
            index_E.numpy(),
        )
        error_E = (torch.tensor(slope_E) - exact[number].cpu().flatten()[index_E]).abs()[torch.tensor(valid_E)]
        rows.append(
            Agreement(
                name,
                tuple(parameter.shape),
                hand[number].norm().item(),
                _relative(hand[number] - auto[number], scale[number]),
                _relative(error_E, exact_scale[number].cpu()) if len(error_E) else None,
                len(error_E),
                None if used is None else _relative(used[number] - auto[number], scale[number]),
                bound=BOUND_OF_OWN if own else BOUND_OF_DIFFERENCES,
            )
        )
    return rows


def _by_hand(
    network: MLP, layers: Sequence[Layer], loss: Loss, x_ND: Tensor, y_NH: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients, and for each the largest sum of absolute contributions to one of its entries."""
    with torch.no_grad():
        trace = forward(x_ND, layers, network.activations)
        slope = loss.backward(trace.a[-1], y_NH)
        errors_NO = errors(slope, trace, layers, network.activations)
        gradients = backward(slope, trace, layers, network.activations)
    scales = [
        s
        for g_NO, a_NI in zip(errors_NO, trace.a, strict=False)
        for s in ((g_NO.abs().mT @ a_NI.abs()).max(), g_NO.abs().sum(-2).max())
    ]
    return [g for layer in gradients for g in layer], scales


def _by_autograd(network: MLP, loss: Loss, x_ND: Tensor, y_NH: Tensor) -> list[Tensor]:
    with torch.enable_grad():
        return list(torch.autograd.grad(loss(network(x_ND), y_NH), list(network.parameters())))


def _relative(difference: Tensor, scale: Tensor) -> float:
    """The largest absolute entry of a difference, divided by a scale; 0 / 0 is an error of 0."""
    return (difference.abs().max() / scale.clamp(min=torch.finfo(scale.dtype).tiny)).item()
