"""The attack of the lesson `attack`, against the worst change of a line and against captum; and its windows."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from steepest.course.parts.attack import Signs, attacked, margin


def test_the_attack_on_a_line_is_the_worst_change():
    torch.manual_seed(0)
    line, x_ND, kind_N = nn.Linear(6, 2).double(), torch.randn(20, 6, dtype=torch.float64), torch.arange(20) % 2
    sum_of_weights = (line.weight[1] - line.weight[0]).detach().abs().sum()
    for steps in (1, 4):
        fall_N = margin(line(x_ND), kind_N) - margin(line(attacked(line, x_ND, kind_N, 0.3, steps)), kind_N)
        torch.testing.assert_close(fall_N.detach(), (0.3 * sum_of_weights).expand(20))


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_the_attack_on_a_net_equals_captums():
    robust = pytest.importorskip("captum.robust")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    x_ND, kind_N = torch.randn(20, 6, dtype=torch.float64), torch.arange(20) % 2
    theirs = robust.PGD(net, lambda score_N2, kind_N: -margin(score_N2, kind_N))
    captums_ND = theirs.perturb(x_ND, radius=0.3, step_size=0.15, step_num=4, target=kind_N)
    torch.testing.assert_close(attacked(net, x_ND, kind_N, 0.3, steps=4), captums_ND)


def test_the_limit_is_the_accuracy_of_the_best_line():
    signs = Signs(rows=20_000)
    frame = signs.read()
    x_ND, kind_N = frame.iloc[:, :-1].to_numpy(), frame.iloc[:, -1].to_numpy()
    trained = LogisticRegression().fit(x_ND, kind_N)
    assert trained.score(x_ND, kind_N) == pytest.approx(signs.limit(), abs=0.003)
