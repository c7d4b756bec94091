"""The Diebold-Mariano test against statsmodels' heteroskedasticity- and autocorrelation-consistent regression."""

import numpy as np
import pytest
import statsmodels.api as sm
import torch

from steepest.evaluate.significance import diebold_mariano, mean_by_day


@pytest.mark.parametrize(("days", "horizon"), [(60, 1), (500, 1), (500, 9)])
def test_p_value_equals_statsmodels(days, horizon):
    random = np.random.default_rng(days + horizon)
    noise = np.convolve(random.normal(size=days + 2), [1, 0.6, 0.3], "valid")
    a, b = random.normal(size=days) ** 2 + noise + 0.1, random.normal(size=days) ** 2
    lags = max(horizon - 1, int(np.floor(4 * (days / 100) ** (2 / 9))))
    oracle = sm.OLS(a - b, np.ones(days)).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False})
    assert diebold_mariano(torch.tensor(a), torch.tensor(b), horizon) == pytest.approx(oracle.pvalues[0], rel=1e-9)


def test_equally_good_forecasts_rarely_differ_significantly():
    random = np.random.default_rng(0)
    p = [diebold_mariano(*torch.tensor(random.normal(size=(2, 300)) ** 2), 1) for _ in range(400)]
    assert 0.02 < np.mean([v < 0.05 for v in p]) < 0.1


def test_there_is_no_p_value_without_differences_or_with_few_days():
    same = torch.ones(50)
    assert diebold_mariano(same, same, 1) is None
    assert diebold_mariano(torch.rand(9), torch.rand(9), 1) is None


def test_losses_of_one_day_are_averaged():
    assert mean_by_day(torch.tensor([1.0, 5.0, 3.0]), torch.tensor([20, 10, 20])).tolist() == [5, 2]
