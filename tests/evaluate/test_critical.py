"""Verdicts on constructed points whose kind is known in advance."""

import pytest
import torch

from steepest.evaluate.critical import judge
from steepest.nets.curvature import Surface
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP


def judged(surface, theta, *, step=0.01, batch=None, variance=0.0, exact_up_to=100, **how):
    theta_P, batch = torch.tensor(theta).double(), batch or len(surface.x_ND)
    return judge(
        surface, theta_P, loss=float(surface.losses(theta_P)), gradient_P=surface.gradient(theta_P),
        samples=len(surface.x_ND), exact_up_to=exact_up_to, steps=40, variance=variance, batch=batch, step=step, **how,
    )  # fmt: skip


def two_weights():
    """L = (1 - w1 w2)^2 with biases: the samples (1, 1) and (-1, -1) make them drop out."""
    x = torch.tensor([[1.0], [-1.0]])
    return Surface(MLP(1, [1], 1, "identity").double(), LOSSES["mse"], x, x)


@pytest.mark.parametrize("exact_up_to", [100, 0])
def test_the_origin_between_two_valleys_is_a_saddle(exact_up_to):
    ending = judged(two_weights(), [0.0, 0.0, 0.0, 0.0], exact_up_to=exact_up_to)  # w1, b1, w2, b2
    assert ending.verdict == "saddle"
    assert ending.smallest_eigenvalue == pytest.approx(-2)
    assert ending.greatest_eigenvalue == pytest.approx(2)
    assert ending.stability_limit == pytest.approx(1)
    assert "the loss falls in a direction that the gradient does not show" in ending.sentence()


def line(x=(-1.0, 0.0, 1.0), y=(-0.9, 0.2, 1.1)):
    return Surface(MLP(1, [], 1).double(), LOSSES["mse"], torch.tensor(x)[:, None], torch.tensor(y)[:, None])


def test_the_bottom_of_a_line_is_a_local_minimum():
    ending = judged(line(), [1.0, 0.4 / 3])
    assert ending.verdict == "local minimum"
    assert ending.sentence().endswith("step 0.01; stable below 1.")
    assert (ending.positive_fraction, ending.negative_fraction, ending.exact) == (1.0, 0.0, True)
    assert ending.greatest_eigenvalue == pytest.approx(2.0)
    assert ending.smallest_eigenvalue == pytest.approx(4 / 3)


def test_a_net_of_dead_units_ends_on_a_plateau():
    x, y = torch.linspace(-1, 1, 20)[:, None], torch.linspace(-1, 1, 20)[:, None]
    surface = Surface(MLP(1, [2], 1, "relu").double(), LOSSES["mse"], x, y)
    assert judged(surface, [1.0, 1.0, -9.0, -9.0, 1.0, 1.0, 0.0]).verdict == "plateau"


def test_without_positive_curvature_the_sentence_gives_the_step_and_no_limit():
    x = torch.linspace(-1, 1, 20)[:, None]
    mae = Surface(MLP(1, [], 1).double(), LOSSES["mae"], x, x)  # piecewise linear
    ending = judged(mae, [0.0, 5.0])
    assert ending.stability_limit is None
    assert ending.sentence().endswith("step 0.01; no positive curvature, so no stability limit.")
    assert "; the curvature does not show how far the loss could still fall; " in ending.sentence()


def test_half_way_down_it_is_still_moving():
    ending = judged(line(), [0.0, 0.5])
    assert ending.verdict == "not critical: still moving"
    assert "not at a critical point: still moving" in ending.sentence()
    # The loss is quadratic, so the second-order model attains all of the excess over the closed-form minimum.
    here, bottom = (line().losses(torch.tensor(theta).double()) for theta in ([0.0, 0.5], [1.0, 0.4 / 3]))
    assert ending.attainable == pytest.approx(float((here - bottom) / here), rel=1e-9)


def test_a_step_above_the_stability_limit_bounces():
    assert judged(line(), [0.0, 0.5], step=1.1).verdict == "not critical: bouncing"
    assert judged(line(), [0.0, 0.5], step=1.1, momentum=0.9).verdict == "not critical: still moving"
    assert judged(line(), [0.0, 0.5], step=1.1, momentum=0.9).stability_limit == pytest.approx(1.9)


def test_batches_whose_noise_exceeds_the_gradient_bounce():
    assert judged(line(), [0.0, 0.5], batch=1, variance=1e3).verdict == "not critical: bouncing"
    assert judged(line(), [0.0, 0.5], batch=1, variance=1e-3).verdict == "not critical: still moving"
