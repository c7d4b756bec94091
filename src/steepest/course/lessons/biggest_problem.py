"""What stops descent: local minimum, saddle, plateau, step size, noise or the budget; counts over many starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from steepest.course.lesson import Finding
from steepest.course.parts.biggest_problem import (
    CRITICAL,
    EARLY,
    GOOD,
    NOISE,
    OPEN,
    STEP,
    cause_of,
    counted,
    end_of,
    loss_of,
)
from steepest.course.runs import Run, sweep_results
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, RED, finish
from steepest.sweep.results import value

MUCH = 2.0  # a loss above this times the best loss of the same net's starts is high
SHOWN = 10.0  # the highest loss in the picture; of runs that diverge, it has no meaning
SAMPLE, SAME = 40, 1e-6  # ends that are compared with autograd; tolerance, relative to the largest eigenvalue
COLOURS = {GOOD: GREEN, EARLY: BLUE, NOISE: "#7fb7dd", STEP: "#9467bd", "local minimum": RED, "saddle": BLACK}
COLOURS |= {"plateau": ORANGE, OPEN: "#999999"}


def teach(folder: Path) -> Finding:
    """Where do the starts end, and where does the way from each high loss lead?"""
    rows = sorted(sweep_results(folder).rows, key=lambda row: row["job"])
    runs = [Run(folder / str(row["folder"])) for row in rows]
    units = np.array([value(row, "model.hidden").strip("[]") for row in rows])
    rates = np.array([value(row, "optimizer.lr") for row in rows])
    losses = np.array([loss_of(run) for run in runs])
    sizes, steps = list(dict.fromkeys(units)), list(dict.fromkeys(rates))
    best = {size: float(np.nanmin(losses[units == size])) for size in sizes}
    causes = np.array([cause_of(run, MUCH * best[size]) for run, size in zip(runs, units, strict=True)])
    starts = len(rows) // len(sizes)
    bad = {size: int(np.isin(causes[units == size], CRITICAL).sum()) for size in sizes}
    share = {size: binomtest(number, starts).proportion_ci(method="wilson") for size, number in bad.items()}
    problem, largest = max(bad, key=bad.__getitem__), sizes[-1]
    overshot = {rate: float((causes[rates == rate] == STEP).mean()) for rate in steps}
    late = {rate: float(np.isin(causes[rates == rate], (EARLY, NOISE)).mean()) for rate in steps}
    ended = [run for run in runs if "critical" in run.metrics]
    gap = max(run.ending_gap() for run in ended[:: -(-len(ended) // SAMPLE)])

    figure = Figure(figsize=(13, 5), layout="constrained")
    by_size, by_step, ends = figure.subplots(1, 3)
    _bars(by_size, causes, units, sizes, "sigmoids", f"{starts} starts each, by size")
    _bars(by_step, causes, rates, steps, "step size", f"{len(rows) // len(steps)} starts each, by step size")
    for column, size in enumerate(sizes):
        chosen = np.flatnonzero(units == size)
        order = chosen[np.argsort(losses[chosen])]
        across = column + np.linspace(-0.35, 0.35, len(order))
        ends.scatter(across, np.fmin(losses[order], SHOWN), c=[COLOURS[causes[i]] for i in order], s=9)
        ends.plot(across[[0, -1]], [MUCH * best[size]] * 2, color=BLACK, lw=0.8, ls=":")
    ends.plot([], [], color=BLACK, lw=0.8, ls=":", label=f"{MUCH:g} times the best loss")
    ends.set(
        xlabel="sigmoids",
        ylabel=f"loss at the end, or {SHOWN:g}",
        yscale="log",
        title="The loss of every start, best first",
    )
    ends.set_xticks(range(len(sizes)), sizes)
    finish(ends)
    return Finding(
        f"Of {starts} starts each, this many ended with a high loss from which the way leads to a bad local minimum, "
        "saddle or plateau: " + ", ".join(f"{number} with {size}" for size, number in bad.items()) + " sigmoids.",
        {
            f"in a sample of the runs, gradient and Hessian at the end equal autograd's (difference {gap:.0e})": (
                gap < SAME
            ),
            f"with a step size of {steps[-1]}, the step itself stops more than half of the starts; with smaller ones, "
            "fewer than one in ten": overshot[steps[-1]] > 0.5 and max(overshot[rate] for rate in steps[:-1]) < 0.1,
            f"with {steps[0]}, more starts have not arrived yet than with {steps[1]}": late[steps[0]] > late[steps[1]],
            f"the share of starts that bad critical points stop is larger with {problem} sigmoids than with {largest}: "
            "their 95 % intervals do not overlap": share[problem].low > share[largest].high,
        },
        figure,
        {
            "starts": starts,
            "sizes": sizes,
            "steps": steps,
            "ends": Counter(map(end_of, runs)),
            "by_size": counted(causes, units, sizes),
            "by_step": counted(causes, rates, steps),
            "best": list(best.values()),
            "bad": list(bad.values()),
            "problem": problem,
            "share": [f"{100 * found.low:.0f}–{100 * found.high:.0f}" for found in share.values()],
        },
    )


def _bars(axes: Axes, causes: np.ndarray, kinds: np.ndarray, order: list[str], label: str, title: str) -> None:
    bottom = np.zeros(len(order))
    for word, numbers in counted(causes, kinds, order).items():
        axes.bar(order, numbers, bottom=bottom, color=COLOURS[word], label=f"{word}: {sum(numbers)}")
        bottom += numbers
    axes.set(xlabel=label, ylabel="starts", ylim=(0, 1.6 * bottom.max()), title=title)
    finish(axes)
