"""Learning to learn: few steps on few points of a new task, from three starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import wilcoxon

from steepest.course.lesson import Finding
from steepest.course.parts.meta import Adapting
from steepest.course.runs import Run, mean_and_deviation, sweep_runs
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

STEPS = (0, 1, 5, 10)
RANGE = 1.7321  # standard deviations from the middle of a uniform variable to its end
RATES = (0.03, 0.1, 0.3)  # step sizes for the two other starts, of which the best counts
HALF, MEAN = 0.5, 0.9  # the largest share of the others' error after a step; the least error without a step
SURE = 1e-3  # probability of such a difference by chance, in each seed
COLOURS = {"fresh": BLUE, "trained on all": ORANGE, "trained to adapt": GREEN}
FRESH, ALL, ADAPT = COLOURS


def teach(folder: Path) -> Finding:
    """How large is the error on new tasks after some steps, from each start?"""
    runs = sweep_runs(folder)
    ordinary = [run for run in runs if run.asked("model", "steps") == 0]
    trained = [run for run in runs if run.asked("model", "steps") > 0]
    starts = {
        FRESH: [(run, run.module("start")) for run in ordinary],
        ALL: [(run, run.module()) for run in ordinary],
        ADAPT: [(run, run.module()) for run in trained],
    }
    errors = {  # name -> squared errors (seeds, steps, tasks)
        name: np.array([[_errors(run, module, steps, name == ADAPT) for steps in STEPS] for run, module in some])
        for name, some in starts.items()
    }
    ends = {name: found.mean(2) for name, found in errors.items()}
    others = np.minimum(ends[FRESH], ends[ALL])
    chance = max(
        float(wilcoxon(adapt, every, alternative="less").pvalue)
        for adapt, every in zip(errors[ADAPT][:, 1], errors[ALL][:, 1], strict=True)
    )

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    curves, *fits = figure.subplots(1, 3)
    for name, colour in COLOURS.items():
        mean, deviation = ends[name].mean(0), ends[name].std(0, ddof=1)
        curves.errorbar(STEPS, mean, deviation, fmt="o-", color=colour, capsize=4, label=name)
    curves.axhline(1, color=BLACK, lw=0.8, ls=":", label="guess the mean of all tasks")
    curves.set(xlabel="steps on the new task", ylabel="error on new tasks", yscale="log", title="From three starts")
    for axes, name in zip(fits, (ALL, ADAPT), strict=True):
        run, module = starts[name][0]
        row_1D = run.samples("test")[0][:1]
        x_K, y_K = row_1D[0, :-1].view(2, -1).numpy()
        x_MD = row_1D.repeat(200, 1)
        x_MD[:, -1] = torch.linspace(-RANGE, RANGE, 200)
        for steps, style in zip((0, 1, 10), (":", "--", "-"), strict=True):
            fit_M = module.predicted(x_MD, steps, module.rate).detach()[:, 0]
            label = f"after {steps} step{'' if steps == 1 else 's'}"
            axes.plot(x_MD[:, -1], fit_M, style, color=COLOURS[name], label=label)
        axes.plot(x_K, y_K, "o", color=BLACK, ms=5, label="the points of a new task")
        axes.set(xlabel="x (scaled)", ylabel="y (scaled)", ylim=(-2.2, 2.8), title=f"A net {name}")
    for axes in (curves, *fits):
        finish(axes)
    one = {name: found[:, 1].mean() for name, found in ends.items()}
    return Finding(
        f"Error on new tasks after one step (guessing the mean: 1), mean over {len(trained)} seeds: "
        + ", ".join(f"{value:.3g} ({name})" for name, value in one.items())
        + ".",
        {
            f"without a step, no start is better than {MEAN} of guessing the mean: it cannot know the task": bool(
                min(found[:, 0].min() for found in ends.values()) > MEAN
            ),
            f"with every seed, after one step the net trained to adapt has less than {HALF} of the others' error": bool(
                (ends[ADAPT][:, 1] < HALF * others[:, 1]).all()
            ),
            f"with every seed, this is no chance (p < {SURE:g}, Wilcoxon's test over the new tasks)": chance < SURE,
            "with every seed, it is also best after 5 and after 10 steps": bool(
                (ends[ADAPT][:, 2:] < others[:, 2:]).all()
            ),
        },
        figure,
        {
            "rows": [(name, *map(mean_and_deviation, found.T)) for name, found in ends.items()],
            "seeds": len(trained),
            "steps": trained[0].asked("model", "steps"),
            "points": trained[0].asked("data", "points"),
            "tasks": len(trained[0].samples("train")[0]),
            "rates": RATES,
        },
    )


def _errors(run: Run, module: Adapting, steps: int, own: bool) -> np.ndarray:
    """The squared error on each new task: with the module's own step size, or the one of `RATES` that is best there."""
    x_ND, y_NO = run.samples("test")
    tried = [
        (module.predicted(x_ND, steps, rate) - y_NO).detach().square()[:, 0].numpy()
        for rate in ([module.rate] if own else RATES)
    ]
    return min(tried, key=lambda error_N: float(error_N.mean()))
