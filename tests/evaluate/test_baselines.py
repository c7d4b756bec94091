"""Baselines and their losses against scikit-learn and by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_pinball_loss, mean_squared_error

from steepest.data import calendar
from steepest.data import windows as windows_module
from steepest.data.formulas import Line
from steepest.data.preparation import row_windows, series_windows
from steepest.data.sources import RandomWalk
from steepest.evaluate import baselines
from steepest.evaluate.baselines import reference_losses
from steepest.nets.losses import LOSSES, QUANTILES


def walk(**options):
    spec = RandomWalk(rows=300, **options)
    return series_windows(spec.read(), spec, "test")


def steps(values, **options):
    index = pd.MultiIndex.from_product(
        [["s"], pd.date_range("2020-01-01", periods=len(values))], names=["series", "date"]
    )
    spec = RandomWalk(**options)
    return series_windows(pd.DataFrame({"value": np.asarray(values, float)}, index=index), spec, "test")


def samples(windows, part):
    batch = windows.gather(windows.parts[part].origins(torch.arange(len(windows.parts[part]))))
    return batch.x_ND, batch.y_NH


@pytest.mark.parametrize(
    "options", [{}, {"window": 7}, {"window": 5, "horizon": 3}, {"window": 4, "transform": "return"}]
)
def test_least_squares_equals_scikit_learn(options, monkeypatch):
    windows = walk(**options)
    x, y = samples(windows, "train")
    oracle = LinearRegression().fit(x.numpy(), y.numpy())
    monkeypatch.setattr(windows_module, "CHUNK", 64 * 13)  # many chunks, the last one smaller
    found = baselines.least_squares(windows)
    np.testing.assert_allclose(found[:-1].T.numpy(), oracle.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found[-1].numpy(), oracle.intercept_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(baselines.linear(found, x).numpy(), oracle.predict(x.numpy()), atol=1e-10)


def test_least_squares_of_inputs_that_are_always_0_takes_the_shortest_solution():
    windows = walk(window=3, relative_to_last=True)  # the window's last day minus itself
    found = baselines.least_squares(windows)
    assert torch.isfinite(found).all()
    assert found[2].abs().max() < 1e-12


def test_persistence_and_drift_by_hand():
    windows = steps(
        [1, 2, 4, 7, 9, 11, 12, 20, 10, 11, 12, 16, 14, 15, 16, 17, 18, 17],
        horizon=2,
        split=[1 / 3, 1 / 3, 1 / 3],
    )
    part = windows.parts["train"]
    origin = part.origins(torch.arange(len(part)))
    assert baselines.persistence(windows, origin).tolist() == [[1, 1], [2, 2], [4, 4], [7, 7]]
    slope = (11 - 1) / 5  # over the six training rows
    assert baselines.drift(windows, origin).tolist() == [[v + slope, v + 2 * slope] for v in (1, 2, 4, 7)]


def test_the_mean_baseline_of_plain_rows_is_the_mean_of_the_training_rows():
    spec = Line(rows=100)
    windows = row_windows(spec.read(), spec, "test", seed=0)
    train = windows.price_T[: len(windows.parts["train"])]
    assert baselines.mean(windows, torch.tensor([99])).item() == pytest.approx(train.mean().item())


def test_the_share_of_ones_comes_from_the_training_part():
    windows = steps(
        [1, 2, 3, 2, 3, 4, 5, 4, 3, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2],
        target="direction",
        split=[0.5, 0.25, 0.25],
    )
    assert baselines.share_of_ones(windows).tolist() == [5 / 9]


def test_the_majority_predicts_the_share_of_the_training_part():
    logits = baselines.majority(torch.tensor([0.75, 0.5]), 3)
    assert logits.unflatten(-1, (2, 2)).softmax(-1)[..., 1].tolist() == [pytest.approx([0.75, 0.5])] * 3


@pytest.mark.parametrize("options", [{"window": 3}, {"window": 4, "horizon": 2, "transform": "log_return"}])
def test_reference_losses_equal_the_losses_of_the_baselines_predictions(options):
    windows = walk(**options)
    losses = reference_losses(LOSSES["mse"], windows)
    assert sorted(losses) == ["train_least_squares", "train_persistence", "val_least_squares", "val_persistence"]
    x, y = samples(windows, "train")
    exact = LinearRegression().fit(x.numpy(), y.numpy())
    for part in ("train", "val"):
        x, y = samples(windows, part)
        assert losses[f"{part}_least_squares"] == pytest.approx(mean_squared_error(y, exact.predict(x.numpy())))
        origin = windows.parts[part].origins(torch.arange(len(x)))
        still = windows.no_change(origin)
        assert losses[f"{part}_persistence"] == pytest.approx(mean_squared_error(y, still))
        prices = windows.to_price(still, origin)
        np.testing.assert_allclose(prices, baselines.persistence(windows, origin), rtol=1e-12)


def test_under_the_quantile_loss_a_baselines_prediction_is_every_quantile():
    windows = walk(window=3, horizon=2)
    losses = reference_losses(LOSSES["quantile"], windows)
    _, y = samples(windows, "val")
    still = windows.no_change(windows.parts["val"].origins(torch.arange(len(y))))
    expected = np.mean([mean_pinball_loss(y, still, alpha=share) for share in QUANTILES])
    assert losses["val_persistence"] == pytest.approx(expected)


def test_reference_losses_of_plain_rows_and_of_classes():
    spec = Line(rows=100)
    rows = row_windows(spec.read(), spec, "test", seed=0)
    assert reference_losses(LOSSES["mse"], rows)["train_mean"] == pytest.approx(1)  # targets are standardised
    windows = walk(target="direction", split=[0.8, 0.2, 0])
    losses = reference_losses(LOSSES["cross_entropy"], windows)
    ups = [samples(windows, part)[1].flatten() for part in ("train", "val")]
    share = ups[0].double().mean().item()
    expected = {f"{p}_majority": log_loss(up, [share] * len(up)) for p, up in zip(("train", "val"), ups, strict=True)}
    assert losses == pytest.approx(expected)


@pytest.mark.parametrize(
    "options", [{"window": 7}, {"window": 5, "horizon": 3}, {"window": 4, "relative_to_last": True}]
)
def test_ridge_equals_scikit_learn_at_the_penalty_of_lowest_cross_validation(options):
    windows = walk(**options)
    x, y = (t.numpy() for t in samples(windows, "train"))
    ones = np.column_stack([np.ones(len(x)), x])
    scores = {}
    for alpha in baselines.ALPHAS:
        penalty = alpha * len(x) * np.diag([0.0] + [1.0] * x.shape[1])
        hat = ones @ np.linalg.pinv(ones.T @ ones + penalty) @ ones.T
        scores[alpha] = len(x) * ((y - hat @ y) ** 2).sum() / (len(x) - np.trace(hat)) ** 2
    oracle = Ridge(alpha=min(scores, key=scores.get) * len(x), solver="svd").fit(x, y)
    found = baselines.ridge(windows)
    np.testing.assert_allclose(found[:-1].T.numpy(), np.atleast_2d(oracle.coef_), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found[-1].numpy(), oracle.intercept_, rtol=1e-6, atol=1e-9)


def test_logistic_regression_gives_scikit_learns_probabilities():
    windows = walk(window=3, horizon=2, target="direction", transform="return")
    x, y = (t.numpy() for t in samples(windows, "train"))
    origin_N = windows.parts["test"].origins(torch.arange(len(windows.parts["test"])))
    logits_NO = baselines.predictors(windows, baselines.fitted(windows))["logistic"](origin_N)
    found = logits_NO.unflatten(-1, (-1, 2)).softmax(-1)[..., 1]
    for step in range(2):
        oracle = LogisticRegression().fit(x, y[:, step]).predict_proba(samples(windows, "test")[0].numpy())[:, 1]
        np.testing.assert_allclose(found[:, step], oracle, atol=1e-4)


def test_seasonal_naive_and_moving_average_by_hand():
    values = np.arange(100.0, 160.0)
    values[::7] += 50  # one day a week
    windows = steps(values, window=3, horizon=9, split=[0.5, 0, 0.5])
    assert windows.season == 7
    origin = torch.tensor([25])
    assert baselines.seasonal_naive(windows, origin, 7).tolist() == [
        [values[25 + h - 7 * (-(-h // 7))] for h in range(1, 10)]
    ]
    assert baselines.seasonal_naive(windows, torch.tensor([2]), 7)[0, 0].item() == values[0]  # no earlier week
    assert baselines.moving_average(windows, origin).tolist() == [[values[23:26].mean()] * 9]


@pytest.mark.parametrize(
    ("frequency", "season"), [("B", 5), ("D", 7), ("W-FRI", 52), ("ME", 12), ("QE", 4), ("YE", None), ("h", None)]
)
def test_a_season_is_a_week_of_days_or_a_year(frequency, season):
    assert calendar.season(pd.date_range("2000-01-03", periods=60, freq=frequency)) == season
