"""Finite differences of a net's loss, accurate to 13 digits or more: an independent way to compute its gradient.

This file implements the net again, in NumPy's extended precision, and shares only the parameters with `networks.py`,
and the forward of losses and activations of the user's own.
On x86, extended precision has a mantissa of 64 bits, so a difference of losses keeps its digits. Where
`numpy.longdouble` is a double, as on Apple's and Windows's machines, the result has about three digits fewer.

Shapes: E entries (one moved net each), S sides of a difference, N samples, D inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr

from steepest.nets import activations as textbook_activations
from steepest.nets import losses as textbook_losses
from steepest.nets.activations import Activation
from steepest.nets.losses import Loss

Array = np.ndarray
EXTENDED = np.longdouble
EXACT = np.finfo(EXTENDED).eps < 1e-18
NUMBERS = 2**20  # in memory at a time

# Function name -> its value, and the positions of its kinks.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], tuple[float, ...]]] = {
    "identity": (lambda z: z, ()),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), ()),
    "tanh": (np.tanh, ()),
    "relu": (lambda z: np.maximum(z, 0), (0.0,)),
    "hard_sigmoid": (lambda z: np.clip((z + 3) / 6, 0, 1), (-3.0, 3.0)),
    "gelu": (lambda z: z * ndtr(z.astype(float)), ()),  # (scipy has no extended precision)
    "silu": (lambda z: z / (1 + np.exp(-z)), ()),
}


def _cross_entropy(logits: Array, up: Array) -> Array:
    down_logit, up_logit = logits[..., 0::2], logits[..., 1::2]
    return np.logaddexp(down_logit, up_logit) - np.where(up == 1, up_logit, down_logit)


def _quantile(p: Array, y: Array) -> Array:
    gap = _repeated(y, p) - p
    share = np.repeat(np.array([50, 5, 95], EXTENDED) / 100, y.shape[-1])
    return np.maximum(share * gap, (share - 1) * gap)


def _repeated(y: Array, p: Array) -> Array:
    """Targets (N, H) as often as there are outputs for each of them."""
    return np.tile(y, (1, p.shape[-1] // y.shape[-1]))


LOSSES: dict[str, tuple[Callable[[Array, Array], Array], tuple[float, ...]]] = {  # kinks are of the residual p - y
    "mse": (lambda p, y: (p - y) ** 2, ()),
    "mae": (lambda p, y: np.abs(p - y), (0.0,)),
    "huber": (lambda p, y: np.where(np.abs(p - y) <= 1, (p - y) ** 2 / 2, np.abs(p - y) - 0.5), (-1.0, 1.0)),
    "cross_entropy": (_cross_entropy, ()),
    "quantile": (_quantile, (0.0,)),
}
# Central differences: h, and the weights of L(w + k h) - L(w - k h), k = 1, 2, ..., before the division by h. Smooth
# losses: sixth order (Fornberg 1988). Losses with kinks: a step so small that it rarely crosses one.
SMOOTH = (1e-3, (3 / EXTENDED(4), -3 / EXTENDED(20), 1 / EXTENDED(60)))
KINKED = (2e-5, (2 / EXTENDED(3), -1 / EXTENDED(12)))


def finite_differences(
    parameters: Sequence[Array],
    activations: Sequence[Activation],
    loss: Loss,
    x_ND: Array,
    y_NH: Array,
    number: int,
    index_E: Array,
) -> tuple[Array, Array]:
    """Slopes (E,) of the mean loss by entries of one parameter, and whether each is valid (E,).

    An entry is not valid if its step crosses a kink, where a difference of losses is not a derivative.

    Args:
        parameters: W1 (out, in), b1 (out,), W2, ...
        activations: of each layer.
        loss: the loss. A loss or an activation of the user's own is computed by its own forward, in double precision.
        x_ND, y_NH: samples.
        number: the index of the parameter, from 0.
        index_E: the indices of its entries, flattened.
    """
    parts: list[Any] = [loss, *activations]
    kinked = any(is_own(part) or not part.smooth for part in parts)
    step, weights = KINKED if kinked else SMOOTH
    sides = np.array([side * k for k in range(1, len(weights) + 1) for side in (1, -1)], EXTENDED) * EXTENDED(step)
    weights_S = np.array([side * w for w in weights for side in (1, -1)], EXTENDED) / EXTENDED(step)
    extended = [p.astype(EXTENDED) for p in parameters]
    x, y = x_ND.astype(EXTENDED), y_NH.astype(EXTENDED)
    needed = len(sides) * (extended[number].size + len(x) * 2 * sum(len(b) for b in parameters[1::2]))
    slopes, valid = [], []
    for part_e in np.array_split(index_E, -(-len(index_E) * needed // NUMBERS)):
        moved = np.broadcast_to(extended[number].reshape(-1), (len(part_e), len(sides), extended[number].size)).copy()
        moved[np.arange(len(part_e)), :, part_e] += sides
        nets = [*extended]
        nets[number] = moved.reshape(len(part_e), len(sides), *extended[number].shape)
        losses_ES, same_e = _losses(nets, activations, loss, x, y)
        slopes.append(losses_ES @ weights_S)
        valid.append(np.broadcast_to(same_e, len(part_e)))
    return np.concatenate(slopes).astype(np.float64), np.concatenate(valid)


def _losses(
    nets: Sequence[Array], activations: Sequence[Activation], loss: Loss, x_ND: Array, y_NH: Array
) -> tuple[Array, Array]:
    """Losses (E, S) of moved nets, and whether all sides of a move are on the same smooth pieces (E,)."""
    a, same = x_ND, np.array(True)
    for layer, sigma in enumerate(activations):
        value, kinks = _activation(sigma)
        weight, bias = nets[2 * layer], nets[2 * layer + 1]
        z = a @ np.swapaxes(weight, -1, -2) + np.expand_dims(bias, -2)
        same, a = same & _one_piece(z, kinks), value(z)
    if is_own(loss):
        tensors = (torch.from_numpy(array.astype(float)) for array in (a, y_NH))
        return loss(*tensors).numpy().astype(EXTENDED), same
    value_of, kinks = LOSSES[loss.name]
    if kinks:
        same = same & _one_piece(a - _repeated(y_NH, a), kinks)
    return value_of(a, y_NH).mean((-2, -1)), same


def is_own(part: Any) -> bool:
    """Whether a loss or an activation is the user's own."""
    known: dict[str, Any] = textbook_losses.LOSSES | textbook_activations.ACTIVATIONS
    return known.get(part.name) is not part


def _activation(sigma: Activation) -> tuple[Callable[[Array], Array], tuple[float, ...]]:
    """The function of an activation, and the positions of its kinks, which are unknown for the user's own."""
    if not is_own(sigma):
        return ACTIVATIONS[sigma.name]
    return lambda z: sigma(torch.from_numpy(z.astype(float))).numpy().astype(EXTENDED), ()


def _one_piece(z: Array, kinks: Sequence[float]) -> Array:
    """Whether there is no kink between the sides of z (E, S, N, units). Layers below the moved one have no sides."""
    same = np.array(True)
    for kink in kinks if z.ndim == 4 else ():
        above = z > kink
        same = same & (above == above[:, :1]).all((1, 2, 3))
    return same
