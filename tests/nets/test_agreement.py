"""The comparison of gradients names a wrong one and accepts rounding; its differences are accurate to 12 digits."""

import numpy as np
import pytest
import torch

from steepest.nets import agreement
from steepest.nets.activations import ACTIVATIONS
from steepest.nets.agreement import BOUND, BOUND_OF_DIFFERENCES, compare
from steepest.nets.differences import finite_differences
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP


def case(activation="sigmoid", loss="mse", hidden=(6, 5), outputs=6, samples=30, dtype=torch.float64):
    network = MLP(3, hidden, outputs, activation, seed=4).to(dtype)
    random = torch.Generator().manual_seed(5)
    x = torch.randn(samples, 3, generator=random, dtype=torch.float64).to(dtype)
    y = torch.randn(samples, outputs // LOSSES[loss].outputs, generator=random, dtype=torch.float64).to(dtype)
    if loss == "cross_entropy":
        y = torch.randint(0, 2, (samples, outputs // 2), generator=random)
    return network, LOSSES[loss], x, y


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_three_ways_agree(activation, loss):
    rows = compare(*case(activation, loss))
    assert [r.parameter for r in rows] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    for row in rows:
        assert row.autograd < 1e-14
        assert row.differences is not None
        assert row.differences < (BOUND_OF_DIFFERENCES if BOUND_OF_DIFFERENCES < 1e-9 else 1e-7)
        assert row.entries >= 0.9 * torch.Size(row.shape).numel(), "kinks are seldom in the way"
        assert row.fault(BOUND[torch.float64]) is None


def test_smooth_nets_agree_with_finite_differences_below_1e_minus_12():
    if BOUND_OF_DIFFERENCES > 1e-9:
        pytest.skip("numpy.longdouble is a double on this machine")
    for activation in ("sigmoid", "tanh", "identity"):
        assert max(r.differences or 0 for r in compare(*case(activation))) < 1e-12


def test_rounding_in_single_precision_is_accepted():
    rows = compare(*case(dtype=torch.float32))
    assert all(row.fault(BOUND[torch.float32]) is None for row in rows)
    assert max(row.differences or 0 for row in rows) < BOUND_OF_DIFFERENCES, "differences are of double precision"


def test_rounding_at_a_minimum_is_accepted():
    network, loss, x, _ = case("identity", hidden=(), outputs=2)
    y = x @ torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.1]], dtype=torch.float64) + torch.randn(
        30, 2, dtype=torch.float64
    )
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(30, 1)], dim=1), y).solution
    with torch.no_grad():
        network.W1.copy_(solution[:3].T)
        network.b1.copy_(solution[3])
    rows = compare(network, loss, x, y)
    assert max(r.norm for r in rows) < 1e-13, "it is a minimum"
    assert all(row.fault(1e-12) is None for row in rows)


@pytest.mark.parametrize("wrong", [1 + 1e-9, -1, 0, float("nan")])
@pytest.mark.parametrize("parameter", [0, 3, 5])
def test_a_wrong_gradient_from_the_engine_is_named(parameter, wrong):
    network, loss, x, y = case()
    used = list(torch.autograd.grad(loss(network(x), y), list(network.parameters())))
    used[parameter] = used[parameter] * wrong
    rows = compare(network, loss, x, y, used=used)
    faults = [fault for row in rows if (fault := row.fault(1e-12))]
    assert len(faults) == 1
    assert faults[0].startswith(f"{rows[parameter].parameter}: the engine's gradient differs from autograd's")


def test_a_wrong_formula_differs_from_autograd_and_finite_differences(monkeypatch):
    right = agreement.backward

    def mutant(*arguments):
        return [(dW * 1.5 if k == 1 else dW, db) for k, (dW, db) in enumerate(right(*arguments))]

    monkeypatch.setattr(agreement, "backward", mutant)
    rows = {row.parameter: row for row in compare(*case())}
    assert rows["W2"].autograd > 0.01
    assert (rows["W2"].differences or 0) > 0.01
    assert rows["W1"].fault(1e-12) is None
    assert "W2: the hand-derived gradient differs from autograd's by a relative error of" in (
        rows["W2"].fault(1e-12) or ""
    )


def test_compared_entries_are_spread_evenly_over_a_parameter():
    network, loss, x, y = case(hidden=(40,))
    assert [r.entries for r in compare(network, loss, x, y, entries=7)] == [7, 7, 7, 6]


def test_finite_differences_equal_a_closed_form_slope():
    # L(w) = mean (w x - y)^2, dL/dw = 2 mean x (w x - y).
    x, y = np.array([[1.0], [2.0], [-0.5]]), np.array([[2.0], [1.0], [0.25]])
    slopes, sound = finite_differences(
        [np.array([[0.7]]), np.array([0.0])], [ACTIVATIONS["identity"]], LOSSES["mse"], x, y, 0, np.array([0])
    )
    assert sound.all()
    assert slopes[0] == pytest.approx(2 * np.mean(x * (0.7 * x - y)), rel=1e-13)


def test_entries_whose_step_crosses_a_kink_are_skipped():
    # relu(w x) with w = 0: the two sides of the step are on different pieces.
    one = np.array([[1.0]])
    parameters = [np.array([[0.0]]), np.array([0.0]), one, np.array([0.0])]
    _, sound = finite_differences(
        parameters, [ACTIVATIONS["relu"], ACTIVATIONS["identity"]], LOSSES["mse"], one, 2 * one, 0, np.array([0])
    )
    assert not sound.any()
    _, sound = finite_differences(
        parameters, [ACTIVATIONS["relu"], ACTIVATIONS["identity"]], LOSSES["mse"], one, 2 * one, 3, np.array([0])
    )
    assert sound.all(), "the bias above does not move it"
