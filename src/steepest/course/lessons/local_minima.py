"""Where many starts end (local minimum, saddle, plateau), and how often a local minimum is the problem."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run, sweep_runs
from steepest.evaluate.baselines import least_squares
from steepest.observe.figures import BLACK, BLUE, GREEN, RED, finish

COLOURS = {"local minimum": RED, "saddle": BLACK, "plateau": BLUE, "not there yet": "#999999"}
MUCH = 2.0  # a local minimum with more than this times the best start's loss is a bad one
SAME = 1e-6  # tolerance of eigenvalues, relative to the largest, and of the final parameters of the line


def teach(folder: Path) -> Finding:
    """Where do the runs end, does the exact Hessian agree, and do all lines end in the same place?"""
    nets: dict[str, list[Run]] = {}
    for run in sweep_runs(folder):
        hidden = run.asked("model", "hidden")
        nets.setdefault(f"{hidden[0]} sigmoids" if hidden else "line", []).append(run)
    losses = {name: np.array([run.metrics["train"]["mse_scaled"] for run in runs]) for name, runs in nets.items()}
    verdicts = {name: [_verdict(run) for run in runs] for name, runs in nets.items()}
    counts = {name: Counter(found) for name, found in verdicts.items()}
    stuck = {
        name: sum(
            v == "local minimum" and bool(loss > MUCH * losses[name].min())
            for v, loss in zip(found, losses[name], strict=True)
        )
        for name, found in verdicts.items()
    }
    ends_RP = torch.stack([run.end() for run in nets["line"]])
    exact_P = least_squares(nets["line"][0].windows).flatten().double()

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for column, name in enumerate(nets):
        order = np.argsort(losses[name])
        across = column + np.linspace(-0.3, 0.3, len(order))
        for x, i in zip(across, order, strict=True):
            left.plot(x, losses[name][i], "o", color=COLOURS[verdicts[name][i]], ms=7, alpha=0.8)
    for word, colour in COLOURS.items():
        left.plot([], [], "o", color=colour, label=f"{word}: {sum(c[word] for c in counts.values())}")
    left.set_xticks(range(len(nets)), list(nets))
    left.set(ylabel="loss at the end", yscale="log", title=f"The ends of {len(nets['line'])} starts each, best first")
    finish(left)
    small = next(name for name in nets if name != "line")
    bad = [i for i, v in enumerate(verdicts[small]) if v == "local minimum"]
    shown = [("line", 0, "#999999", "the line"), (small, int(losses[small].argmin()), GREEN, f"{small}: the best end")]
    if bad:
        worst = max(bad, key=lambda i: float(losses[small][i]))
        shown.append((small, worst, RED, f"{small}: a local minimum"))
    x_T1, y_T = nets["line"][0].rows()
    x_M = np.linspace(x_T1.min(), x_T1.max(), 400)
    right.plot(x_T1[:, 0], y_T, ".", color="black", ms=5, label="points")
    for name, i, colour, label in shown:
        right.plot(
            x_M,
            nets[name][i].outputs(x_M[:, None])[:, 0],
            color=colour,
            lw=2,
            label=f"{label}, loss {losses[name][i]:.2f}",
        )
    right.set(xlabel="x", ylabel="y", title="Some of the fits")
    finish(right)
    right.legend(fontsize=9, loc="upper center", ncols=2)
    right.set_ylim(y_T.min() - 0.2, y_T.max() + 0.9)
    gap = max(run.ending_gap() for runs in nets.values() for run in runs)
    return Finding(
        f"Of {len(nets['line'])} starts each, these ended at a local minimum with more than twice the best loss: "
        + ", ".join(f"{count} ({name})" for name, count in stuck.items())
        + ".",
        {
            f"gradient and Hessian at every end equal autograd's (largest difference {gap:.0e})": gap < SAME,
            "all lines end in the same place, that of least squares": bool((ends_RP - exact_P).abs().max() < SAME),
            "all lines end at a local minimum": counts["line"] == {"local minimum": len(nets["line"])},
        },
        figure,
        {
            "starts": len(nets["line"]),
            "counts": {name: {word: found[word] for word in COLOURS} for name, found in counts.items()},
            "stuck": stuck,
            "best": {name: float(found.min()) for name, found in losses.items()},
            "worst": {name: float(found.max()) for name, found in losses.items()},
        },
    )


def _verdict(run: Run) -> str:
    verdict = str(run.metrics["critical"]["verdict"])
    return "not there yet" if verdict.startswith("not critical") else verdict
