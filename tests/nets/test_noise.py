"""Per-sample gradient norms by outer products, compared with per-sample gradients."""

from itertools import product

import pytest
import torch

from steepest.nets.activations import ACTIVATIONS
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.nets.noise import Noise, noise


def each_by_autograd(network, loss, x, y):
    rows = []
    for n in range(len(x)):
        gradients = torch.autograd.grad(loss(network(x[n : n + 1]), y[n : n + 1]), list(network.parameters()))
        rows.append(torch.cat([g.flatten() for g in gradients]))
    return torch.stack(rows)


@pytest.mark.parametrize(("activation", "loss"), list(product(ACTIVATIONS, LOSSES)))
def test_norms_and_variance_equal_those_of_per_sample_gradients(activation, loss):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(12, 3, generator=random, dtype=torch.float64)
    y = torch.randn(12, 6 // LOSSES[loss].outputs, generator=random, dtype=torch.float64)
    if loss == "cross_entropy":
        y = torch.randint(0, 2, (12, 3), generator=random)
    network = MLP(3, [4, 5], 6, activation).double()
    each = each_by_autograd(network, LOSSES[loss], x, y)
    found = noise(network, list(network.parameters()), LOSSES[loss], x, y)
    torch.testing.assert_close(found.norm_N, each.norm(dim=1), rtol=1e-12, atol=1e-14)
    assert found.mean_square == pytest.approx(float(each.mean(0).square().sum()), rel=1e-12)
    assert found.variance == pytest.approx(float(each.var(0).sum()), rel=1e-10)


def test_equal_samples_and_a_single_sample_have_no_variance():
    x, y = torch.ones(5, 2).double(), torch.zeros(5, 1).double()
    network = MLP(2, [3], 1).double()
    assert noise(network, list(network.parameters()), LOSSES["mse"], x, y).variance == pytest.approx(0, abs=1e-15)
    assert noise(network, list(network.parameters()), LOSSES["mse"], x[:1], y[:1]).variance == 0


def test_the_noise_scale_is_variance_over_signal_with_unbiased_estimates():
    """For gradients drawn around a known one, the mean of the estimates over many batches is the true value."""
    random = torch.Generator().manual_seed(0)
    truth, spread, batch = torch.tensor([3.0, 4.0]).double(), 2.0, 8
    signals, variances = [], []
    for _ in range(4000):
        each = truth + spread * torch.randn(batch, 2, generator=random, dtype=torch.float64)
        found = Noise(each.norm(dim=1), float(each.mean(0).square().sum()), float(each.var(0).sum()))
        signals.append(found.mean_square - found.variance / batch)
        variances.append(found.variance)
    assert sum(signals) / 4000 == pytest.approx(25.0, rel=0.01)
    assert sum(variances) / 4000 == pytest.approx(2 * spread**2, rel=0.02)


def test_without_signal_the_norm_tests_batch_size_is_infinite():
    found = Noise(torch.ones(4), mean_square=0.0, variance=1.0)
    assert found.scale == found.norm_test() == float("inf")
    assert Noise(torch.ones(4), mean_square=4.0, variance=8.0).norm_test(theta=0.5) == 8.0
