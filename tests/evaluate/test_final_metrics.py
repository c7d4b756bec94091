"""Scores at the end of a run, against scikit-learn, pandas and hand-counted cases."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from steepest.evaluate.final_metrics import (
    final_class_metrics,
    final_value_scores,
    final_value_terms,
    information_coefficient,
)
from steepest.evaluate.metrics import totals


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 3))
def test_scores_of_values_equal_their_definitions(seed, count, horizon):
    random = np.random.default_rng(seed)
    actual = random.uniform(1, 9, (count, horizon))
    predicted, change = actual + random.normal(size=(count, horizon)), random.uniform(0.5, 2, (count, 1))
    columns = torch.from_numpy(predicted), torch.from_numpy(actual), torch.tensor(actual.mean())
    found = final_value_scores(totals(final_value_terms(*columns, torch.from_numpy(change))), actual.size)
    assert found["r2"] == pytest.approx(metrics.r2_score(actual.ravel(), predicted.ravel()), rel=1e-9, abs=1e-9)
    assert found["bias"] == pytest.approx((predicted - actual).mean(), abs=1e-12)
    assert found["smape"] == pytest.approx((abs(predicted - actual) / ((abs(predicted) + abs(actual)) / 2)).mean())
    assert found["rmsse"] == pytest.approx(
        metrics.root_mean_squared_error((actual / change).ravel(), (predicted / change).ravel())
    )


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 60))
def test_scores_of_classes_equal_scikit_learn(seed, count):
    random = np.random.default_rng(seed)
    logits, classes = random.normal(size=(count, 2)) * 3, random.integers(0, 2, (count, 1))
    classes[:2, 0] = 0, 1  # both classes
    one = np.exp(logits[:, 1]) / np.exp(logits).sum(1)
    found = final_class_metrics(torch.from_numpy(logits), torch.from_numpy(classes))
    truth = classes[:, 0]
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, one > 0.5))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, one > 0.5, zero_division=0.0))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truth, one))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(truth, one))
    bins = pd.cut(pd.Series(one), np.linspace(0, 1, 11), right=False, include_lowest=True)
    table = pd.DataFrame({"one": one, "truth": truth}).groupby(bins, observed=True).agg(["mean", "size"])
    gap = (table["one"]["mean"] - table["truth"]["mean"]).abs() * table["one"]["size"] / count
    assert found["calibration_error"] == pytest.approx(gap.sum())


def test_a_single_class_has_no_area_and_no_balanced_accuracy():
    found = final_class_metrics(torch.zeros(5, 2), torch.ones(5, 1, dtype=torch.long))
    assert found["auc"] is found["balanced_accuracy"] is None


def test_the_information_coefficient_is_the_mean_of_pandas_rank_correlations():
    random, days, series = np.random.default_rng(0), 30, 8
    last = random.uniform(10, 500, (days, series))
    actual, predicted = (last * (1 + random.normal(0, 0.01, last.shape)) for _ in range(2))
    day = np.repeat(np.arange(days), series)
    found = information_coefficient(*(torch.from_numpy(a.ravel()) for a in (predicted, actual, last)), day)
    returns = pd.DataFrame({"day": day, "p": (predicted / last - 1).ravel(), "a": (actual / last - 1).ravel()})
    assert found == pytest.approx(
        returns.groupby("day").apply(lambda d: d["p"].corr(d["a"], "spearman"), include_groups=False).mean()
    )
    same = torch.from_numpy(last.ravel())
    assert information_coefficient(same, same, same, day) is None
