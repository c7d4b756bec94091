"""The hand-derived gradients against autograd, gradcheck, complex steps, einsum and PyTorch's slopes at kinks.

Every activation is tested with every loss, at every depth. The other tests check one property each, on few nets.
`test_agreement.py` compares all activations and losses with finite differences; `tests/engine/` compares the
compiled kernel with these formulas.
"""

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from steepest.nets.activations import ACTIVATIONS
from steepest.nets.losses import LOSSES
from steepest.nets.networks import Layer, backward, errors, forward

DEPTHS = (1, 2, 3, 4, 5)  # layers: 0 to 4 hidden ones
OUTPUTS = 6  # a horizon of 6, two logits for each of 3 days, or three quantiles for each of 2


def random_net(depth: int, dtype=torch.float64, seed: int = 0, runs: tuple[int, ...] = ()) -> list[Layer]:
    """(W, b) of each layer of a net with 3 inputs; all widths differ, so a transposed matrix does not fit."""
    random = torch.Generator().manual_seed(seed)
    sizes = [3, *[(7, 5, 4, 8)[k] for k in range(depth - 1)], OUTPUTS]
    draw = lambda *shape: torch.randn(*runs, *shape, generator=random, dtype=torch.float64).to(dtype)  # noqa: E731
    return [(draw(o, i) / i**0.5, draw(o) / 3) for i, o in pairwise(sizes)]


