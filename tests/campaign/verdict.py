"""Measures how often the verdict is wrong, and how often it finds a true lead: `python -m tests.campaign.verdict`.

On a random walk no model beats *tomorrow = today*, so "beat" is wrong. Its share is measured for least squares in each
cell of a grid of rows, horizons and windows, with inputs as prices and relative to the last price. The share must be
at most 6.5 % in each cell, within the binomial allowance of `bound`. With returns that follow an autoregression of
coefficient 0.2 and 2,000 test days, the verdict must find the lead in at least 90 % of the seeds.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from scipy.stats import binom

from steepest.data.files import check_prices
from steepest.data.preparation import series_windows
from steepest.data.sources import RandomWalk, SeriesData
from steepest.evaluate import baselines
from steepest.evaluate.blocks import outputs_at
from steepest.evaluate.evaluation import Evaluation, Evaluator

ROWS, HORIZONS, WINDOWS = (200, 300, 1000, 2000, 8000), (1, 5, 10, 30, 96), (1, 2, 28)
SIZE, POWER = 0.065, 0.9
SEEDS_OF_POWER = 200
TEST_DAYS = 2000


def least_squares_evaluated(frame: pd.DataFrame, data: SeriesData) -> Evaluation:
    """The evaluation of least squares on the test part.

    The evaluator sees only the test part and two training samples, because tables of all parts take most of the time.
    """
    windows = series_windows(frame, data, "the campaign").to("cpu", torch.float64)
    coefficients = baselines.least_squares(windows)
    train, empty = windows.parts["train"], torch.zeros_like(windows.parts["val"].count_S)
    few = train.keep(torch.arange(len(train)) < 2)
    val = replace(windows.parts["val"], count_S=empty, kept_N=None)
    windows = replace(windows, parts={"train": few, "val": val, "test": windows.parts["test"]})
    return Evaluator(windows).evaluate(partial(outputs_at, partial(baselines.linear, coefficients), windows))


@dataclass(frozen=True)
class Size:
    """A cell of the grid: how many verdicts were given, and how many of them said "beat"."""

    given: int
    beat: int


def size(rows: int, horizon: int, window: int, relative: bool, seeds: range) -> Size | None:
    """Count the verdicts on random walks, or return None if a part is too short for one window."""
    found = []
    for seed in seeds:
        walk = RandomWalk(rows=rows, horizon=horizon, window=window, relative_to_last=relative, seed=seed)
        try:
            found.append(least_squares_evaluated(walk.read(), walk))
        except ValueError as error:
            if "needs at least" not in str(error):
                raise
            return None
    given = [evaluation.verdict() for evaluation in found if not evaluation.untested]
    return Size(len(given), sum(verdict.beat is True for verdict in given))


def bound(given: int) -> int:
    """The highest allowed number of "beat": a true share of 6.5 % exceeds it with a probability of 1 in 10,000."""
    return int(binom.isf(1e-4, given, SIZE))


def autoregression(rows: int, seed: int, coefficient: float = 0.2) -> pd.DataFrame:
    """Prices whose log returns r_t are coefficient * r_{t-1} + 0.01 e_t, with standard normal e_t."""
    noise_T = 0.01 * np.random.default_rng(seed).normal(size=rows)
    return_T = np.zeros(rows)
    for t in range(1, rows):
        return_T[t] = coefficient * return_T[t - 1] + noise_T[t]
    days = pd.date_range("1970-01-01", periods=rows, freq="D")
    prices = pd.DataFrame({"date": days, "planted": 100 * np.exp(return_T.cumsum())})
    return check_prices(prices, "the campaign")


def power(seeds: range, test_days: int = TEST_DAYS) -> float:
    """The share of seeds in which least squares on two days beats persistence on a planted autoregression."""
    rows, beat = round((test_days + 3) / 0.15), 0  # the test part loses its gap, a day of the window and the target
    for seed in seeds:
        data = RandomWalk(rows=rows, window=2, relative_to_last=True)
        evaluation = least_squares_evaluated(autoregression(rows, seed), data)
        assert len(evaluation.predictions.query("part == 'test'")) == test_days
        beat += evaluation.verdict().beat is True
    return beat / len(seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the size and the power of the verdict.")
    parser.add_argument("--seeds", type=int, default=1000, help="random walks in each cell")
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    started, faults, total = time.perf_counter(), [], Size(0, 0)
    print(f'Share of "beat" on {len(seeds)} random walks, inputs as prices / relative to the last price:')
    for rows, horizon, window in product(ROWS, HORIZONS, WINDOWS):
        cells = [size(rows, horizon, window, relative, seeds) for relative in (False, True)]
        words = []
        for cell in cells:
            if cell is None or cell.given == 0:
                words.append("too few rows" if cell is None else "not tested")
                if rows >= 1000 and horizon <= 30:
                    faults.append(f"rows {rows}, horizon {horizon}, window {window}: no verdict")
                continue
            words.append(f"{cell.beat / cell.given:.1%}")
            total = Size(total.given + cell.given, total.beat + cell.beat)
            if cell.beat > bound(cell.given):
                faults.append(f"rows {rows}, horizon {horizon}, window {window}: {cell.beat} of {cell.given}")
        print(f"rows {rows:5}  horizon {horizon:3}  window {window:3}  {' / '.join(words)}", flush=True)
    print(f"all cells: {total.beat / total.given:.2%} of {total.given} verdicts")
    found = power(range(SEEDS_OF_POWER))
    print(f"power: a lead by returns with autocorrelation 0.2 is found in {found:.1%} of {SEEDS_OF_POWER} seeds")
    if found < POWER:
        faults.append(f"power {found:.1%}")
    print(f"{time.perf_counter() - started:.0f} s; {len(faults)} faults")
    print("\n".join(faults))
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
