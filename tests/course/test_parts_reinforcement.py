"""The market of the lesson on reinforcement learning, against gymnasium's checks, linear programming and autograd."""

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy.optimize import linprog

from steepest.course.parts.market import COST, DISCOUNT, STATES, UP_L, Market, best_policy, day, table, values
from steepest.course.parts.reinforcement import play, policy_loss


@pytest.mark.filterwarnings("error")
def test_the_market_is_an_environment_of_gymnasium():
    check_env(Market(), skip_render_check=True)  # it reports some faults as warnings


def test_buying_costs_a_trade_and_earns_the_next_days_change():
    assert day(2 * 1, 1, 0.0) == (2 * 2 + 1, 1 - COST)
    assert day(2 * 1 + 1, 1, 0.9) == (2 * 0 + 1, -1)
    assert day(2 * 1 + 1, 0, 0.0) == (2 * 2, -COST)


def test_the_table_has_the_outcomes_of_a_day():
    chance_SAS, reward_SA = table()
    for state in range(STATES):
        for action in (0, 1):
            up = UP_L[state // 2]
            expected_S, expected = np.zeros(STATES), 0.0
            for drawn, chance in ((0.0, up), (np.nextafter(1, 0), 1 - up)):
                if chance > 0:
                    after, reward = day(state, action, drawn)
                    expected_S[after] += chance
                    expected += chance * reward
            np.testing.assert_array_equal(chance_SAS[state, action], expected_S)
            np.testing.assert_allclose(reward_SA[state, action], expected, atol=1e-12)


def test_the_best_policy_has_the_values_of_linear_programming():
    chance_SAS, reward_SA = table()
    # The least v with v >= r + discount P v for every action (Puterman 1994, section 6.9).
    bounds = (np.eye(STATES)[:, None] - DISCOUNT * chance_SAS).reshape(-1, STATES)
    expected = linprog(np.ones(STATES), A_ub=-bounds, b_ub=-reward_SA.ravel(), bounds=(None, None)).x
    np.testing.assert_allclose(values(best_policy()), expected, atol=1e-8)


def test_the_mean_policy_gradient_is_the_slope_of_the_exact_value():
    torch.manual_seed(0)
    scores_S2 = torch.linspace(-1, 1, 2 * STATES, dtype=torch.float64).sin().view(STATES, 2).requires_grad_()
    start_N = torch.arange(STATES).repeat(2000)
    log_S2 = scores_S2.log_softmax(1)
    loss = policy_loss(log_S2, *play(log_S2.exp().detach(), start_N), DISCOUNT)
    (found_S2,) = torch.autograd.grad(loss, scores_S2)

    chance_SAS, reward_SA = map(torch.from_numpy, table())
    policy_SA = scores_S2.softmax(1)
    chance_SS = torch.einsum("sa,sat->st", policy_SA, chance_SAS)
    value_S = torch.linalg.solve(torch.eye(STATES) - DISCOUNT * chance_SS, (policy_SA * reward_SA).sum(1))
    (expected_S2,) = torch.autograd.grad(-value_S.mean(), scores_S2)
    assert (found_S2 - expected_S2).norm() < 0.03 * expected_S2.norm()
