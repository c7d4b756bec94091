"""One wide layer against several narrow ones with the same number of parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run, sweep_runs
from steepest.observe.figures import BLUE, GREEN, ORANGE, finish

COLOURS = [BLUE, GREEN, ORANGE]


def teach(folder: Path) -> Finding:
    """Which shape reaches the lowest loss with the same number of parameters?"""
    groups: dict[str, list[Run]] = {}
    for run in sweep_runs(folder):
        groups.setdefault(" + ".join(map(str, run.asked("model", "hidden"))), []).append(run)
    counts = {
        name: {sum(p.numel() for p in run.predictor().parameters()) for run in runs} for name, runs in groups.items()
    }
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    ends: dict[str, list[float]] = {}
    for (name, runs), colour in zip(groups.items(), COLOURS, strict=True):
        curves = [run.curve("train/full_loss") for run in runs]
        for number, curve in enumerate(curves):
            left.plot(
                curve.steps, curve.values, color=colour, lw=0.9, alpha=0.8, label=None if number else f"units {name}"
            )
        ends[name] = [float(curve.values[-1]) for curve in curves]
        best = runs[int(np.argmin(ends[name]))]
        x_T1, y_T = best.rows()
        x_M = np.linspace(x_T1.min(), x_T1.max(), 400)
        right.plot(x_M, best.outputs(x_M[:, None])[:, 0], color=colour, lw=1.8, label=f"units {name}: its best start")
    right.plot(x_T1[:, 0], y_T, ".", color="#999999", ms=2, zorder=0)
    left.set(xlabel="updates", ylabel="loss", yscale="log", title="Every start of every shape")
    right.set(xlabel="x", ylabel="y", ylim=(-1.6, 1.9), title="The best start of each shape")
    finish(left)
    finish(right)
    medians = {name: float(np.median(values)) for name, values in ends.items()}
    wide = min(min(values) for name, values in ends.items() if "+" not in name)
    deep = min(min(values) for name, values in ends.items() if "+" in name)
    number = max(max(found) for found in counts.values())
    return Finding(
        f"With {number} parameters each, the losses at the end (best, middle and worst of "
        f"{len(next(iter(ends.values())))} starts) are "
        + "; ".join(f"units {name}: {min(v):.2g}, {medians[name]:.2g}, {max(v):.2g}" for name, v in ends.items())
        + ".",
        {
            f"every shape has {number} parameters": all(found == {number} for found in counts.values()),
            f"the best deep net ends with a lower loss ({deep:.2g}) than the best wide one ({wide:.2g})": deep < wide,
        },
        figure,
        {
            "parameters": number,
            "ends": ends,
            "medians": medians,
            "starts": len(next(iter(ends.values()))),
            "best": min(ends, key=lambda name: min(ends[name])),
            "steadiest": min(medians, key=medians.__getitem__),
        },
    )
