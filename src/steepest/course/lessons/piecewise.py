"""A curve as a constant and a sum of pieces: the error against the number of pieces, for sigmoids and relus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run, sweep_runs
from steepest.nets.networks import forward
from steepest.observe.figures import BLUE, ORANGE, finish

COLOURS = {"sigmoid": BLUE, "relu": ORANGE}
SHOWN = (3, 10, 100)


def teach(folder: Path) -> Finding:
    """Does the error fall whenever the number of pieces rises, and do the pieces add up to the fit?"""
    runs = sweep_runs(folder)
    best: dict[tuple[str, int], tuple[float, Run]] = {}
    for run in runs:
        key, error = (
            (str(run.asked("model", "activation")), int(run.asked("model", "hidden")[0])),
            run.metrics["train"]["rmse"],
        )
        if key not in best or error < best[key][0]:
            best[key] = (error, run)
    kinds = list(dict.fromkeys(kind for kind, _ in best))
    counts = sorted({count for _, count in best})

    figure = Figure(figsize=(13, 7), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 1.5])[0]
    axes = left.subplots()
    for run in runs:
        axes.plot(
            run.asked("model", "hidden")[0],
            run.metrics["train"]["rmse"],
            ".",
            color=COLOURS[run.asked("model", "activation")],
            alpha=0.4,
        )
    for kind in kinds:
        axes.plot(
            counts,
            [best[kind, n][0] for n in counts],
            "o-",
            color=COLOURS[kind],
            label=f"{kind}: the best of its starts",
        )
    axes.set(
        xlabel="pieces", ylabel="error (root mean square)", xscale="log", yscale="log", title="More pieces, less error"
    )
    finish(axes)
    gaps = []
    shown = [n for n in SHOWN if n in counts]
    for row, kind in zip(right.subplots(len(kinds), len(shown), sharex=True, sharey=True), kinds, strict=True):
        for one, count in zip(row, shown, strict=True):
            x_M, fit_M, parts_MH, constant, gap = _pieces(best[kind, count][1])
            gaps.append(gap)
            x_T1, y_T = best[kind, count][1].rows()
            one.plot(x_T1[:, 0], y_T, ".", color="#999999", ms=3)
            one.plot(x_M, parts_MH + constant, color=COLOURS[kind], lw=0.5, alpha=0.35)
            one.plot(x_M, fit_M, color=COLOURS[kind], lw=2)
            one.set(title=f"{count} {kind}s: error {best[kind, count][0]:.2g}", ylim=(-3, 4))
            one.grid(alpha=0.25)
    errors = {kind: [best[kind, n][0] for n in counts] for kind in kinds}
    return Finding(
        "; ".join(
            f"{kind}s: error {', '.join(f'{e:.2g}' for e in errors[kind])} with {', '.join(map(str, counts))} pieces"
            for kind in kinds
        )
        + ".",
        {f"more {kind}s always give a smaller error": all(np.diff(errors[kind]) < 0) for kind in kinds}
        | {f"the constant and the pieces add up to the fit (largest difference {max(gaps):.1g})": max(gaps) < 1e-9},
        figure,
        {"counts": counts, "errors": errors, "gap": max(gaps), "starts": len(runs) // len(best)},
    )


def _pieces(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Return x (M,), the fit (M,), its pieces (M, H) and the constant in the data's units, and the largest difference.

    This is the difference between the fit and the sum of the constant and all pieces.
    """
    windows, network = run.windows, run.net()
    mean, scale = float(windows.mean_S[0]), float(windows.scale_S[0])
    x_T1, _ = run.rows()
    x_M = np.linspace(x_T1.min(), x_T1.max(), 400)
    layers = [(W.detach(), b.detach()) for W, b in network.layers()]
    trace = forward(run.scaled(x_M[:, None]), layers, network.activations)
    W2_1H, b2_1 = layers[1]
    parts_MH = (trace.a[1] * W2_1H).numpy() * scale
    constant, fit_M = float(b2_1) * scale + mean, trace.a[2][:, 0].numpy() * scale + mean
    return x_M, fit_M, parts_MH, constant, float(np.abs(parts_MH.sum(1) + constant - fit_M).max())
