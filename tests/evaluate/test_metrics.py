"""Scores against fractions counted by hand, scikit-learn and torchmetrics, and their properties."""

import inspect
from fractions import Fraction

import pytest
import torch
import torchmetrics.functional as tm
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_percentage_error

from steepest.evaluate.metrics import class_metrics, direction_metrics, value_metrics
from steepest.evaluate.names import CLASS_METRICS, DIRECTION_METRICS, VALUE_METRICS, better
from steepest.nets.losses import cross_entropy


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
    # Predicted up, was down; predicted down, was up; predicted up, was up. The last price did not move: not counted.
    assert scores["directional_accuracy"] == pytest.approx(float(Fraction(1, 3)), rel=1e-15)
    assert scores["skill"] == pytest.approx(float(1 - Fraction(14, 1 + 4 + 4 + 0)), rel=1e-15)
    assert scores["mse_scaled"] == Fraction(4 + 9 + 0) / 4 + Fraction(1, 16)
    assert scores["mae_scaled"] == pytest.approx((2 + 3 + 0 + 0.5) / 4, rel=1e-15)


def test_value_metrics_equal_torchmetrics():
    random = torch.Generator().manual_seed(0)
    prediction, actual = (torch.rand(30, 2, generator=random, dtype=torch.float64) + 0.1 for _ in range(2))
    scores = value_metrics(prediction, actual, actual + 1)
    theirs = (prediction.flatten(), actual.flatten())
    assert scores["mse"] == pytest.approx(tm.mean_squared_error(*theirs).item(), rel=1e-12)
    assert scores["mae"] == pytest.approx(tm.mean_absolute_error(*theirs).item(), rel=1e-12)
    assert scores["rmse"] == pytest.approx(tm.mean_squared_error(*theirs, squared=False).item(), rel=1e-12)
    assert scores["mape"] == pytest.approx(tm.mean_absolute_percentage_error(*theirs).item(), rel=1e-12)


sizes = {"samples": st.integers(1, 2000), "horizon": st.integers(1, 4), "seed": st.integers(0, 99)}


@settings(deadline=None)
@given(**sizes)
def test_a_model_that_predicts_what_the_reference_predicts_has_a_skill_of_exactly_0(samples, horizon, seed):
    random = torch.Generator().manual_seed(seed)
    actual = torch.rand(horizon, samples, generator=random, dtype=torch.float64).T  # columns are contiguous
    last = torch.rand(samples, 1, generator=random)
    reference = last.expand(-1, horizon)
    for prediction in (reference, reference.contiguous(), reference.double().T.contiguous().T):
        scores = value_metrics(prediction, actual, reference, last_N1=last)
        assert scores["skill"] == 0
        assert scores["directional_accuracy"] is None  # it predicts no direction
    up, share = torch.randint(2, (horizon, samples), generator=random).T, torch.rand(horizon, generator=random).double()
    logits = torch.stack([(1 - share).log(), share.log()], -1).flatten().expand(samples, -1)
    assert direction_metrics(logits, up, share)["skill"] == 0
    assert direction_metrics(logits.contiguous(), up, share)["skill"] == 0


@settings(deadline=None)
@given(**sizes, power=st.integers(-20, 20))
def test_relative_scores_do_not_depend_on_the_unit_of_the_data(samples, horizon, seed, power):
    random = torch.Generator().manual_seed(seed)
    prediction, actual, reference = (torch.rand(samples, horizon, generator=random).double() for _ in range(3))
    columns = [torch.rand(samples, 1, generator=random).double() for _ in range(3)]
    scores = value_metrics(prediction, actual, reference, *columns)
    unit = 2.0**power  # so that no rounding differs
    others = value_metrics(prediction * unit, actual * unit, reference * unit, *(c * unit for c in columns))
    for name in ("mape", "mase", "directional_accuracy", "skill", "mse_scaled", "mae_scaled"):
        assert others[name] == scores[name]
    assert others["mse"] == scores["mse"] * unit**2
    assert (others["mae"], others["rmse"]) == (scores["mae"] * unit, pytest.approx(scores["rmse"] * unit, rel=1e-15))


