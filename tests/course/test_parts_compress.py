"""Weights in 8 bits and pruned weights, against PyTorch's own rounding and a sort."""

import numpy as np
import pytest
import torch

from steepest.course.parts.compress import largest_rounding, pruned, rounded
from steepest.nets.networks import MLP


@pytest.fixture
def net():
    return MLP(3, [8, 5], 2, "relu", seed=4).double()


def test_weights_in_8_bits_equal_those_of_pytorchs_quantisation(net):
    after = rounded(net).state_dict()
    for name, p in net.state_dict().items():
        expected = torch.fake_quantize_per_tensor_affine(p, float(p.abs().max()) / 127, 0, -127, 127)
        torch.testing.assert_close(after[name], expected)
    assert 0.4 < largest_rounding(net) <= 0.5


def test_pruning_by_magnitude_leaves_the_largest_weights_of_all_layers(net):
    before, after = net.state_dict(), pruned(net, 0.5).state_dict()
    size = np.concatenate([p.abs().flatten().numpy() for name, p in before.items() if name.startswith("W")])
    limit = np.sort(size)[round(len(size) / 2) - 1]
    for name, p in before.items():
        kept = p if name.startswith("b") else torch.where(p.abs() > limit, p, 0)
        torch.testing.assert_close(after[name], kept, rtol=0, atol=0)
