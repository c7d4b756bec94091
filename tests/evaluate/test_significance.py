"""The Diebold-Mariano test against the formulas of its sources, scipy and statsmodels; its size on random walks."""

import numpy as np
import pytest
import scipy.fft
import scipy.stats
import torch
from statsmodels.stats.multitest import multipletests

from steepest.evaluate.significance import days_needed, diebold_mariano, holm, loss_by_day


def losses(days, seed=0, lead=0.1):
    """Two forecasts' losses, whose difference is autocorrelated."""
    random = np.random.default_rng(seed)
    noise = np.convolve(random.normal(size=days + 2), [1, 0.6, 0.3], "valid")
    return random.normal(size=days) ** 2 + noise + lead, random.normal(size=days) ** 2


def p_value(a, b, horizon):
    return diebold_mariano(torch.from_numpy(np.asarray(a)), torch.from_numpy(np.asarray(b)), horizon)


@pytest.mark.parametrize(("days", "horizon"), [(12, 1), (60, 1), (60, 30), (500, 1), (501, 9), (501, 96)])
def test_p_value_equals_the_papers_formulas(days, horizon):
    a, b = losses(days, seed=days + horizon)
    d, t = a - b, np.arange(1, days + 1)
    terms = max(1, min(int(np.floor(0.4 * days ** (2 / 3))), days // horizon))
    cosines = np.array([np.sqrt(2 / days) * sum(d * np.cos(np.pi * j * (t - 0.5) / days)) for j in range(1, terms + 1)])
    np.testing.assert_allclose(cosines, scipy.fft.dct(d, type=2)[1 : terms + 1] / np.sqrt(2 * days), atol=1e-12)
    statistic = d.mean() / np.sqrt(np.mean(cosines**2) / days)
    assert p_value(a, b, horizon) == pytest.approx(2 * scipy.stats.t.sf(abs(statistic), terms), rel=1e-9)


def test_p_value_does_not_depend_on_the_unit_or_on_which_forecast_is_first():
    a, b = losses(200)
    p = p_value(a, b, 5)
    assert p_value(b, a, 5) == p
    for unit in (1e-200, 1e-12, 1e12, 1e200):
        assert p_value(a * unit, b * unit, 5) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize(("days", "horizon"), [(12, 1), (60, 30), (300, 10)])
def test_a_lead_by_chance_is_significant_in_at_most_5_percent_of_all_cases(days, horizon):
    noise = np.random.default_rng(0).normal(size=(1500, days + horizon - 1))
    sums = np.pad(noise.cumsum(1), ((0, 0), (1, 0)))
    d = sums[:, horizon:] - sums[:, :-horizon]  # overlapping forecasts: sums of `horizon` successive numbers
    share = np.mean([row.mean() > 0 and p_value(row, np.zeros(days), horizon) <= 0.05 for row in d])
    assert 0.015 < share < 0.065


def test_there_is_no_p_value_with_fewer_days_than_2_horizons_or_12():
    assert [days_needed(horizon) for horizon in (1, 6, 7, 96)] == [12, 12, 14, 192]
    for horizon, needed in [(1, 12), (30, 60)]:
        assert p_value(*losses(needed - 1), horizon) is None
        assert p_value(*losses(needed), horizon) is not None


def test_there_is_no_p_value_without_differences_or_with_infinite_losses():
    same = np.ones(50)
    assert p_value(same, same, 1) is None
    for bad in (np.nan, np.inf):
        assert p_value(np.where(np.arange(50) == 7, bad, 1.0), same, 1) is None


def test_a_difference_that_is_the_same_on_all_days_has_a_p_value_of_0():
    assert p_value(np.full(50, 0.1), np.full(50, 0.3), 1) == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_holm_rejects_the_same_hypotheses_as_statsmodels():
    random = np.random.default_rng(0)
    for count in (1, 2, 5, 20):
        for _ in range(3):
            p = random.uniform(0, 0.1, count) ** random.uniform(1, 3)
            oracle = multipletests(p, 0.05, "holm")[0]
            assert holm(dict(zip(map(str, range(count)), p, strict=True))) == {str(i) for i in np.flatnonzero(oracle)}


def test_losses_by_day_have_the_mean_of_the_samples():
    by_day = loss_by_day(torch.tensor([1.0, 5.0, 3.0]), torch.tensor([20, 10, 20]))
    assert by_day.tolist() == pytest.approx([5 * 2 / 3, 4 * 2 / 3])
    assert by_day.mean().item() == pytest.approx(3)
