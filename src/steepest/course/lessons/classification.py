"""Predicts classes: two rings that a net separates and a line does not, and the direction of tomorrow's price."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run, sweep_runs
from steepest.observe.figures import BLUE, ORANGE

MAX_OF_A_LINE, MIN_OF_A_NET = 0.60, 0.97
FIELD = 2.3  # half the width of the picture of the rings


def teach(folder: Path) -> Finding:
    """Does the net separate the rings while the line does not, and how well do both predict up and down?"""
    runs: dict[tuple[bool, str], Run] = {}
    for run in sweep_runs(folder):
        runs[run.windows.ordered, "net" if run.asked("model", "hidden") else "line"] = run
    accuracy = {key: float(run.metrics["test"][_score(run)]) for key, run in runs.items()}
    tables = {key: _confusion(run) for key, run in runs.items()}
    majority = float(runs[True, "line"].metrics["baselines"]["majority"]["test"]["directional_accuracy"])

    figure = Figure(figsize=(11, 8), layout="constrained")
    rows = figure.subplots(2, 2, height_ratios=[1.8, 1])
    for axes, kind in zip(rows[0], ("line", "net"), strict=True):
        _surface(axes, runs[False, kind])
        axes.set_title(f"Rings, {_called(kind)}: {accuracy[False, kind]:.1%} right")
    for axes, kind in zip(rows[1], ("line", "net"), strict=True):
        table_22 = tables[True, kind]
        axes.imshow(table_22, cmap="Blues", vmin=0, vmax=table_22.sum(), aspect="auto")
        for actual in (0, 1):
            for predicted in (0, 1):
                axes.text(predicted, actual, f"{table_22[actual, predicted]}", ha="center", va="center", fontsize=16)
        axes.set_xticks([0, 1], ["predicted: down", "predicted: up"])
        axes.set_yticks([0, 1], ["actual: down", "actual: up"])
        axes.set_title(f"Tomorrow, {_called(kind)}: {accuracy[True, kind]:.1%} right (always 'up': {majority:.1%})")
    beaten = [kind for kind in ("line", "net") if runs[True, kind].metrics["beat_reference"]]
    return Finding(
        f"On the rings, the line is right for {accuracy[False, 'line']:.1%} of the rows, the net for "
        f"{accuracy[False, 'net']:.1%}. For tomorrow's direction, the line is right on {accuracy[True, 'line']:.1%} of "
        f"the days, the net on {accuracy[True, 'net']:.1%}, and the majority class on {majority:.1%}.",
        {
            f"on the rings, the line is right for at most {MAX_OF_A_LINE:.0%}": accuracy[False, "line"]
            <= MAX_OF_A_LINE,
            f"on the rings, the net is right for at least {MIN_OF_A_NET:.0%}": accuracy[False, "net"] >= MIN_OF_A_NET,
            "the confusion matrices give the same four accuracies as the record": all(
                abs(np.trace(tables[key]) / tables[key].sum() - accuracy[key]) < 1e-12 for key in runs
            ),
            "a model that beat the majority class, by the record, is right on more days": all(
                accuracy[True, kind] > majority for kind in beaten
            ),
        },
        figure,
        {
            "accuracy": {("tomorrow " if day else "rings ") + kind: value for (day, kind), value in accuracy.items()},
            "majority": majority,
            "days": int(tables[True, "net"].sum()),
            "rows": int(tables[False, "net"].sum()),
            "net": tables[True, "net"].tolist(),
            "beaten": beaten,
        },
    )


def _score(run: Run) -> str:
    return "directional_accuracy" if run.windows.ordered else "accuracy"


def _called(kind: str) -> str:
    return "by a line" if kind == "line" else "by a two-layer net"


def _confusion(run: Run) -> np.ndarray:
    """Counts of the test part: actual class (rows), predicted class (columns)."""
    table = pd.read_csv(run.folder / "predictions.csv")
    table = table[table["part"] == "test"]
    actual, chance = ("up", "probability_up") if "up" in table else ("class", "probability")
    found_22 = np.zeros((2, 2), dtype=int)
    np.add.at(found_22, (table[actual].to_numpy(), (table[chance] > 0.5).to_numpy().astype(int)), 1)
    return found_22


def _surface(axes: Axes, run: Run) -> None:
    """Draw the probability of the ring at every point, and the points of the test part on it."""
    side_G = np.linspace(-FIELD, FIELD, 201)
    x1_GG, x2_GG = np.meshgrid(side_G, side_G)
    logits_M2 = run.outputs(np.stack([x1_GG.ravel(), x2_GG.ravel()], 1), "best")
    chance_GG = (1 / (1 + np.exp(logits_M2[:, 0] - logits_M2[:, 1]))).reshape(x1_GG.shape)
    shown = axes.contourf(x1_GG, x2_GG, chance_GG, np.linspace(0, 1, 21), cmap="PuOr_r", alpha=0.75)
    axes.contour(x1_GG, x2_GG, chance_GG, [0.5], colors="black", linewidths=1.5)
    x_T2, y_T = run.rows()
    part = run.windows.parts["test"]
    rows = slice(int(part.first_S[0]), int(part.first_S[0] + part.count_S[0]))
    for kind, colour, name in ((0, BLUE, "disc"), (1, ORANGE, "ring")):
        chosen = y_T[rows] == kind
        axes.plot(*x_T2[rows][chosen].T, "o", color=colour, mec="white", ms=5, label=name)
    axes.figure.colorbar(shown, ax=axes, label="probability of 'ring'", ticks=[0, 0.5, 1], fraction=0.046, pad=0.03)
    axes.set(xlabel="x1", ylabel="x2", aspect="equal")
    axes.legend(loc="upper right", fontsize=9)
