"""Tasks one after the other: what a net forgets, with and without elastic weight consolidation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run, mean_and_deviation, sweep_runs
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

FORGOTTEN, FEWER = 0.1, 20  # the least growth of the loss; and its least ratio to that with consolidation
NAMES = {"plain": "one after the other", "ewc": "the same, with consolidation", "joint": "all at once"}


def teach(folder: Path) -> Finding:
    """How much does each way of learning forget, on rows that it has not seen?"""
    runs = sweep_runs(folder)
    methods = {name: [run for run in runs if run.asked("model", "method") == name] for name in NAMES}
    ends = {name: np.array([_errors(run) for run in some]) for name, some in methods.items()}  # (seeds, tasks)
    grown = {name: np.array([_forgetting(run) for run in some]) for name, some in methods.items()}
    tasks, seeds = ends["plain"].shape[1], len(ends["plain"])

    figure = Figure(figsize=(12, 7), layout="constrained")
    rows = figure.subplots(2, 3, sharey="row")
    for axes, fits, (name, some) in zip(rows[0], rows[1], methods.items(), strict=True):
        for task, colour in zip(range(tasks), (BLUE, ORANGE, GREEN), strict=False):
            curve = some[0].curve(f"task_{task}/loss")
            axes.plot(curve.steps, curve.values, color=colour, label=f"piece {task + 1}")
        axes.set(xlabel="updates", ylabel="loss of the piece", yscale="log", title=NAMES[name].capitalize())
        x_T1, y_T = some[0].rows()
        x_M = np.linspace(x_T1.min(), x_T1.max(), 400)
        fits.plot(x_T1[:, 0], y_T, ".", color="#bbbbbb", ms=3, label="the points")
        fits.plot(x_M, some[0].outputs(x_M[:, None])[:, 0], color=BLACK, label="the net at the end")
        fits.set(xlabel="x", ylabel="y", title=f"All pieces: {mean_and_deviation(ends[name].mean(1))}")
        fits.set_ylim(-2, 2)
        for one in (axes, fits):
            finish(one)
    first = {name: errors[:, :-1].mean(1) for name, errors in ends.items()}
    return Finding(
        f"Loss of the first two pieces at the end, mean over {seeds} seeds: {first['plain'].mean():.3g} when learnt "
        f"one after the other, {first['ewc'].mean():.3g} with consolidation, {first['joint'].mean():.3g} all at once.",
        {
            f"with every seed, learning one piece after the other forgets: the loss grows by {FORGOTTEN} or more": bool(
                (grown["plain"] > FORGOTTEN).all()
            ),
            f"with every seed, it forgets at least {FEWER} times as much as with consolidation": bool(
                (grown["plain"] > FEWER * grown["ewc"]).all()
            ),
            "with every seed, learning all pieces at once is best: the bound": bool(
                (ends["joint"].mean(1) <= np.minimum(ends["ewc"].mean(1), ends["plain"].mean(1))).all()
            ),
        },
        figure,
        {
            "rows": [
                (NAMES[name], *map(mean_and_deviation, (grown[name], first[name], ends[name][:, -1]))) for name in NAMES
            ],
            "seeds": seeds,
            "tasks": tasks,
        },
    )


def _errors(run: Run) -> list[float]:
    """The loss of each task on the test rows, at the end."""
    module, (x_ND, y_NH) = run.module(), run.samples("test")
    with torch.no_grad():
        error_N = (module(x_ND) - y_NH).square().mean(1)
    task_N = module.task_of(x_ND)
    return [float(error_N[task_N == task].mean()) for task in range(module.tasks)]


def _forgetting(run: Run) -> float:
    """How much the loss of the earlier tasks has grown since the end of their training, by the curves (mean)."""
    each, grown = run.asked("model", "epochs_per_task"), []
    for task in range(run.asked("model", "tasks") - 1):
        values = run.curve(f"task_{task}/loss").values
        grown.append(values[-1] - values[(task + 1) * each - 1])
    return float(np.mean(grown))
