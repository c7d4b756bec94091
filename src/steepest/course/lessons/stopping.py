"""One descent, ended by three rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import sweep_runs
from steepest.observe import landscape
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

RULES = {"Epochs": "epochs", "Threshold": "threshold", "Stationary": "stationary"}  # class -> its name in the record


def teach(folder: Path) -> Finding:
    """Does each run end by its own rule, and are the runs the same descent until then?"""
    runs = sweep_runs(folder)
    kinds = [run.checked.groups["stop"].target.__name__ for run in runs]
    reasons = [str(run.metrics["stop_reason"]) for run in runs]
    updates = [int(run.metrics["updates"]) for run in runs]
    paths = [run.path() for run in runs]
    longest = max(paths, key=len)
    surface = runs[0].surface()
    losses_K = landscape.losses(surface, torch.tensor(longest)).numpy()
    norms_K = np.array([float(surface.gradient(theta_P).norm()) for theta_P in torch.tensor(longest)])

    figure = Figure(figsize=(10, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, values_K, name in ((above, losses_K, "loss"), (below, norms_K, "steepness (norm of the gradient)")):
        axes.plot(values_K, color=BLACK, lw=1)
        axes.set(ylabel=name, yscale="log")
        for colour, reason, count in zip((BLUE, GREEN, ORANGE), reasons, updates, strict=True):
            axes.plot(count, values_K[count], "o", color=colour, ms=10, label=reason)
    above.set(title="One descent, and where each rule ends it")
    finish(above)
    below.set(xlabel="updates")
    below.grid(alpha=0.25)
    same = all(np.array_equal(path, longest[: len(path)]) for path in paths)
    numbers = {
        kind: {"reason": r, "updates": u, "loss": float(losses_K[u]), "norm": float(norms_K[u])}
        for kind, r, u in zip(kinds, reasons, updates, strict=True)
    }
    return Finding(
        "Three rules ended three runs from one start: "
        + "; ".join(f"{reason} (update {count})" for reason, count in zip(reasons, updates, strict=True))
        + ".",
        {
            "each run ended by its own rule, and its record says which": sorted(kinds) == sorted(RULES)
            and all(reason.startswith(RULES[kind]) for kind, reason in zip(kinds, reasons, strict=True)),
            "until their ends, all three runs had the same parameters after the same updates": same,
        },
        figure,
        numbers | {"least": float(losses_K[-1])},
    )
