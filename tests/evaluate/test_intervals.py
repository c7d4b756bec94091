"""Split conformal intervals against their definition, and their coverage against the binomial distribution."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

import steepest
from steepest.evaluate.intervals import LEVELS, RATE, Forecasts, adaptive, half_widths, intervals


def half_width(error_NH, level):
    """Half the width of the interval at each step."""
    columns = error_NH.abs().numpy().T
    return torch.tensor([half_widths(error_N, [level])[0] for error_N in columns], dtype=torch.float64)


@pytest.mark.parametrize(("count", "level"), [(10, 0.5), (19, 0.95), (99, 0.9), (500, 0.8)])
def test_the_half_width_is_the_smallest_error_that_enough_errors_do_not_exceed(count, level):
    error_NH = torch.from_numpy(np.random.default_rng(count).normal(size=(count, 3)))
    place = math.ceil((count + 1) * level)
    expected = np.sort(np.abs(error_NH.numpy()), axis=0)[place - 1]
    assert half_width(error_NH, level).tolist() == expected.tolist()


def test_too_few_samples_have_no_interval():
    assert half_width(torch.ones(18, 1, dtype=torch.float64), 0.95).isinf().all()
    ones = torch.ones(10, 1, dtype=torch.float64)
    assert [found.level for found in intervals([Forecasts(ones, ones * 2, ones, ones)], [], "data", 10, {})] == [
        0.5,
        0.8,
        0.9,
    ]


@pytest.mark.parametrize("unit", ["price", "data", "quantiles"])
def test_the_coverage_of_exchangeable_errors_is_the_level(unit):
    rng, runs, inside = np.random.default_rng(0), 400, dict.fromkeys(LEVELS, 0.0)

    def part(count):
        last_N1 = torch.from_numpy(rng.uniform(50, 150, (count, 1)))
        error_N1 = torch.from_numpy(rng.standard_t(3, (count, 1))) * (last_N1 if unit == "price" else 1.0)
        sides = {"price": 2 * (last_N1,), "data": 2 * (torch.ones_like(last_N1),), "quantiles": (last_N1, 3 / last_N1)}
        return Forecasts(last_N1, last_N1 + error_N1, *sides[unit])

    for _ in range(runs):
        for found in intervals([part(99)], [part(20)], unit, 99, {}):
            inside[found.level] += found.coverage
    for level, total in inside.items():
        # The coverage of a run is beta-distributed around the level (Vovk 2012), and the tests are binomial.
        spread = math.sqrt(level * (1 - level) * (1 / 101 + 1 / 20) / runs)
        assert total / runs == pytest.approx(level, abs=scipy.stats.norm.isf(1e-4) * spread), level


def test_intervals_do_not_depend_on_the_blocks_of_samples_and_steps():
    random = torch.Generator().manual_seed(0)

    def part(count):
        actual_NH, error_NH = (torch.randn(count, 7, generator=random, dtype=torch.float64) for _ in range(2))
        size_N1 = torch.rand(count, 1, generator=random, dtype=torch.float64)
        return Forecasts(actual_NH + error_NH, actual_NH, size_N1, size_N1)

    def blocks(whole, size):
        return [Forecasts(*columns) for columns in zip(*(column.split(size) for column in whole), strict=True)]

    val, test, samples = part(60), part(50), {"A": slice(0, 25), "B": slice(25, 40), "C": slice(40, 60)}
    expected = intervals([val], [test], "data", 60, samples)
    error_NH = ((val.actual_NH - val.predicted_NH) / val.below_NH).abs()
    for one in expected:
        assert one.width_H == half_width(error_NH, one.level).tolist()
        inside_NH = (test.actual_NH - test.predicted_NH).abs() <= torch.tensor(one.width_H) * test.below_NH
        assert one.coverage == inside_NH.double().mean().item()
        assert one.mean_width == pytest.approx((2 * torch.tensor(one.width_H) * test.below_NH).mean().item())
        enough = [name for name, s in samples.items() if half_width(error_NH[s], one.level).isfinite().all()]
        assert list(one.series_width_H) == enough
    for size, steps in ((13, 100), (60, 2), (7, 3)):
        found = intervals(blocks(val, size), blocks(test, size), "data", 60, samples, steps)
        for one, other in zip(found, expected, strict=True):
            assert (one.level, one.width_H, one.series_width_H) == (other.level, other.width_H, other.series_width_H)
            assert (one.coverage, one.mean_width) == pytest.approx((other.coverage, other.mean_width), rel=1e-12)


def test_a_run_records_the_coverage_and_width_that_its_predictions_have(train):
    _, folder = train(
        "data=random_walk",
        "data.rows=400",
        "data.horizon=2",
        "model=linear_manual",
        "stop.epochs=2",
        "evaluation.predictions=all",
    )
    run = steepest.load(folder)
    table = run.predictions
    val, test = (table[table["part"] == part] for part in ("val", "test"))
    for found in run.metrics["intervals"]:
        size = (val["prediction"] - val["actual"]).abs() / val["last"]
        width = [
            np.sort(size[val["horizon"] == step])[math.ceil(((val["horizon"] == step).sum() + 1) * found["level"]) - 1]
            for step in (1, 2)
        ]
        np.testing.assert_allclose(found["width_H"], width, rtol=1e-12)
        half = test["horizon"].map(dict(enumerate(width, 1))) * test["last"]
        assert found["coverage"] == pytest.approx(((test["prediction"] - test["actual"]).abs() <= half).mean())
        assert found["mean_width"] == pytest.approx(2 * half.mean())
        assert found["unit"] == "price"
    first = run.predict(level=0.8, method="split").iloc[0]
    assert first["upper"] - first["lower"] == pytest.approx(
        2 * table["actual"].iloc[-1] * run.metrics["intervals"][1]["width_H"][0]
    )


def test_the_intervals_of_quantiles_are_scaled_to_contain_the_validation_parts_prices(train):
    _, folder = train(
        "data=random_walk", "data.rows=400", "data.horizon=2", "data.window=5", "data.transform=log_return",
        "model=mlp_manual", "model.hidden=[8]", "model.loss=quantile", "objective=val/loss", "optimizer.lr=0.1",
        "stop.epochs=30", "evaluation.predictions=all",
    )  # fmt: skip
    run = steepest.load(folder)
    table = run.predictions
    below, above = table["prediction"] - table["quantile_0.05"], table["quantile_0.95"] - table["prediction"]
    assert (below > 0).all()
    assert (above > 0).all(), "after training, the quantiles do not cross"
    gap = table["actual"] - table["prediction"]
    size = gap.abs() / below.where(gap < 0, above)
    for found in run.metrics["intervals"]:
        assert found["unit"] == "quantiles"
        for step, width in enumerate(found["width_H"], 1):
            val = np.sort(size[(table["part"] == "val") & (table["horizon"] == step)])
            assert width == pytest.approx(val[math.ceil((len(val) + 1) * found["level"]) - 1], rel=1e-9)
        test = table["part"] == "test"
        width = table["horizon"].map(dict(enumerate(found["width_H"], 1)))
        assert found["coverage"] == pytest.approx((size <= width)[test].mean())
        assert found["mean_width"] == pytest.approx((width * (below + above))[test].mean())
    earlier = run.frame().iloc[:-2].reset_index()[["date", "value"]].rename(columns={"value": "close"})
    first, last = run.predict(earlier, method="split").iloc[0], table[table["horizon"] == 1].index[-1]
    width = run.metrics["intervals"][2]["width_H"][0]
    assert first["lower"] == pytest.approx(table["prediction"][last] - width * below[last])
    assert first["upper"] == pytest.approx(table["prediction"][last] + width * above[last])


def test_predicted_quantiles_that_cross_make_no_negative_interval():
    ones = torch.ones(30, 1, dtype=torch.float64)
    crossed = Forecasts(ones, ones * 2, ones, ones * 0)
    assert intervals([crossed], [], "quantiles", 30, {}) == [], "no width contains a price above its median"


def errors(seed, count, steps, scale=1.0):
    return torch.from_numpy(np.abs(np.random.default_rng(seed).standard_t(3, (count, steps))) * scale)


def test_without_later_errors_an_adaptive_interval_is_the_split_one():
    width_H, inside_TH = adaptive(half_width(errors(0, 99, 3), 0.9), errors(1, 0, 3), 0.9)
    assert width_H.tolist() == half_width(errors(0, 99, 3), 0.9).tolist()
    assert inside_TH.shape == (0, 3)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("change", [0.5, 1, 2, 4])
def test_the_coverage_of_adaptive_intervals_keeps_its_bound_whatever_the_errors_do(level, change):
    rng, rows = np.random.default_rng(0), 2000
    scale = np.where(np.arange(rows) % 500 < 250, 1, change)
    calibration, later = (torch.from_numpy(np.abs(rng.normal(size=(n, 1)))) for n in (200, rows))
    later *= torch.from_numpy(scale)[:, None]
    _, inside_TH = adaptive(half_width(calibration, level), later, level)
    step = RATE * half_width(calibration, level).item()
    bound = (later.max().item() + step) / (step * rows)  # proposition 1 of the paper
    assert abs(inside_TH.double().mean().item() - level) <= bound


def test_the_error_of_a_step_changes_an_interval_when_it_is_known():
    calibration, later, level = errors(0, 60, 2), errors(1, 40, 2, 2.0), 0.8
    width_H, inside_TH = adaptive(half_width(calibration, level), later, level)
    for step in (1, 2):
        width = start = np.sort(calibration[:, step - 1].numpy())[math.ceil(61 * level) - 1]
        missed = []
        for row in range(41):
            if row >= step:
                width = max(width + RATE * start * (missed[row - step] - (1 - level)), 0)
            if row < 40:
                missed.append(float(later[row, step - 1] > width))
        assert width_H[step - 1].item() == pytest.approx(width, rel=1e-12)
        assert inside_TH[:, step - 1].tolist() == [not miss for miss in missed]


def test_adaptive_intervals_widen_after_misses():
    calm, wild = (
        adaptive(half_width(errors(0, 200, 1), 0.9), errors(1, 300, 1, scale), 0.9)[0].item() for scale in (1.0, 3.0)
    )
    assert wild > 1.5 * calm
