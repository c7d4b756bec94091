"""DLinear, NLinear and RLinear compared with pandas, NumPy, scikit-learn and torch.func."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression

from steepest.nets.curvature import Surface
from steepest.nets.functional import gradients_at
from steepest.nets.losses import LOSSES
from steepest.nets.noise import noise
from steepest.nets.window_linear import WindowLinear

KINDS = {
    "dlinear": {"trend": 5}, "nlinear": {"normalise": "last"}, "rlinear": {"normalise": "standard"},
    "both": {"normalise": "standard", "trend": 3},
}  # fmt: skip
N, L, F, O = 20, 6, 2, 3  # noqa: E741


def samples(seed=0):
    random = torch.Generator().manual_seed(seed)
    x_ND = torch.randn(N, L * F, generator=random, dtype=torch.float64).cumsum(0) + 10
    return x_ND, torch.randn(N, O, generator=random, dtype=torch.float64)


def network(kind, seed=0):
    return WindowLinear(L * F, O, L, seed=seed, **KINDS[kind]).double()


def by_pandas(net, x_D):
    """One sample's outputs: columns of a frame, a centred rolling mean of the padded rows."""
    frame = pd.DataFrame(x_D.numpy().reshape(L, F))
    shift, scale = 0 * frame.iloc[0], 0 * frame.iloc[0] + 1
    if net.normalise == "last":
        shift = frame.iloc[-1]
    if net.normalise == "standard":
        shift, scale = frame.mean(), np.sqrt(frame.var(ddof=0) + 1e-5)
    frame = (frame - shift) / scale
    parts = [frame]
    if net.trend:
        ends = net.trend // 2
        padded = pd.concat([frame.iloc[:1]] * ends + [frame] + [frame.iloc[-1:]] * ends, ignore_index=True)
        trend = padded.rolling(net.trend, center=True).mean().dropna().reset_index(drop=True)
        parts = [trend, frame - trend]
    weights = [p.detach().numpy() for p in net.parameters()]
    total = sum(W @ part.to_numpy().ravel() + b for part, W, b in zip(parts, weights[::2], weights[1::2], strict=True))
    return total * scale[0] + shift[0]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_equal_those_of_pandas(kind):
    x_ND, _ = samples()
    found = network(kind)(x_ND).detach().numpy()
    np.testing.assert_allclose(found, [by_pandas(network(kind), x_D) for x_D in x_ND], rtol=1e-11)


def test_a_shifted_and_stretched_window_gives_shifted_and_stretched_prices():
    x_ND, _ = samples()
    shift, scale = 1000.0, 50.0
    for kind, factor in (("nlinear", 1.0), ("rlinear", scale)):
        net = network(kind)
        torch.testing.assert_close(net(x_ND * factor + shift), net(x_ND) * factor + shift, rtol=1e-4, atol=1e-3)


def test_classes_are_not_shifted():
    x_ND, _ = samples()
    net = WindowLinear(L * F, O, L, "last", undo=False).double()
    torch.testing.assert_close(net(x_ND + 7), net(x_ND))


@pytest.mark.parametrize("kind", ["dlinear", "nlinear"])
def test_the_linear_map_gives_the_outputs(kind):
    x_ND, _ = samples()
    net = network(kind)
    W_OD, b_O = net.affine()
    torch.testing.assert_close(x_ND @ W_OD.mT + b_O, net(x_ND).detach(), rtol=1e-11, atol=1e-11)
    assert network("rlinear").affine() is None


def test_least_squares_is_a_minimum_of_dlinear():
    """W_trend = W_rest = W gives the linear model's function, and the gradient vanishes there."""
    random = torch.Generator().manual_seed(0)
    x_ND, y_NO = (torch.randn(200, size, generator=random, dtype=torch.float64) for size in (L * F, O))
    fit = LinearRegression().fit(x_ND.numpy(), y_NO.numpy())
    W_OD, b_O = torch.tensor(fit.coef_), torch.tensor(fit.intercept_)
    parameters = [W_OD, b_O / 2, W_OD, b_O / 2]
    for gradient in gradients_at(network("dlinear"), parameters, LOSSES["mse"], x_ND, y_NO):
        assert gradient.abs().max() < 1e-13
    moved = [W_OD + 0.1, *parameters[1:]]
    assert max(g.abs().max() for g in gradients_at(network("dlinear"), moved, LOSSES["mse"], x_ND, y_NO)) > 1e-3


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("kind", ["dlinear", "rlinear"])
def test_the_loss_surface_of_another_network_equals_torch_func(kind):
    x_ND, y_NO = samples()
    surface = Surface(network(kind), LOSSES["huber"], x_ND, y_NO)
    names = [name for name, _ in surface.network.named_parameters()]

    def loss(theta_P):
        values = dict(zip(names, surface.parameters(theta_P), strict=True))
        return LOSSES["huber"](torch.func.functional_call(surface.network, values, (x_ND,)), y_NO)

    theta_P = surface.current()
    torch.testing.assert_close(surface.gradient(theta_P), torch.func.grad(loss)(theta_P), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(surface.hessian(theta_P), torch.func.hessian(loss)(theta_P), rtol=1e-9, atol=1e-11)
    several_RP = torch.stack([theta_P, theta_P + 0.1])
    torch.testing.assert_close(surface.losses(several_RP), torch.stack([loss(t) for t in several_RP]))


@pytest.mark.parametrize("kind", ["dlinear", "rlinear"])
def test_the_noise_of_another_network_equals_that_of_per_sample_gradients(kind):
    x_ND, y_NO = samples()
    net = network(kind)
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(LOSSES["mse"](net(x), y), list(net.parameters()))])
        for x, y in zip(x_ND.split(1), y_NO.split(1), strict=True)
    ]
    each_NP, found = torch.stack(rows), noise(net, list(net.parameters()), LOSSES["mse"], x_ND, y_NO)
    torch.testing.assert_close(found.norm_N, each_NP.norm(dim=1), rtol=1e-12, atol=1e-14)
    assert found.variance == pytest.approx(float(each_NP.var(0).sum()), rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trend": 4}, "model.trend=4 must be an odd number"),
        ({"trend": -1}, "model.trend=-1 must be an odd number"),
        ({"trend": 10_001}, "model.trend=10001 must be an odd number of rows from 1 to 9999"),
        ({"normalise": "mean"}, "model.normalise=mean must be one of none, last, standard"),
        ({"window": 1}, "data.window=1: .* need windows of 2 or more rows"),
    ],
)
def test_an_option_outside_its_range_has_a_message(options, message):
    with pytest.raises(ValueError, match=message):
        WindowLinear(**({"inputs": 6, "outputs": 1, "window": 3} | options))
