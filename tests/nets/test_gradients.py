"""The hand-derived gradients against autograd, finite differences, complex steps, NumPy-free algebra and PyTorch's kinks."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from steepest.nets.activations import ACTIVATIONS
from steepest.nets.losses import LOSSES
from steepest.nets.networks import Layer, backward, errors, forward

DEPTHS = (1, 2, 3, 4, 5)
SIZES = (1, 2, 64, 13)  # 13: what is left over for the last batch


def random_net(
    depth: int, inputs: int, outputs: int, dtype=torch.float64, seed: int = 0, runs: tuple[int, ...] = ()
) -> list[Layer]:
    random = torch.Generator().manual_seed(seed)
    sizes = [inputs, *[(7, 5, 6, 4)[k % 4] for k in range(depth - 1)], outputs]
    draw = lambda *shape: torch.randn(*runs, *shape, generator=random, dtype=torch.float64).to(dtype)  # noqa: E731
    return [(draw(o, i) / i**0.5, draw(o) / 3) for i, o in pairwise(sizes)]


def random_batch(samples: int, inputs: int, loss: str, dtype=torch.float64, seed: int = 1) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, inputs, generator=random, dtype=torch.float64).to(dtype)
    if loss == "cross_entropy":
        return x, torch.randint(0, 2, (samples, 2), generator=random)
    return x, torch.randn(samples, 4, generator=random, dtype=torch.float64).to(dtype)  # 4 outputs: H = 4, or 2 days


def sigmas(activation: str, depth: int) -> list:
    return [ACTIVATIONS[activation]] * (depth - 1) + [ACTIVATIONS["identity"]]


def by_hand(layers, x, y, activation: str, loss: str) -> list[Tensor]:
    kinds = sigmas(activation, len(layers))
    trace = forward(x, layers, kinds)
    return [g for layer in backward(LOSSES[loss].backward(trace.a[-1], y), trace, layers, kinds) for g in layer]


def as_trained(layers, x, y, activation: str, loss: str) -> list[Tensor]:
    """By the kernels that an update uses."""
    kinds = sigmas(activation, len(layers))
    trace = forward(x, layers, kinds, once=True)
    _, slope = LOSSES[loss].with_slope(trace.a[-1], y)
    return [g for layer in backward(slope, trace, layers, kinds, once=True) for g in layer]


def by_autograd(layers, x, y, activation: str, loss: str) -> list[Tensor]:
    leaves = [(W.clone().requires_grad_(), b.clone().requires_grad_()) for W, b in layers]
    value = LOSSES[loss](forward(x, leaves, sigmas(activation, len(layers))).a[-1], y)
    return list(torch.autograd.grad(value.sum(), [p for layer in leaves for p in layer]))


def worst(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The greatest error of a parameter, relative to its greatest number (0 against 0 is no error)."""
    tiny = torch.finfo(ours[0].dtype).tiny
    return max(((a - b).abs().max() / b.abs().max().clamp(min=tiny)).item() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("samples", SIZES)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("activation", "loss"), list(product(ACTIVATIONS, LOSSES)))
