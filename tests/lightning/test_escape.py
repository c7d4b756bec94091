"""The escape instrument leaves saddles along the right direction, and does nothing elsewhere."""

import json

import numpy as np
import pytest
import torch

from steepest.nets.curvature import Surface, downward
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.observe.curvature import Escape

# Two weights of 0 in a row: y = w2 (w1 x + b1) + b2, all 0.
SADDLE = [
    "data=line", "data.split=[1,0,0]", "data.batch_size=null", "model.hidden=[1]", "model.activation=identity", "model.init_scale=0",
    "optimizer.lr=0.1", "trainer.precision=64-true", "stop.epochs=200", "callbacks=[default,escape]",
]  # fmt: skip


def planted():
    """The loss of a net, a saddle of it with known curvature, and the data's correlation."""
    random = np.random.default_rng(0)
    x = random.normal(size=50)
    y = 0.6 * x + random.normal(size=50)
    x, y = ((v - v.mean()) / v.std() for v in (x, y))
    surface = Surface(MLP(1, [1], 1, "identity"), LOSSES["mse"], torch.tensor(x)[:, None], torch.tensor(y)[:, None])
    return surface, torch.zeros(4, dtype=torch.float64), float(np.corrcoef(x, y)[0, 1])


@pytest.mark.parametrize("exact_up_to", [100, 0], ids=["all eigenvalues", "Lanczos"])
def test_the_direction_down_from_a_saddle_is_the_known_negative_eigenvector(exact_up_to):
    surface, theta_P, rho = planted()
    smallest, largest, vector_P = downward(surface, theta_P, exact_up_to=exact_up_to, steps=40)
    assert smallest == pytest.approx(-2 * rho, abs=1e-12)
    assert largest == pytest.approx(2, abs=1e-12)
    # equal parts of w1 and w2, and nothing of b1 and b2
    assert vector_P.tolist() == pytest.approx([0.5**0.5, 0, 0.5**0.5, 0], abs=1e-9)


def test_the_direction_is_an_eigenvector_for_a_larger_net_too():
    net = MLP(3, [5, 4], 2, "tanh", seed=3).double()
    x_ND, y_NH = torch.randn(40, 3, dtype=torch.float64), torch.randn(40, 2, dtype=torch.float64)
    surface = Surface(net, LOSSES["mse"], x_ND, y_NH)
    theta_P = surface.current()
    value, _, vector_P = downward(surface, theta_P, exact_up_to=0, steps=len(theta_P))
    torch.testing.assert_close(surface.products(theta_P)(vector_P), value * vector_P, atol=1e-8, rtol=0)
    assert value == pytest.approx(float(torch.linalg.eigvalsh(surface.hessian(theta_P))[0]), abs=1e-10)


@pytest.mark.parametrize("model", ["mlp_manual", "mlp"])
def test_descent_leaves_the_saddle_and_reaches_least_squares(train, model):
    outcome, folder = train(f"model={model}", *SADDLE)
    metrics = json.loads((folder / "metrics.json").read_text())
    (escape,) = metrics["escapes"]
    assert escape["update"] == 1
    assert escape["gradient_norm"] < 1e-12
    assert -2 < escape["eigenvalue"] < -1.9
    assert escape["loss_after"] < escape["loss_before"]
    exact = metrics["baselines"]["least_squares"]["train"]["mse"]
    assert outcome.metrics["train"]["mse"] == pytest.approx(exact, rel=1e-9)


def test_without_the_instrument_descent_stays_at_the_saddle(train):
    outcome, _ = train("model=mlp_manual", *SADDLE, "~callbacks.escape")
    assert outcome.metrics["train"]["mse_scaled"] == pytest.approx(1, abs=1e-12)
    assert outcome.metrics["critical"]["verdict"] == "saddle"


def test_it_does_nothing_at_a_minimum(train):
    _, folder = train("model=linear_manual", *[o for o in SADDLE if not o.startswith("model.")])
    assert json.loads((folder / "metrics.json").read_text())["escapes"] == []


def test_it_waits_for_its_patience_between_steps(train):
    _, folder = train("model=mlp_manual", *SADDLE, "callbacks.escape.patience=7", "stop.epochs=9")
    assert [e["update"] for e in json.loads((folder / "metrics.json").read_text())["escapes"]] == [7]


def test_a_resumed_run_remembers_its_escape(train):
    train("model=mlp_manual", *SADDLE, "stop.epochs=5")
    _, folder = train("stop.epochs=40", resume=True)
    assert [e["update"] for e in json.loads((folder / "metrics.json").read_text())["escapes"]] == [1]


@pytest.mark.parametrize(
    "bad",
    ["length=0", "gradient_norm=-1", "patience=0", "most=0", "samples=0", "steps=1"],
    ids=lambda bad: bad.split("=")[0],
)
def test_an_invalid_option_is_refused_by_name(bad):
    key, value = bad.split("=")
    with pytest.raises(ValueError, match=f"callbacks.escape.{key}={value} must be"):
        Escape(**{key: int(value)})
