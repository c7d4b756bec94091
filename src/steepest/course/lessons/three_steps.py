"""Three steps on the price line: the function, its loss as a landscape, the path to the minimum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run
from steepest.evaluate.baselines import least_squares
from steepest.observe import landscape
from steepest.observe.figures import BLACK, BLUE, ORANGE, finish

NEAR = 1e-5  # tolerance to the closed form; curves store parameters (for scaled prices) in single precision


def teach(folder: Path) -> Finding:
    """Does gradient descent reach the line of the closed form?"""
    run = Run(folder)
    windows, surface, path_K2 = run.windows, run.surface(), run.path()
    exact = least_squares(windows).flatten().numpy()
    mean, scale = float(windows.mean_S[0]), float(windows.scale_S[0])

    def in_prices(theta: np.ndarray) -> tuple[float, float]:
        """(a, b) of tomorrow = a * today + b."""
        return float(theta[0]), float(theta[1]) * scale + mean - float(theta[0]) * mean

    losses_K = landscape.losses(surface, torch.tensor(path_K2)).numpy()
    gap, (a, b) = float(np.abs(path_K2[-1] - exact).max()), in_prices(path_K2[-1])
    share = run.metrics["test"]["rmse"] / run.metrics["baselines"]["persistence"]["test"]["rmse"]

    figure = Figure(figsize=(12, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    x_N = surface.x_ND[:, 0].numpy() * scale + mean
    left.plot(x_N, surface.y_NH[:, 0].numpy() * scale + mean, ".", ms=2, color="#999999", label="one day and the next")
    ends = np.array([x_N.min(), x_N.max()])
    for k, colour in ((0, BLUE), (5, "#56B4E9"), (len(path_K2) - 1, ORANGE)):
        slope, start = in_prices(path_K2[k])
        left.plot(
            ends, slope * ends + start, color=colour, lw=2, label=f"after {k} updates: a = {slope:.3f}, b = {start:.1f}"
        )
    left.set(xlabel="price today", ylabel="price tomorrow", title="Step 1: a function with two unknowns, a and b")
    finish(left)
    u_G, v_G = (landscape.span(path_K2[:, i], exact[i : i + 1], points=81) for i in (0, 1))
    grid = landscape.plane(surface, torch.zeros(2, dtype=torch.float64), [*torch.eye(2, dtype=torch.float64)], u_G, v_G)
    landscape.contours(figure, right, grid, "step 2: the loss of every pair (a, b)")
    right.plot(*path_K2.T, ".-", color=ORANGE, ms=5, lw=1.2, label="step 3: the path down")
    right.plot(*exact, "*", color="#D55E00", ms=16, mec="white", label="the lowest point, computed directly")
    right.plot(*path_K2[0], "o", color=BLACK, label="start: a and b drawn at random")
    right.set(
        xlabel="a (scaled prices)",
        ylabel="b (scaled prices)",
        title="Steps 2 and 3: the loss, and the path to the minimum",
    )
    finish(right, solid=True)
    return Finding(
        f"After {len(path_K2) - 1} updates, the line is tomorrow = {a:.4f} * today + {b:.2f}. "
        f"The loss fell from {losses_K[0]:.3g} to {losses_K[-1]:.3g}.",
        {
            f"it equals the line of the closed form within {NEAR:g} (largest difference {gap:.1g})": gap < NEAR,
            "the loss fell at every update": bool((np.diff(losses_K) <= 1e-9).all()),
        },
        figure,
        {
            "updates": len(path_K2) - 1,
            "days": len(surface.x_ND),
            "gap": gap,
            "lr": run.asked("optimizer", "lr"),
            "error_to_persistence": share,
        },
    )