def random_batch(samples: int, loss: str, dtype=torch.float64, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Inputs (N, 3) and targets (N, H), or classes."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 3, generator=random, dtype=torch.float64).to(dtype)
    if loss == "cross_entropy":
        return x, torch.randint(0, 2, (samples, OUTPUTS // 2), generator=random)
    return x, torch.randn(samples, OUTPUTS // LOSSES[loss].outputs, generator=random, dtype=torch.float64).to(dtype)


def sigmas(activation: str, depth: int) -> list:
    return [ACTIVATIONS[activation]] * (depth - 1) + [ACTIVATIONS["identity"]]


def by_hand(layers, x, y, activation: str, loss: str) -> list[Tensor]:
    kinds = sigmas(activation, len(layers))
    trace = forward(x, layers, kinds)
    return [g for layer in backward(LOSSES[loss].backward(trace.a[-1], y), trace, layers, kinds) for g in layer]


def by_autograd(layers, x, y, activation: str, loss: str) -> list[Tensor]:
    leaves = [(W.clone().requires_grad_(), b.clone().requires_grad_()) for W, b in layers]
    value = LOSSES[loss](forward(x, leaves, sigmas(activation, len(layers))).a[-1], y)
    return list(torch.autograd.grad(value, [p for layer in leaves for p in layer]))


def worst(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest error of a parameter, relative to its largest entry (0 against 0 is an error of 0)."""
    tiny = torch.finfo(ours[0].dtype).tiny
    return max(((a - b).abs().max() / b.abs().max().clamp(min=tiny)).item() for a, b in zip(ours, theirs, strict=True))


# ------------------------------------------------------------------------------------------- values of the gradient


@pytest.mark.parametrize(("activation", "loss"), list(product(ACTIVATIONS, LOSSES)))
def test_backward_equals_autograd_at_every_depth(activation, loss):
    for depth, samples in product(DEPTHS, (1, 13)):
        layers, (x, y) = random_net(depth), random_batch(samples, loss)
        error = worst(by_hand(layers, x, y, activation, loss), by_autograd(layers, x, y, activation, loss))
        assert error <= 1e-12, f"{depth} layers, {samples} samples"


def test_backward_equals_autograd_in_single_precision():
    layers, (x, y) = random_net(3, torch.float32), random_batch(13, "mse", torch.float32)
    ours = by_hand(layers, x, y, "sigmoid", "mse")
    assert {g.dtype for g in ours} == {torch.float32}
    assert worst(ours, by_autograd(layers, x, y, "sigmoid", "mse")) <= 1e-5


SMOOTH = [name for name, sigma in ACTIVATIONS.items() if sigma.smooth and name != "gelu"]  # no complex erf in PyTorch


@pytest.mark.parametrize("activation", SMOOTH)
def test_backward_equals_the_complex_step(activation):
    # Im L(w + ih) / h has no cancellation: exact to the last digits (Squire and Trapp 1998).
    layers, (x, y) = random_net(3), random_batch(5, "mse")
    h, kinds = 1e-100, sigmas(activation, 3)
    complex_x, complex_y = x.to(torch.complex128), y.to(torch.complex128)
    for number, gradient in enumerate(by_hand(layers, x, y, activation, "mse")):
        for entry in range(0, gradient.numel(), 3):
            moved = [[W.to(torch.complex128), b.to(torch.complex128)] for W, b in layers]
            moved[number // 2][number % 2].view(-1)[entry] += 1j * h
            value = LOSSES["mse"](forward(complex_x, [tuple(m) for m in moved], kinds).a[-1], complex_y)
            assert abs(value.imag.item() / h - gradient.flatten()[entry].item()) <= 1e-14 * gradient.abs().max().item()


class HandDerived(torch.autograd.Function):
    """The hand-derived backward as an autograd function."""

    @staticmethod
    def forward(ctx, x, y, activation, loss, *parameters):
        ctx.save_for_backward(x, y, *parameters)
        ctx.kind = activation, loss
        layers = list(zip(parameters[::2], parameters[1::2], strict=True))
        return LOSSES[loss](forward(x, layers, sigmas(activation, len(layers))).a[-1], y)

    @staticmethod
    def backward(ctx, slope):
        x, y, *parameters = ctx.saved_tensors
        layers = list(zip(parameters[::2], parameters[1::2], strict=True))
        return None, None, None, None, *(slope * g for g in by_hand(layers, x, y, *ctx.kind))


@pytest.mark.parametrize(
    ("activation", "loss"),
    [("sigmoid", "cross_entropy"), ("relu", "mse"), ("tanh", "mae"), ("hard_sigmoid", "huber")],
)
def test_torchs_gradcheck_accepts_the_backward_by_finite_differences(activation, loss):
    layers, (x, y) = random_net(2), random_batch(3, loss)
    leaves = [p.requires_grad_() for layer in layers for p in layer]
    assert torch.autograd.gradcheck(lambda *p: HandDerived.apply(x, y, activation, loss, *p), leaves)


def test_the_two_layer_nets_derivation_holds_line_by_line():
    """The formulas of the docstring of `networks.py`, by einsum with the same letters."""
    layers, (x, y) = random_net(2), random_batch(6, "mse")
    (W1, b1), (W2, b2) = layers
    z1 = torch.einsum("hd,nd->nh", W1, x) + b1
    a1 = 1 / (1 + torch.exp(-z1))
    p = torch.einsum("oh,nh->no", W2, a1) + b2
    g2 = 2 * (p - y) / p.numel()
    g1 = torch.einsum("no,oh->nh", g2, W2) * a1 * (1 - a1)
    expected = [torch.einsum("nh,nd->hd", g1, x), g1.sum(0), torch.einsum("no,nh->oh", g2, a1), g2.sum(0)]
    assert worst(by_hand(layers, x, y, "sigmoid", "mse"), expected) <= 1e-14
    kinds = sigmas("sigmoid", 2)
    trace = forward(x, layers, kinds)
    assert worst(errors(LOSSES["mse"].backward(trace.a[-1], y), trace, layers, kinds), [g1, g2]) <= 1e-14


def test_square_weights_are_not_transposed():
    layers, (x, y) = random_net(2), random_batch(8, "mse")
    square = (torch.arange(49, dtype=torch.float64).view(7, 7) / 50, layers[0][1])
    layers = [layers[0], square, layers[1]]
    assert worst(by_hand(layers, x, y, "tanh", "mse"), by_autograd(layers, x, y, "tanh", "mse")) <= 1e-12


# --------------------------------------------------------------------------------------------------------- kinks


@pytest.mark.parametrize(
    ("name", "torchs"),
    [("relu", nn.functional.relu), ("hard_sigmoid", lambda z: torch.relu(z / 6 + 0.5) - torch.relu(z / 6 - 0.5))],
)
def test_slopes_at_kinks_equal_pytorchs(name, torchs):
    z = torch.tensor([-3.0, -0.0, 0.0, 3.0, 5e-324], dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(torchs(z).sum(), z)
    ours = ACTIVATIONS[name].backward(torch.ones_like(z), z.detach(), ACTIVATIONS[name](z.detach()))
    assert torch.equal(ours, expected)


@pytest.mark.parametrize(("name", "torchs"), [("mae", nn.functional.l1_loss), ("huber", nn.functional.huber_loss)])
def test_slopes_of_losses_at_their_kinks_equal_pytorchs(name, torchs):
    p = torch.tensor([[0.0], [1.0], [-1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    y = torch.zeros_like(p)
    (expected,) = torch.autograd.grad(torchs(p, y), p)
    assert torch.equal(LOSSES[name].backward(p.detach(), y), expected)


def test_the_slope_of_the_quantile_loss_at_its_kinks_equals_pytorchs():
    y = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    p = torch.tensor([[0.0, 2.0, 0.0, 3.0, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(LOSSES["quantile"](p, y), p)
    assert expected[0].tolist() == pytest.approx([0, 0, 0, 0.95 / 6, -0.95 / 6, 0])
    assert torch.equal(LOSSES["quantile"].backward(p.detach(), y), expected)


@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid"])
def test_a_net_on_its_kinks_has_autograds_gradient(activation):
    layers, (x, y) = random_net(3), random_batch(8, "mse")
    layers[0] = (torch.zeros_like(layers[0][0]), torch.zeros_like(layers[0][1]))  # z1 = 0 for every sample
    edge = 0.0 if activation == "relu" else 3.0
    a1 = ACTIVATIONS[activation](torch.zeros(1, dtype=torch.float64))
    layers[1] = (torch.ones_like(layers[1][0]), torch.full_like(layers[1][1], edge) - 7 * a1)  # z2 on the kink
    assert (forward(x, layers, sigmas(activation, 3)).z[1] == edge).all()
    assert worst(by_hand(layers, x, y, activation, "mse"), by_autograd(layers, x, y, activation, "mse")) <= 1e-12


# ------------------------------------------------------------------------------------- batches, leading dimensions


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_uneven_batches_add_up_by_number_of_samples(loss):
    layers, (x, y) = random_net(2), random_batch(11, loss)
    parts = [(len(a), by_hand(layers, a, b, "tanh", loss)) for a, b in zip(x.split(4), y.split(4), strict=True)]
    assert [count for count, _ in parts] == [4, 4, 3]
    mean = [sum(count / 11 * part[k] for count, part in parts) for k in range(4)]
    assert worst(mean, by_hand(layers, x, y, "tanh", loss)) <= 1e-12


@pytest.mark.parametrize("shared", [True, False], ids=["shared samples", "own samples"])
@pytest.mark.parametrize("loss", LOSSES)
def test_runs_with_leading_dimensions_equal_runs_one_by_one(loss, shared):
    runs = (2, 3)
    layers, (x, y) = random_net(3, runs=runs), random_batch(11, loss)
    if not shared:
        x = x + torch.randn(*runs, 1, 3, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
        y = torch.stack([y.roll(n, dims=0) for n in range(6)]).unflatten(0, runs)
    together = by_hand(layers, x, y, "sigmoid", loss)
    for index in product(*map(range, runs)):
        alone = [(W[index], b[index]) for W, b in layers]
        mine = by_hand(alone, x if shared else x[index], y if shared else y[index], "sigmoid", loss)
        assert worst([g[index] for g in together], mine) <= 1e-12


def test_one_run_per_sample_gives_per_sample_gradients():
    layers, (x, y) = random_net(3), random_batch(9, "mse")
    each = by_hand(layers, x.unsqueeze(1), y.unsqueeze(1), "tanh", "mse")  # inputs (9, 1, D), weights without runs
    assert all(g.shape[0] == 9 for g in each)
    for n in range(9):
        assert worst([g[n] for g in each], by_autograd(layers, x[n : n + 1], y[n : n + 1], "tanh", "mse")) <= 1e-12


# ---------------------------------------------------------------------------------------------------------- cost


@pytest.mark.parametrize("depth", [1, 3])
def test_backward_costs_two_products_per_layer_and_one_in_the_lowest(depth):
    layers, (x, y) = random_net(depth), random_batch(64, "mse")
    kinds = sigmas("sigmoid", depth)
    with FlopCounterMode(display=False) as up:
        trace = forward(x, layers, kinds)
    slope = LOSSES["mse"].backward(trace.a[-1], y)
    with FlopCounterMode(display=False) as down:
        backward(slope, trace, layers, kinds)
    lowest = 2 * 64 * layers[0][0].numel()
    assert down.get_total_flops() == 2 * up.get_total_flops() - lowest
