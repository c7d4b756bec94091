"""The way from the end of a descent to a critical point."""

import numpy as np
import torch

from steepest.course.parts.biggest_problem import followed, outputs
from steepest.course.runs import network_by
from steepest.nets.networks import MLP


def test_outputs_and_derivatives_of_the_net_equal_autograds():
    net, x_N1 = MLP(1, [3], 1, activation="sigmoid").double(), torch.linspace(-2, 2, 7).double()[:, None]
    theta_P = torch.cat([p.detach().flatten() for p in net.parameters()])
    found_N, slopes_NP = outputs(theta_P.numpy(), x_N1.numpy())
    known_NP = torch.func.jacrev(lambda theta_P: network_by(net, theta_P, x_N1)[:, 0])(theta_P)
    np.testing.assert_allclose(found_N, net(x_N1)[:, 0].detach(), rtol=1e-12)
    np.testing.assert_allclose(slopes_NP, known_NP, rtol=1e-12)


def test_the_way_leads_to_a_zero_gradient():
    random = np.random.default_rng(0)
    x_N1, y_N = random.normal(size=(40, 1)), random.normal(size=40)
    end_P = followed(random.normal(size=4), x_N1, y_N)
    found_N, slopes_NP = outputs(end_P, x_N1)
    assert np.linalg.norm(2 * slopes_NP.T @ (found_N - y_N) / 40) < 1e-6