@pytest.mark.parametrize("way", [by_hand, as_trained])
def test_backward_equals_autograd(way, activation, loss, depth, samples):
    layers, (x, y) = random_net(depth, 3, 4), random_batch(samples, 3, loss)
    assert worst(way(layers, x, y, activation, loss), by_autograd(layers, x, y, activation, loss)) <= 1e-12
    single, (x, y) = random_net(depth, 3, 4, torch.float32), random_batch(samples, 3, loss, torch.float32)
    assert worst(way(single, x, y, activation, loss), by_autograd(single, x, y, activation, loss)) <= 1e-5


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("activation", [name for name, a in ACTIVATIONS.items() if a.smooth])
def test_backward_equals_the_complex_step(activation, depth):
    # Im L(w + ih) / h has no cancellation: exact to the last digits (Squire and Trapp 1998).
    layers, (x, y) = random_net(depth, 3, 2), random_batch(16, 3, "mse")
    y, h, kinds = y[:, :2], 1e-100, sigmas(activation, depth)
    gradients = by_hand(layers, x, y, activation, "mse")
    complex_x, complex_y = x.to(torch.complex128), y.to(torch.complex128)
    for number, gradient in enumerate(gradients):
        for entry in range(gradient.numel()):
            moved = [[W.to(torch.complex128), b.to(torch.complex128)] for W, b in layers]
            moved[number // 2][number % 2].view(-1)[entry] += 1j * h
            value = LOSSES["mse"](forward(complex_x, [tuple(m) for m in moved], kinds).a[-1], complex_y)
            assert abs(value.imag.item() / h - gradient.flatten()[entry].item()) <= 1e-14 * gradient.abs().max().item()


class HandDerived(torch.autograd.Function):
    """The hand-derived backward as autograd would call it."""

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


@pytest.mark.parametrize(("activation", "loss"), list(product(ACTIVATIONS, LOSSES)))
def test_torchs_gradcheck_accepts_the_hand_backward(activation, loss):
    layers, (x, y) = random_net(3, 3, 4), random_batch(5, 3, loss)
    leaves = [p.requires_grad_() for layer in layers for p in layer]
    assert torch.autograd.gradcheck(lambda *p: HandDerived.apply(x, y, activation, loss, *p), leaves)


@pytest.mark.parametrize(
    ("name", "torchs"),
    [("relu", nn.functional.relu), ("hard_sigmoid", lambda z: torch.relu(z / 6 + 0.5) - torch.relu(z / 6 - 0.5))],
)
def test_slopes_at_kinks_are_pytorchs(name, torchs):
    z = torch.tensor([-3.0, -0.0, 0.0, 3.0, 5e-324], dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(torchs(z).sum(), z)
    ours = ACTIVATIONS[name].backward(torch.ones_like(z), z.detach(), ACTIVATIONS[name](z.detach()))
    assert torch.equal(ours, expected)


@pytest.mark.parametrize(
    ("name", "torchs"),
    [("mae", nn.functional.l1_loss), ("huber", nn.functional.huber_loss), ("mse", nn.functional.mse_loss)],
)
def test_slopes_of_losses_at_their_kinks_are_pytorchs(name, torchs):
    p = torch.tensor([[0.0], [1.0], [-1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    y = torch.zeros_like(p)
    (expected,) = torch.autograd.grad(torchs(p, y), p)
    assert torch.equal(LOSSES[name].backward(p.detach(), y), expected)


@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid"])
def test_a_net_that_sits_on_its_kinks_has_autograds_gradient(activation):
    layers, (x, y) = random_net(3, 3, 4), random_batch(8, 3, "mse")
    layers[0] = (torch.zeros_like(layers[0][0]), torch.zeros_like(layers[0][1]))  # z = 0 for every sample
    layers[1] = (layers[1][0], torch.full_like(layers[1][1], 3.0) - layers[1][0].sum(-1) / 2)
    assert worst(by_hand(layers, x, y, activation, "mse"), by_autograd(layers, x, y, activation, "mse")) <= 1e-12


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("runs", [(3,), (2, 3)])
@pytest.mark.parametrize(("activation", "loss"), list(product(ACTIVATIONS, LOSSES)))
def test_runs_with_a_leading_dimension_equal_runs_one_by_one(activation, loss, runs, shared):
    layers, (x, y) = random_net(3, 3, 4, runs=runs), random_batch(11, 3, loss)
    if not shared:
        x = x + torch.randn(*runs, 1, 3, dtype=x.dtype)
        y = y.expand(*runs, *y.shape).clone()
    together = by_hand(layers, x, y, activation, loss)
    for index in product(*map(range, runs)):
        alone = [(W[index], b[index]) for W, b in layers]
        mine = by_hand(alone, x if shared else x[index], y if shared else y[index], activation, loss)
        assert worst([g[index] for g in together], mine) <= 1e-12
    single = [(W.float(), b.float()) for W, b in layers]
    x, y = x.float(), y if loss == "cross_entropy" else y.float()
    together = by_hand(single, x, y, activation, loss)
    index = tuple(n - 1 for n in runs)
    mine = by_hand(
        [(W[index], b[index]) for W, b in single],
        x if shared else x[index],
        y if shared else y[index],
        activation,
        loss,
    )
    assert worst([g[index] for g in together], mine) <= 1e-6


some_net = st.tuples(
    st.sampled_from(sorted(ACTIVATIONS)), st.sampled_from(sorted(LOSSES)), st.integers(1, 5), st.integers(0, 2**31)
)


@given(some_net)
@settings(max_examples=40, deadline=None)
def test_the_order_of_a_batch_does_not_matter(case):
    activation, loss, depth, seed = case
    layers, (x, y) = random_net(depth, 3, 4, seed=seed), random_batch(17, 3, loss, seed=seed)
    order = torch.randperm(17, generator=torch.Generator().manual_seed(seed))
    assert (
        worst(by_hand(layers, x, y, activation, loss), by_hand(layers, x[order], y[order], activation, loss)) <= 1e-11
    )


@given(some_net)
@settings(max_examples=40, deadline=None)
def test_the_mean_of_equal_batches_gradients_is_the_full_gradient(case):
    activation, loss, depth, seed = case
    layers, (x, y) = random_net(depth, 3, 4, seed=seed), random_batch(24, 3, loss, seed=seed)
    parts = [by_hand(layers, a, b, activation, loss) for a, b in zip(x.split(8), y.split(8), strict=True)]
    mean = [sum(g) / 3 for g in zip(*parts, strict=True)]
    assert worst(mean, by_hand(layers, x, y, activation, loss)) <= 1e-11


@given(some_net)
@settings(max_examples=40, deadline=None)
def test_per_sample_gradients_sum_to_the_gradient(case):
    activation, loss, depth, seed = case
    layers, (x, y) = random_net(depth, 3, 4, seed=seed), random_batch(9, 3, loss, seed=seed)
    # Every sample as a run of its own, of the same net: (9, 1, D) inputs.
    each = by_hand(layers, x.unsqueeze(1), y.unsqueeze(1), activation, loss)
    assert all(g.shape[0] == 9 for g in each)
    assert worst([g.sum(0) / 9 for g in each], by_hand(layers, x, y, activation, loss)) <= 1e-11


@pytest.mark.parametrize("depth", DEPTHS)
def test_backward_costs_no_more_than_twice_the_forwards_products(depth):
    layers, (x, y) = random_net(depth, 3, 4), random_batch(64, 3, "mse")
    kinds = sigmas("sigmoid", depth)
    with FlopCounterMode(display=False) as up:
        trace = forward(x, layers, kinds)
    slope = LOSSES["mse"].backward(trace.a[-1], y)
    with FlopCounterMode(display=False) as down:
        backward(slope, trace, layers, kinds)
    assert 0 < down.get_total_flops() <= 2 * up.get_total_flops()


def test_the_two_layer_nets_derivation_holds_line_by_line():
    """The docstring of `networks.py`, in its own letters, by einsum."""
    layers, (x, y) = random_net(2, 3, 4), random_batch(6, 3, "mse")
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


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_and_its_slope_together_are_the_two_apart(loss):
    x, y = random_batch(12, 4, loss)
    value, slope = LOSSES[loss].with_slope(x, y)
    torch.testing.assert_close(value, LOSSES[loss](x, y), rtol=1e-15, atol=0)
    assert torch.equal(slope, LOSSES[loss].backward(x, y))


def test_square_weights_are_not_transposed():
    layers, (x, y) = random_net(2, 3, 4), random_batch(8, 3, "mse")
    (W1, b1), _ = layers
    square = (torch.arange(49, dtype=torch.float64).view(7, 7) / 50, b1)
    layers = [(W1, b1), square, *layers[1:]]
    assert worst(by_hand(layers, x, y, "tanh", "mse"), by_autograd(layers, x, y, "tanh", "mse")) <= 1e-12
