"""Step sizes below and above the stability limit 2 / lambda_max on the price line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run, sweep_runs
from steepest.nets.curvature import exact_spectrum
from steepest.observe import landscape
from steepest.observe.figures import BLUE, GREEN, ORANGE, RED, finish

SHOWN = 9  # points of the zigzag
FIRST = 120  # updates to draw: with good step sizes, later ones change nothing


def teach(folder: Path) -> Finding:
    """Do runs below the limit converge, and is the divergence of runs above it detected?"""
    runs = sweep_runs(folder, finished=False)
    rates = [float(run.asked("optimizer", "lr")) for run in runs]
    surface = runs[0].surface()
    limit = 2 / exact_spectrum(surface.hessian(runs[0].end())).largest
    below = [run for run, rate in zip(runs, rates, strict=True) if rate < limit]
    above = [run for run, rate in zip(runs, rates, strict=True) if rate > limit]
    losses = [landscape.losses(surface, torch.tensor(run.path())).numpy() for run in runs]

    lowest = min(float(loss_K[-1]) for loss_K in losses)

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
    colours = [BLUE, GREEN, ORANGE, RED]
    for run, rate, loss_K, colour in zip(runs, rates, losses, colours, strict=False):
        end = "" if run.status == "finished" else ": diverged"
        left.plot(np.arange(len(loss_K)), loss_K, color=colour, lw=1.8, label=f"step size {rate:g}{end}")
    left.set(
        xlabel="updates", ylabel="loss", yscale="log", ylim=(5e-4, 1e3), title=f"The loss at the first {FIRST} updates"
    )
    left.set_xlim(0, FIRST)
    finish(left)
    # The a of the lowest point, and a range of b: along b the loss is a parabola.
    best_P = min(zip(runs, losses, strict=True), key=lambda pair: pair[1][-1])[0].end()
    paths = [run.path()[:SHOWN, 1] - float(best_P[1]) for run in runs]
    widest = 1.1 * max(float(np.abs(path).max()) for path in paths)
    b_G = np.linspace(-widest, widest, 200)
    valley = landscape.losses(surface, torch.stack([best_P[0].expand(200), best_P[1] + torch.tensor(b_G)], 1)).numpy()
    right.plot(b_G, valley, color="#999999", lw=1, label="the loss along b")
    for b_K, rate, colour in list(zip(paths, rates, colours, strict=False))[1:]:
        right.plot(b_K, np.interp(b_K, b_G, valley), ".-", color=colour, lw=1, label=f"step size {rate:g}")
    right.set(xlabel="b minus its best value", ylabel="loss", title=f"The first {SHOWN - 1} updates along b")
    finish(right)
    ends = {f"{rate:g}": float(loss_K[-1]) for rate, loss_K in zip(rates, losses, strict=True)}
    return Finding(
        f"The largest curvature of this loss is {2 / limit:.4f}, so step sizes must be below {limit:.4f}: "
        + ", ".join(
            f"{rate:g} {_word(run, loss_K[-1] / lowest)}" for run, rate, loss_K in zip(runs, rates, losses, strict=True)
        )
        + ".",
        {
            f"below {limit:.4f}, the loss at the end is lower than at the start": all(
                run.status == "finished" and loss_K[-1] < loss_K[0]
                for run, loss_K in zip(runs, losses, strict=True)
                if run in below
            ),
            f"above {limit:.4f}, the run diverges and stops, and its record says so": bool(above)
            and all(run.status == "failed" and "diverged" in run.record["stop_reason"] for run in above),
        },
        figure,
        {
            "limit": limit,
            "curvature": 2 / limit,
            "rates": rates,
            "ends": ends,
            "updates": max(len(loss_K) for loss_K in losses) - 1,
            "reason": above[0].record["stop_reason"] if above else "",
        },
    )


def _word(run: Run, share: float) -> str:
    if run.status != "finished":
        return "diverges"
    return "converges" if share < 1.01 else f"has not converged yet ({share:.0f} times the lowest loss)"
