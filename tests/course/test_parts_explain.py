"""The pictures with a border, their best rule, and the attribution of the lesson `explain`."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import nn

from steepest.course.parts.explain import BORDER, Pictures, difference, gradient_times_input


def test_gradient_times_input_equals_captums():
    captum = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    x_ND = torch.randn(20, 6, dtype=torch.float64)
    captums_ND = captum.InputXGradient(lambda x_ND: difference(net, x_ND)).attribute(x_ND.clone().requires_grad_())
    torch.testing.assert_close(gradient_times_input(net, x_ND), captums_ND.detach(), rtol=1e-12, atol=1e-14)


def test_the_border_is_the_class_and_the_rest_does_not_depend_on_it():
    shown, hidden = (Pictures(rows=40, border=border).read().to_numpy() for border in (True, False))
    assert (shown[:, :-1][:, BORDER.ravel()] == 2 * shown[:, -1:] - 1).all()
    assert np.array_equal(shown[:, :-1][:, ~BORDER.ravel()], hidden[:, :-1][:, ~BORDER.ravel()])


def test_the_rule_and_its_limit_agree_with_discriminant_analysis():
    pictures = Pictures(rows=4000, border=False)
    x_ND, y_N = np.split(pictures.read().to_numpy(), [-1], axis=1)
    trained = LinearDiscriminantAnalysis().fit(x_ND, y_N[:, 0])
    assert (trained.predict(x_ND) == pictures.rule(x_ND)).mean() > 0.95
    assert (pictures.rule(x_ND) == y_N[:, 0]).mean() == pytest.approx(pictures.limit(), abs=0.02)
