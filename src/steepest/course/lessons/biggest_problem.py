"""What stops descent: local minimum, saddle, plateau, step size, noise or the budget; counts over many starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
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
    end_of,
    loss_of,
    step_of,
)
from steepest.course.runs import Run, sweep_results
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, RED, finish
from steepest.sweep.results import value

MUCH = 2.0  # a loss above this times the best loss of the same net's starts is high
SAMPLE, SAME = 40, 1e-6  # ends that are compared with autograd; tolerance, relative to the largest eigenvalue
ENDS = {
    "local minimum": "at a local minimum",
    "saddle": "on a saddle",
    "plateau": "on a plateau",
    "still moving": "while the loss still falls",
    NOISE: "where the noise of the batches hides the way",
    STEP: "with too large a step",
}
COLOURS = {GOOD: GREEN, EARLY: BLUE, "local minimum": RED, "saddle": BLACK, "plateau": ORANGE}
COLOURS |= {STEP: "#9467bd", OPEN: "#999999"}


def teach(folder: Path) -> Finding:
    """Where do the starts end, and where does the way from each high loss lead?"""
    nets: dict[str, list[Run]] = {}
    for row in sorted(sweep_results(folder).rows, key=lambda row: row["job"]):
        nets.setdefault(value(row, "model.hidden").strip("[]"), []).append(Run(folder / str(row["folder"])))
    losses = {units: np.array([loss_of(run) for run in runs]) for units, runs in nets.items()}
    best = {units: float(np.nanmin(found)) for units, found in losses.items()}
    ends = {units: Counter(map(end_of, runs)) for units, runs in nets.items()}
    causes = {units: [cause_of(run, MUCH * best[units]) for run in runs] for units, runs in nets.items()}
    counts = {units: Counter(found) for units, found in causes.items()}
    starts = len(next(iter(nets.values())))
    bad = {units: sum(found[word] for word in CRITICAL) for units, found in counts.items()}
    share = {units: binomtest(number, starts).proportion_ci(method="wilson") for units, number in bad.items()}
    every = [run for runs in nets.values() for run in runs if "critical" in run.metrics]
    gap = max(run.ending_gap() for run in every[:: -(-len(every) // SAMPLE)])
    problem, largest = max(bad, key=bad.__getitem__), list(nets)[-1]

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    bottom = np.zeros(len(nets))
    for word, colour in COLOURS.items():
        heights = np.array([counts[units][word] for units in nets])
        if heights.any():
            left.bar(range(len(nets)), heights, bottom=bottom, color=colour, label=f"{word}: {heights.sum()}")
        bottom += heights
    left.set(ylabel="starts", ylim=(0, 1.4 * starts), title=f"{starts} starts each: what stands behind the loss")
    for column, units in enumerate(nets):
        order = np.argsort(losses[units])
        across = column + np.linspace(-0.35, 0.35, len(order))
        right.scatter(across, losses[units][order], c=[COLOURS[causes[units][i]] for i in order], s=9)
        right.plot(across[[0, -1]], [MUCH * best[units]] * 2, color=BLACK, lw=0.8, ls=":")
    right.plot([], [], color=BLACK, lw=0.8, ls=":", label=f"{MUCH:g} times the best loss")
    right.set(ylabel="loss at the end", yscale="log", title="The loss of every start, best first")
    for axes in (left, right):
        axes.set_xticks(range(len(nets)), list(nets))
        axes.set_xlabel("sigmoids")
        finish(axes)
    return Finding(
        f"Of {starts} starts each, this many ended with a high loss from which the way leads to a bad local minimum, "
        "saddle or plateau: " + ", ".join(f"{number} with {units}" for units, number in bad.items()) + " sigmoids.",
        {
            f"in a sample of the runs, gradient and Hessian at the end equal autograd's (difference {gap:.0e})": (
                gap < SAME
            ),
            "with every size, most descents end before they reach a critical point": all(
                sum(found[word] for word in CRITICAL) < starts / 2 for found in ends.values()
            ),
            f"the share of starts that bad critical points stop is larger with {problem} sigmoids than with {largest}: "
            "their 95 % intervals do not overlap": share[problem].low > share[largest].high,
        },
        figure,
        {
            "starts": starts,
            "sizes": list(nets),
            "ends": {word: [found[word] for found in ends.values()] for word in ENDS},
            "words": ENDS,
            "causes": {word: [found[word] for found in counts.values()] for word in COLOURS},
            "best": list(best.values()),
            "bad": list(bad.values()),
            "problem": problem,
            "share": [f"{100 * found.low:.0f} to {100 * found.high:.0f} %" for found in share.values()],
            "room": [float(np.median([step_of(run) for run in runs])) for runs in nets.values()],
        },
    )
