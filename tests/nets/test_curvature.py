"""Second derivatives compared with torch.func, eigvalsh and matrices of known spectrum."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steepest.nets.activations import ACTIVATIONS
from steepest.nets.curvature import Surface, exact_spectrum, lanczos, lanczos_spectrum
from steepest.nets.functional import layers_of
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP, forward


def planted(activation="tanh", loss="mse", hidden=(4, 3), samples=40, seed=0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 3, generator=random, dtype=torch.float64)
    y = torch.randn(samples, 6 // LOSSES[loss].outputs, generator=random, dtype=torch.float64)
    if loss == "cross_entropy":
        y = torch.randint(0, 2, (samples, 3), generator=random)
    return Surface(MLP(3, hidden, 6, activation, seed).double(), LOSSES[loss], x, y)


def loss_at(surface):
    return lambda theta: surface.loss(
        forward(surface.x_ND, layers_of(surface.parameters(theta)), surface.network.activations).a[-1], surface.y_NH
    )


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize(("activation", "loss"), list(product(ACTIVATIONS, LOSSES)))
def test_the_hessian_equals_torch_func(activation, loss):
    surface = planted(activation, loss)
    theta = surface.current()
    wanted = torch.func.hessian(loss_at(surface))(theta)
    found = surface.hessian(theta)
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-13)
    assert torch.equal(found, found.mT)
    v = torch.randn(len(theta), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(surface.products(theta)(v), wanted @ v, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_eigenvalues_equal_eigvalsh(hidden):
    surface = planted(hidden=hidden)
    theta = surface.current()
    wanted = np.linalg.eigvalsh(surface.hessian(theta).numpy())
    exact = exact_spectrum(surface.hessian(theta))
    assert (exact.smallest, exact.largest) == pytest.approx((wanted[0], wanted[-1]), rel=1e-12, abs=1e-13)
    assert exact.positive == pytest.approx((wanted > exact.tolerance).mean())
    assert exact.negative == pytest.approx((wanted < -exact.tolerance).mean())
    seen = lanczos_spectrum(surface.products(theta), theta, steps=60)
    assert (seen.smallest, seen.largest) == pytest.approx((wanted[0], wanted[-1]), rel=1e-9, abs=1e-11)
    assert not seen.exact


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=60), st.integers(0, 1000))
def test_lanczos_finds_both_ends_of_any_spectrum(values, seed):
    random = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(random.normal(size=(len(values), len(values))))
    matrix = torch.tensor(turn @ np.diag(values) @ turn.T)
    found = lanczos_spectrum(lambda v: matrix @ v, torch.zeros(len(values), dtype=torch.float64), steps=len(values))
    size = max(map(abs, values))
    assert found.largest == pytest.approx(max(values), abs=1e-8 * size + 1e-12)
    assert found.smallest == pytest.approx(min(values), abs=1e-8 * size + 1e-12)


def test_lanczos_finds_the_one_negative_eigenvalue_of_a_large_matrix():
    values = torch.cat([torch.tensor([-0.5]), torch.linspace(0.0, 3.0, 1999)]).double()
    found = lanczos_spectrum(lambda v: values * v, torch.zeros(2000, dtype=torch.float64), steps=60, probes=4)
    assert found.smallest == pytest.approx(-0.5, abs=1e-6)
    assert found.largest == pytest.approx(3.0, abs=1e-3)
    assert found.positive == pytest.approx(1.0, abs=0.02)


def test_lanczos_weights_are_a_quadrature_of_the_vector_it_starts_from():
    random = torch.Generator().manual_seed(0)
    values = torch.linspace(1.0, 5.0, 300, dtype=torch.float64)
    start = torch.randn(300, generator=random, dtype=torch.float64)
    found, weights, _ = lanczos(lambda v: values * v, start, 25)
    share = start.square() / start.square().sum()
    assert weights.sum() == pytest.approx(1.0)
    assert float((weights / found).sum()) == pytest.approx(float((share / values).sum()), rel=1e-12)


def test_losses_at_many_points_equal_the_loss_at_each():
    surface = planted()
    points = (
        surface.current() + torch.randn(7, len(surface.current()), generator=torch.Generator().manual_seed(0)).double()
    )
    wanted = torch.stack([loss_at(surface)(point) for point in points])
    torch.testing.assert_close(surface.losses(points), wanted, rtol=1e-13, atol=0)
