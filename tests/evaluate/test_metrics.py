"""Scores against fractions counted by hand and scikit-learn's."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_percentage_error

from steepest.evaluate.metrics import direction_metrics, value_metrics
from steepest.evaluate.names import better


def column(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)


def test_scores_counted_as_fractions():
    prediction, actual, last = column(12, 9, 30, 21), column(10, 12, 30, 20), column(11, 10, 28, 20)
    scores = value_metrics(
        prediction, actual, last, last_N1=last, naive_N1=column(2, 2, 4, 4), unit_N1=column(1, 1, 2, 2)
    )
    assert scores["mse"] == Fraction(4 + 9 + 0 + 1, 4)
    assert scores["mae"] == Fraction(2 + 3 + 0 + 1, 4)
    assert scores["rmse"] == pytest.approx(3.5**0.5, rel=1e-15)
    assert scores["mape"] == pytest.approx(float((Fraction(2, 10) + Fraction(3, 12) + Fraction(1, 20)) / 4), rel=1e-15)
    assert scores["mase"] == pytest.approx(float((Fraction(2, 2) + Fraction(3, 2) + Fraction(1, 4)) / 4), rel=1e-15)
    # up/down called up, up called down, up called up; the last price did not move, so it asks nothing.
    assert scores["directional_accuracy"] == pytest.approx(float(Fraction(1, 3)), rel=1e-15)
    assert scores["skill"] == pytest.approx(float(1 - Fraction(14, 1 + 4 + 4 + 0)), rel=1e-15)
    assert scores["mse_scaled"] == Fraction(4 + 9 + 0) / 4 + Fraction(1, 16)
    assert scores["mae_scaled"] == pytest.approx((2 + 3 + 0 + 0.5) / 4, rel=1e-15)


@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)), min_size=2, max_size=30))
def test_persistence_has_skill_0_and_calls_no_direction(prices):
    last, actual = column(*(p[0] for p in prices)), column(*(p[1] for p in prices))
    scores = value_metrics(last, actual, last, last_N1=last)
    assert scores["skill"] in (0, None)
    assert scores["directional_accuracy"] is None


def test_mape_equals_scikit_learns_and_is_undefined_at_a_price_of_0():
    prediction, actual = column(1, 2, 5), column(2, 4, 4)
    assert value_metrics(prediction, actual, actual)["mape"] == pytest.approx(
        mean_absolute_percentage_error(actual, prediction)
    )
    assert value_metrics(prediction, column(0, 4, 4), actual)["mape"] is None


def test_scores_that_are_no_finite_numbers_are_none():
    scores = value_metrics(column(float("inf"), 1), column(1, 2), column(1, 1))
    assert scores["mse"] is None
    assert scores["rmse"] is None


def test_direction_scores_equal_scikit_learns():
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.3, 0.1], [0.0, 5.0]], dtype=torch.float64)
    up = torch.tensor([[1], [0], [1], [1]])
    scores = direction_metrics(logits, up, torch.tensor([0.6]))
    assert scores["directional_accuracy"] == pytest.approx(accuracy_score(up.flatten(), logits.argmax(-1)))
    entropy = log_loss(up.flatten(), logits.softmax(-1))
    assert scores["cross_entropy"] == pytest.approx(entropy)
    reference = log_loss(up.flatten(), [[0.4, 0.6]] * 4)
    assert scores["skill"] == pytest.approx(1 - entropy / reference, rel=1e-6)


def test_which_way_a_metric_is_better():
    assert better("val/mse_scaled") == "min"
    assert better("val/directional_accuracy") == "max"
    assert better("val/skill") == "max"


def test_predictions_that_autograd_follows_are_scored_like_others():
    prediction, actual, last = column(12, 9), column(10, 12), column(11, 10)
    assert value_metrics(prediction.clone().requires_grad_(), actual, last, last) == value_metrics(
        prediction, actual, last, last
    )
