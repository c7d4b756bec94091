"""The adaptation to a task."""

import torch
from torch import nn

from steepest.course.parts.meta import Adapting, adapted


def test_a_step_of_a_line_equals_the_closed_form():
    torch.manual_seed(0)
    line, x_K1, y_K1 = nn.Linear(1, 1).double(), torch.randn(5, 1).double(), torch.randn(5, 1).double()
    found = adapted(line, dict(line.named_parameters()), x_K1, y_K1, 1, 0.1)
    rows_K2 = torch.cat([x_K1, torch.ones_like(x_K1)], 1)
    start_21 = torch.stack([line.weight[0], line.bias])
    known_21 = start_21 - 0.1 * 2 / 5 * rows_K2.T @ (rows_K2 @ start_21 - y_K1)
    torch.testing.assert_close(torch.stack([found["weight"][0], found["bias"]]), known_21)


def test_the_gradient_through_the_steps_equals_finite_differences():
    torch.manual_seed(0)
    module, x_ND = Adapting(7, 1, steps=2, hidden=3).double(), torch.randn(4, 7).double()
    first_H1 = module.net[0].weight
    slope_H1 = torch.autograd.grad(module(x_ND).sum(), first_H1)[0]
    with torch.no_grad():
        first_H1[0] += 1e-6
        above = module(x_ND).sum()
        first_H1[0] -= 2e-6
        below = module(x_ND).sum()
    torch.testing.assert_close(slope_H1[0, 0], (above - below) / 2e-6, rtol=1e-6, atol=1e-8)


def test_a_prediction_needs_no_gradients_outside():
    module, x_ND = Adapting(7, 1), torch.randn(4, 7)
    with torch.inference_mode():
        found_N1 = module(x_ND)
    torch.testing.assert_close(found_N1, module(x_ND).detach())
