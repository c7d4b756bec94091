"""Activations, losses and networks compared with torch, scikit-learn and numbers worked out by hand."""

import inspect
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_absolute_error, mean_pinball_loss, mean_squared_error
from torch import nn

from steepest.nets.activations import ACTIVATIONS
from steepest.nets.losses import LOSSES, QUANTILES, cross_entropy, huber, mae, mse
from steepest.nets.networks import MLP, Linear

Z = torch.linspace(-8, 8, 1601, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("sigmoid", nn.functional.sigmoid),
        ("relu", nn.functional.relu),
        ("tanh", nn.functional.tanh),
        ("hard_sigmoid", nn.functional.hardsigmoid),
        ("identity", lambda z: z),
        ("gelu", nn.functional.gelu),
        ("silu", nn.functional.silu),
    ],
)
def test_activation_and_its_slope_equal_torchs(name, oracle):
    z = Z.clone().requires_grad_()
    (ours,) = torch.autograd.grad(ACTIVATIONS[name](z).sum(), z)
    (theirs,) = torch.autograd.grad(oracle(z).sum(), z)
    torch.testing.assert_close(ACTIVATIONS[name](Z), oracle(Z), rtol=0, atol=1e-15)
    inside = (Z.abs() - 3).abs() > 1e-9  # the kinks of hard sigmoid have their own test
    # torch's hardsigmoid slope is 1/6 rounded to single precision, also for doubles.
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=0, atol=1e-8 if name == "hard_sigmoid" else 1e-15)


def test_slopes_at_the_kinks_equal_relus():
    z = torch.tensor([-3.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    slopes = {name: torch.autograd.grad(ACTIVATIONS[name](z).sum(), z)[0].tolist() for name in ("relu", "hard_sigmoid")}
    assert slopes["relu"] == [0, 0, 1]
    assert slopes["hard_sigmoid"] == [0, 1 / 6, 1 / 6]


def test_losses_equal_scikit_learns():
    random = torch.Generator().manual_seed(3)
    p, y = (torch.randn(17, 3, generator=random, dtype=torch.float64) for _ in range(2))
    assert mse(p, y).item() == pytest.approx(mean_squared_error(y, p), rel=1e-14)
    assert mae(p, y).item() == pytest.approx(mean_absolute_error(y, p), rel=1e-14)
    logits, up = (
        torch.randn(17, 2, generator=random, dtype=torch.float64),
        torch.arange(17).remainder(2)[:, None],
    )
    expected = log_loss(up.flatten(), logits.softmax(-1))
    assert cross_entropy(logits, up).item() == pytest.approx(expected, rel=1e-13)


def test_huber_by_hand():
    p, y = torch.tensor([[0.5], [3.0]]), torch.tensor([[0.0], [0.0]])
    assert huber(p, y).item() == pytest.approx((0.5**2 / 2 + (3 - 0.5)) / 2)


def test_cross_entropy_takes_two_logits_for_each_day():
    logits = torch.tensor([[0.0, 0.0, 0.0, math.log(3.0)]])  # day 1: 1/2, day 2: up with 3/4
    assert cross_entropy(logits, torch.tensor([[0, 1]])).item() == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2)


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_a_loss_refuses_shapes_that_would_broadcast(name):
    loss = inspect.unwrap(LOSSES[name].forward)  # without the shape checking that only tests install
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\)"):
        loss(torch.zeros(4, 1), torch.zeros(4))


def test_the_quantile_loss_is_the_mean_of_scikit_learns_pinball_losses():
    random = np.random.default_rng(0)
    p, y = random.normal(size=(20, 6)), random.normal(size=(20, 2))
    shares = zip(QUANTILES, np.split(p, 3, axis=1), strict=True)
    expected = np.mean([mean_pinball_loss(y, each, alpha=share) for share, each in shares])
    assert LOSSES["quantile"](torch.from_numpy(p), torch.from_numpy(y)).item() == pytest.approx(expected, rel=1e-12)


def test_two_layer_net_by_hand():
    net = MLP(2, [2], 1, "sigmoid")
    with torch.no_grad():
        net.W1.copy_(torch.tensor([[1.0, -1.0], [0.5, 2.0]]))
        net.b1.copy_(torch.tensor([0.0, -1.0]))
        net.W2.copy_(torch.tensor([[2.0, -3.0]]))
        net.b2.copy_(torch.tensor([0.25]))
    sigma = lambda z: 1 / (1 + math.exp(-z))  # noqa: E731
    expected = 2 * sigma(1 - 2) - 3 * sigma(0.5 + 4 - 1) + 0.25
    assert net(torch.tensor([[1.0, 2.0]])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("hidden", [[], [5], [4, 3], [7, 6, 5]])
def test_mlp_equals_torchs_sequential(hidden):
    net = MLP(3, hidden, 2, "tanh", seed=1).double()
    layers: list[nn.Module] = []
    for weight, bias in net.layers():
        layer = nn.Linear(weight.shape[1], weight.shape[0]).double()
        layer.weight.data, layer.bias.data = weight.data, bias.data
        layers += [layer, nn.Tanh()]
    x = torch.randn(11, 3, dtype=torch.float64)
    torch.testing.assert_close(net(x), nn.Sequential(*layers[:-1])(x), rtol=0, atol=1e-15)


def test_initial_weights_are_a_pure_function_of_the_seed():
    torch.manual_seed(123)
    first = MLP(3, [5], 1, seed=0).state_dict()
    torch.manual_seed(7)
    again, other = MLP(3, [5], 1, seed=0).state_dict(), MLP(3, [5], 1, seed=1).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["W1"], other["W1"])


def test_the_scale_of_the_initial_weights_multiplies_all_of_them():
    usual, scaled = MLP(3, [5], 2, seed=1), MLP(3, [5], 2, seed=1, init_scale=2.5)
    for one, other in zip(usual.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(2.5 * one, other)
    with pytest.raises(ValueError, match=r"model.init_scale=-1.0 must be 0 or more"):
        MLP(3, [5], 2, init_scale=-1.0)


def test_initial_weights_fill_torchs_range():
    net = MLP(100, [1000], 1)
    assert net.W1.abs().max() <= 0.1
    assert net.W1.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)  # of U(-0.1, 0.1)


def test_the_line_is_w_x_plus_b():
    line = Linear(1, 1)
    assert line(torch.tensor([[2.0]])).item() == pytest.approx((2 * line.W1 + line.b1).item())
    assert [n for n, _ in line.named_parameters()] == ["W1", "b1"]


def test_bad_sizes_and_names_are_refused():
    with pytest.raises(ValueError, match="model.activation=swish must be one of sigmoid"):
        MLP(1, [2], 1, "swish")
    with pytest.raises(ValueError, match=r"model.hidden=\[0\]"):
        MLP(1, [0], 1)


def test_a_net_in_words_has_its_layers_and_its_activation():
    assert MLP(28, [64, 3], 2, "relu").in_words() == "Net 28-64-3-2, relu"
    assert Linear(28, 1).in_words() == "Linear model 28-1"
