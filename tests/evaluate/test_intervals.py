"""Split conformal intervals against their definition, and their coverage against the binomial distribution."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

import steepest
from steepest.evaluate.intervals import LEVELS, RATE, adaptive, half_width, intervals


@pytest.mark.parametrize(("count", "level"), [(10, 0.5), (19, 0.95), (99, 0.9), (500, 0.8)])
def test_the_half_width_is_the_smallest_error_that_enough_errors_do_not_exceed(count, level):
    error_NH = torch.from_numpy(np.random.default_rng(count).normal(size=(count, 3)))
    place = math.ceil((count + 1) * level)
    expected = np.sort(np.abs(error_NH.numpy()), axis=0)[place - 1]
    assert half_width(error_NH, level).tolist() == expected.tolist()


def test_too_few_samples_have_no_interval():
    assert half_width(torch.ones(18, 1, dtype=torch.float64), 0.95).isinf().all()
    ones = torch.ones(10, 1, dtype=torch.float64)
    assert [found.level for found in intervals((ones, ones * 2, ones), None, False, {})] == [0.5, 0.8, 0.9]


@pytest.mark.parametrize("of_price", [True, False])
def test_the_coverage_of_exchangeable_errors_is_the_level(of_price):
    rng, runs, inside = np.random.default_rng(0), 400, dict.fromkeys(LEVELS, 0.0)

    def part(count):
        last_N1 = torch.from_numpy(rng.uniform(50, 150, (count, 1)))
        error_N1 = torch.from_numpy(rng.standard_t(3, (count, 1))) * (last_N1 if of_price else 1.0)
        return last_N1, last_N1 + error_N1, last_N1

    for _ in range(runs):
        for found in intervals(part(99), part(20), of_price, {}):
            inside[found.level] += found.coverage
    for level, total in inside.items():
        # The coverage of a run is beta-distributed around the level (Vovk 2012), and the tests are binomial.
        spread = math.sqrt(level * (1 - level) * (1 / 101 + 1 / 20) / runs)
        assert total / runs == pytest.approx(level, abs=scipy.stats.norm.isf(1e-4) * spread), level


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
        assert found["of_price"]
    first = run.predict(level=0.8, method="split").iloc[0]
    assert first["upper"] - first["lower"] == pytest.approx(
        2 * table["actual"].iloc[-1] * run.metrics["intervals"][1]["width_H"][0]
    )


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
