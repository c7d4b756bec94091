"""Batches of 1, 10, 100 and all days: updates in an epoch, and the noise of each batch's gradient."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run, sweep_runs
from steepest.nets.curvature import Surface
from steepest.observe import landscape
from steepest.observe.figures import BLUE, GREEN, ORANGE, RED, finish

MEASURED = 2000  # maximum number of updates whose noise is measured
WITHIN = 0.2  # tolerance to theory: the mean square over a few hundred batches is this uncertain
COLOURS = [BLUE, GREEN, ORANGE, RED]


def teach(folder: Path) -> Finding:
    """Does an epoch have ceil(N / B) updates, and does the noise fall as 1 / B?"""
    runs = sorted(sweep_runs(folder), key=lambda run: run.asked("data", "batch_size") or math.inf)
    surface = runs[0].surface()
    days = len(surface.x_ND)
    sizes = [int(run.asked("data", "batch_size") or days) for run in runs]
    updates = [int(run.metrics["updates"]) for run in runs]
    paths = [run.path() for run in runs]
    per_epoch = [count / int(run.metrics["epochs"]) for run, count in zip(runs, updates, strict=True)]
    found = [_noise(run, path, surface, size) for run, path, size in zip(runs, paths, sizes, strict=True)]

    figure = Figure(figsize=(13, 4.8), layout="constrained")
    path_axes, loss_axes, noise_axes = figure.subplots(1, 3)
    names = [f"{size:,} (all)" if size == days else f"{size}" for size in sizes]
    for path, size, name, colour in zip(paths, sizes, names, COLOURS, strict=False):
        path_axes.plot(*path.T, "-" if size < days else ".-", color=colour, lw=0.8, label=f"batches of {name}")
        every = max(1, len(path) // 400)
        losses = landscape.losses(surface, torch.tensor(path[::every])).numpy()
        loss_axes.plot(
            np.arange(len(path))[::every] * size / days, losses, color=colour, lw=1.2, label=f"batches of {name}"
        )
    path_axes.set(xlabel="a (scaled prices)", ylabel="b (scaled prices)", title="The path of a and b")
    loss_axes.set(
        xlabel="epochs: how often each day was used",
        ylabel="loss of all days",
        yscale="log",
        title="The same work, more or fewer updates",
    )
    known = [(size, measured) for size, (measured, _) in zip(sizes, found, strict=True) if size < days]
    theory = [(size, expected) for size, (_, expected) in zip(sizes, found, strict=True) if size < days]
    noise_axes.plot(*zip(*known, strict=True), "o", color=RED, ms=9, label="measured")
    noise_axes.plot(*zip(*theory, strict=True), "-", color="#999999", label="theory: falls as 1 / batch size")
    noise_axes.set(
        xlabel="batch size",
        ylabel="variance of the batch's gradient / one day's",
        xscale="log",
        yscale="log",
        title="Noise of one update",
    )
    for axes in (path_axes, loss_axes, noise_axes):
        finish(axes)
    ratios = {str(size): m / t for (size, m), (_, t) in zip(known, theory, strict=True)}
    return Finding(
        "An epoch has "
        + ", ".join(
            f"{n:.0f} update{'' if n == 1 else 's'} with batches of {name}"
            for n, name in zip(per_epoch, names, strict=True)
        )
        + "; measured noise over theory: "
        + ", ".join(f"{r:.2f}" for r in ratios.values())
        + ".",
        {
            "an epoch has ceil(N / B) updates": all(
                n == math.ceil(days / size) for n, size in zip(per_epoch, sizes, strict=True)
            ),
            f"the noise agrees with theory within {WITHIN:.0%}": all(abs(r - 1) < WITHIN for r in ratios.values()),
            "with all days in the batch, there is no noise": found[-1][0] < 1e-6 * found[0][0],
        },
        figure,
        {
            "days": days,
            "sizes": names,
            "per_epoch": per_epoch,
            "ratios": ratios,
            "epochs": int(runs[0].metrics["epochs"]),
        },
    )


def _noise(run: Run, path_K2: np.ndarray, surface: Surface, size: int) -> tuple[float, float]:
    """Mean variance of a batch's gradient relative to one day's: measured along the path, and by theory.

    An update is the batch's gradient times the step size, so the path gives each batch's gradient. The mean of B of N
    samples, drawn without replacement, has variance sigma^2 / B * (N - B) / (N - 1).
    """
    theta_K2, days = torch.tensor(path_K2[:-1]), len(surface.x_ND)
    drawn_K2 = torch.tensor(path_K2[:-1] - path_K2[1:]) / run.asked("optimizer", "lr")
    chosen = np.unique(np.linspace(0, len(theta_K2) - 1, MEASURED).astype(int))
    rows_N2 = torch.cat([surface.x_ND, torch.ones_like(surface.x_ND)], 1)
    shares = []
    for k in chosen:
        error_N1 = rows_N2 @ theta_K2[k][:, None] - surface.y_NH
        gradients_N2 = 2 * error_N1 * rows_N2
        mean_2 = gradients_N2.mean(0)
        one_day = (gradients_N2 - mean_2).square().sum(1).mean()
        shares.append(float((drawn_K2[k] - mean_2).square().sum() / one_day))
    return float(np.mean(shares)), (days - size) / (days - 1) / size