def test_scores_have_the_names_that_configs_may_ask_for():
    one, ups, share = column(1, 2), torch.tensor([[0], [1]]), torch.tensor([0.6])
    logits = torch.zeros(2, 2)
    assert tuple(value_metrics(one, one, one)) == VALUE_METRICS
    assert tuple(class_metrics(logits, ups, share, ordered=True)) == DIRECTION_METRICS
    assert tuple(class_metrics(logits, ups, share, ordered=False)) == CLASS_METRICS


def test_shapes_that_would_broadcast_are_refused():
    # Without the check of shapes that tests install around these functions.
    values, directions = inspect.unwrap(value_metrics), inspect.unwrap(direction_metrics)
    with pytest.raises(ValueError, match=r"shapes differ: prediction \(3, 1\), actual \(3,\), reference \(3, 1\)"):
        values(torch.ones(3, 1), torch.ones(3), torch.ones(3, 1))
    with pytest.raises(ValueError, match=r"shapes differ: logits \(3, 1\), two for each class \(3, 1\)"):
        directions(torch.ones(3, 1), torch.ones(3, 1).long(), torch.tensor([0.5]))


def test_mape_equals_scikit_learns_and_is_undefined_at_a_price_of_0():
    prediction, actual = column(1, 2, 5), column(2, 4, 4)
    assert value_metrics(prediction, actual, actual)["mape"] == pytest.approx(
        mean_absolute_percentage_error(actual, prediction)
    )
    assert value_metrics(prediction, column(0, 4, 4), actual)["mape"] is None


def test_scores_that_are_not_finite_are_none():
    scores = value_metrics(column(float("inf"), 1), column(1, 2), column(1, 1))
    assert scores["mse"] is None
    assert scores["rmse"] is None


def test_direction_metrics_equal_scikit_learns():
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.3, 0.1], [0.0, 5.0]], dtype=torch.float64)
    up = torch.tensor([[1], [0], [1], [1]])
    scores = direction_metrics(logits, up, torch.tensor([0.6]))
    assert scores["directional_accuracy"] == pytest.approx(accuracy_score(up.flatten(), logits.argmax(-1)))
    entropy = log_loss(up.flatten(), logits.softmax(-1))
    assert scores["cross_entropy"] == pytest.approx(entropy)
    reference = log_loss(up.flatten(), [[0.4, 0.6]] * 4)
    assert scores["skill"] == pytest.approx(1 - entropy / reference, rel=1e-6)


@settings(deadline=None)
@given(**sizes)
def test_cross_entropy_is_the_loss_that_models_are_trained_on(samples, horizon, seed):
    random = torch.Generator().manual_seed(seed)
    logits = 20 * torch.randn(samples, 2 * horizon, generator=random, dtype=torch.float64)
    classes = torch.randint(2, (samples, horizon), generator=random)
    scores = class_metrics(logits, classes, torch.full((horizon,), 0.5), ordered=False)
    assert scores["cross_entropy"] == pytest.approx(cross_entropy(logits, classes).item(), rel=1e-12)


def test_a_training_part_of_one_class_gives_a_finite_reference():
    logits, classes = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[1], [0]])
    skill = class_metrics(logits, classes, torch.tensor([1.0]), ordered=False)["skill"]
    assert skill == pytest.approx(1 - 2 * 0.6931471805599453 / 100)  # log 0 counts as -100
    of_one_class = class_metrics(logits, torch.ones_like(classes), torch.tensor([1.0]), ordered=False)
    assert of_one_class["skill"] is None  # the reference is perfect


def test_which_way_a_metric_is_better():
    assert better("val/mse_scaled") == "min"
    assert better("val/directional_accuracy") == "max"
    assert better("val/skill") == "max"


def test_predictions_that_autograd_follows_are_scored_like_others():
    prediction, actual, last = column(12, 9), column(10, 12), column(11, 10)
    assert value_metrics(prediction.clone().requires_grad_(), actual, last, last) == value_metrics(
        prediction, actual, last, last
    )
