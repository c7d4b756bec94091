"""Several days as one answer: ten days at once, against one day that is fed back ten times.

Shapes: W ways to predict (at once, fed back, tomorrow = today), S seeds, N samples, H horizon.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from steepest.course.lesson import Finding
from steepest.course.parts.structured import Swing, best_errors, ways
from steepest.course.runs import Run, sweep_runs
from steepest.evaluate.significance import diebold_mariano
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, RED, finish

SAME, WORSE, NEAR = 0.03, 1.5, 0.2  # relative difference on day 1; ratio on the last day; distance from the closed form
ADDED, SIGNIFICANT = 0.4, 0.05  # the largest relative distance of the index from a random walk
LONG, EXAMPLE = 28, 18  # days of a longer window; the sample of the left picture
WAVE, INDEX = "swing", "SP500"  # the names of the series
WAYS = {"at once": BLUE, "fed back": ORANGE, "tomorrow = today": BLACK}


def teach(folder: Path) -> Finding:
    """What is the error of each day, for each way to predict several days?"""
    runs = {(run.windows.names[0], run.windows.horizon, run.checked.run.seed): run for run in sweep_runs(folder)}
    days, seeds = max(key[1] for key in runs), sorted({key[2] for key in runs})
    pairs = {name: [(runs[name, days, seed], runs[name, 1, seed]) for seed in seeds] for name in (WAVE, INDEX)}
    losses = {name: torch.stack([_losses(*pair) for pair in some]) for name, some in pairs.items()}  # (S, W, N, H)
    wave_SWH, index_SWH = (losses[name].mean(2).numpy() for name in (WAVE, INDEX))
    index_SWH /= index_SWH[:, 2:, :1]  # in units of tomorrow = today on day 1
    source = pairs[WAVE][0][0].datamodule.dataset
    assert isinstance(source, Swing)
    known_WH = np.stack(best_errors(source, source.window, days))
    ratio_SH = wave_SWH[:, 1] / wave_SWH[:, 0]
    worse = [_better(direct_NH, fed_NH) for direct_NH, fed_NH, _ in losses[WAVE]]
    beaten = [_better(way_NH, today_NH) for *both, today_NH in losses[INDEX] for way_NH in both]
    same = abs(ratio_SH[:, 0] - 1).max() <= SAME
    near = np.abs(wave_SWH[:, :2].mean(0) / known_WH - 1).max() <= NEAR
    added = abs(index_SWH[0, 2, -1] / days - 1) <= ADDED
    return Finding(
        f"On the wave, the mean squared error of day {days} is {wave_SWH[:, 0, -1].mean():.3g} at once and "
        f"{wave_SWH[:, 1, -1].mean():.3g} fed back, although on day 1 both models are equally good "
        f"({wave_SWH[:, 0, 0].mean():.3g} and {wave_SWH[:, 1, 0].mean():.3g}).",
        {
            f"on day 1 of the wave, the two differ by at most {SAME:.0%} with every seed": bool(same),
            f"on day {days} of the wave, the error fed back is at least {WORSE} times that at once, and significantly "
            "higher, with every seed": bool(ratio_SH[:, -1].min() >= WORSE and all(worse)),
            f"on every day of the wave, both are within {NEAR:.0%} of the best linear functions": bool(near),
            f"on day {days} of the index, tomorrow = today has {days} times the error of day 1, within "
            f"{ADDED:.0%}": bool(added),
            f"on day {days} of the index, neither significantly beats tomorrow = today, with any seed": not any(beaten),
        },
        _figure(*pairs[WAVE][0], wave_SWH, known_WH, index_SWH),
        {
            "days": days, "window": source.window, "period": source.period, "seeds": len(seeds),
            "wave": [(day, *map(_spread, wave_SWH[:, :, day - 1].T)) for day in (1, days // 2, days)],
            "index": [(day, *map(_spread, index_SWH[:, :, day - 1].T)) for day in (1, days // 2, days)],
            "ratio": ratio_SH[:, -1].mean(), "long": LONG,
            "long_ratio": np.divide(*best_errors(source, LONG, days)[::-1])[-1],
        },
    )  # fmt: skip


def _losses(direct: Run, one_day: Run) -> Tensor:
    """The squared errors (W, N, H) of the test part, in squared points."""
    x_NL, y_NH = direct.samples("test")
    p_WNH = ways(direct.module(), one_day.module(), x_NL, y_NH.shape[1])
    return ((p_WNH - y_NH) * direct.windows.scale_S[0]).square()


def _better(loss_NH: Tensor, reference_NH: Tensor) -> bool:
    """Whether the mean of the first losses is significantly lower on the last day, by the Diebold-Mariano test."""
    p_value = diebold_mariano(loss_NH[:, -1], reference_NH[:, -1], loss_NH.shape[1])
    return p_value is not None and p_value < SIGNIFICANT and bool(loss_NH[:, -1].mean() < reference_NH[:, -1].mean())


def _spread(values_S: np.ndarray) -> str:
    return f"{values_S.mean():.2f} ± {values_S.std(ddof=1):.2f}"


def _figure(direct: Run, one_day: Run, wave_SWH: np.ndarray, known_WH: np.ndarray, index_SWH: np.ndarray) -> Figure:
    x_NL, y_NH = direct.samples("test")
    days, window = y_NH.shape[1], x_NL.shape[1]
    day_H = np.arange(1, days + 1)
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    example, wave, index = panels = figure.subplots(1, 3)
    example.plot(np.arange(1 - window, 1), x_NL[EXAMPLE], "o-", color=GREEN, label=f"the last {window} days")
    example.plot(day_H, y_NH[EXAMPLE], "o:", color=GREEN, mfc="white", label="the days after them")
    p_WNH = ways(direct.module(), one_day.module(), x_NL, days)
    for way, (name, colour) in enumerate(WAYS.items()):
        example.plot(day_H, p_WNH[way, EXAMPLE], color=colour, label=name)
        for axes, errors_SWH in ((wave, wave_SWH), (index, index_SWH)):
            mean_H, spread_H = errors_SWH[:, way].mean(0), errors_SWH[:, way].std(0, ddof=1)
            axes.errorbar(day_H, mean_H, spread_H, fmt="o-", ms=4, capsize=3, color=colour, label=name)
    wave.plot(day_H, known_WH.T, ":", color=RED, lw=3, label=["the best linear functions", None])
    index.plot(day_H, day_H, ":", color=GREEN, lw=2, label="a random walk")
    example.set(ylabel="difference from today, scaled", title=f"One window of the wave, and {days} days more")
    wave.set(ylabel="mean squared error", title="The wave: error of each day", ylim=(0, None))
    index.set(ylabel="mean squared error; its unit: day 1", title="S&P 500: error of each day")
    for axes in panels:
        axes.set_xlabel("days ahead")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        finish(axes)
    return figure
