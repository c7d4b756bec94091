"""Smaller nets: weights that are zero, weights in 8 bits, and the bytes of a net in a file."""

from __future__ import annotations

import copy
import io

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

LEVELS = 127  # the largest whole number of 8 bits with a sign


def pruned(net: nn.Module, share: float, draw: int | None = None) -> nn.Module:
    """A copy of a net with this share of its weights set to zero; the biases stay.

    Args:
        net: its matrices are the weights, over all layers together.
        share: of the weights.
        draw: None sets the weights of smallest magnitude to zero, a number those that chance with this seed chooses.
    """
    small = copy.deepcopy(net)
    weights = [(small, name) for name, p in net.named_parameters() if p.dim() == 2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw or 0)
        method = prune.L1Unstructured if draw is None else prune.RandomUnstructured
        prune.global_unstructured(weights, method, amount=share)
    for _, name in weights:
        prune.remove(small, name)  # keep the zeros, not the mask
    return small


def in_8_bits(p: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers q (int8) and a scale, so that q * scale is closest to the tensor: scale = max |p| / 127."""
    scale = p.detach().abs().max() / LEVELS
    return (p.detach() / scale).round().to(torch.int8), scale


def largest_rounding(net: nn.Module) -> float:
    """The largest change of a parameter by `in_8_bits`, as a multiple of its tensor's scale: at most 0.5."""
    found = [(p.detach(), *in_8_bits(p)) for p in net.parameters()]
    return max(float((p / scale - whole).abs().max()) for p, whole, scale in found)


def rounded(net: nn.Module) -> nn.Module:
    """A copy of a net whose parameters are those of `in_8_bits`."""
    small = copy.deepcopy(net)
    with torch.no_grad():
        for p in small.parameters():
            whole, scale = in_8_bits(p)
            p.copy_(whole * scale)
    return small


def size(net: nn.Module, *, whole: bool = False) -> int:
    """The bytes of a net in a compressed NumPy file: parameters in 32 bits, or in 8 bits and the scales in 32."""
    tensors = [p.detach().float() for p in net.parameters()]
    if whole:
        found = [in_8_bits(p) for p in tensors]
        tensors = [*(q for q, _ in found), torch.stack([scale for _, scale in found])]
    file = io.BytesIO()
    np.savez_compressed(file, *[tensor.numpy() for tensor in tensors])
    return file.getbuffer().nbytes
