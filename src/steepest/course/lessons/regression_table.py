"""Plain regression on rows, compared with certified coefficients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run
from steepest.observe.figures import BLUE, ORANGE, finish

# NIST Statistical Reference Datasets, linear regression, Norris: the certified values.
B0, B1, SQUARES = -0.262323073774029, 1.00211681802045, 26.6173985294224
NEAR = 1e-9  # relative tolerance


def teach(folder: Path) -> Finding:
    """Does gradient descent find the certified line?"""
    run = Run(folder)
    windows, surface = run.windows, run.surface()
    x_T1, y_T = run.rows()
    x_T = x_T1[:, 0]

    def line(theta_P: torch.Tensor) -> np.ndarray:
        """(B0, B1) of y = B0 + B1 x, from the parameters of the scaled columns."""
        scale = float(windows.scale_S[0])
        slope = float(theta_P[0]) * scale / float(windows.input_scale_SF[0, 0])
        return np.array(
            [float(theta_P[1]) * scale + float(windows.mean_S[0]) - slope * float(windows.input_mean_SF[0, 0]), slope]
        )

    # A run stores its curves in single precision, so this repeats its updates to see all digits.
    theta_P = torch.cat([p.detach().flatten() for p in run.predictor("start").parameters()])
    lines_K2 = [line(theta_P)]
    for _ in range(int(run.metrics["updates"])):
        theta_P = theta_P - run.asked("optimizer", "lr") * surface.gradient(theta_P)
        lines_K2.append(line(theta_P))
    found = line(run.end())
    gaps = np.abs(found / [B0, B1] - 1)
    residuals_T = y_T - found[0] - found[1] * x_T
    squares = float(residuals_T @ residuals_T)

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    ends = np.array([x_T.min(), x_T.max()])
    left.plot(ends, found[0] + found[1] * ends, color=ORANGE, lw=2, label=f"y = {found[1]:.6f} x - {-found[0]:.6f}")
    left.plot(x_T, y_T, "o", color=BLUE, ms=4, label="measured")
    left.set(xlabel="x: ozone by the standard instrument", ylabel="y: by the customer's", title="The learned line")
    finish(left)
    middle.axhline(0, color=ORANGE, lw=2)
    middle.plot(x_T, residuals_T, "o", color=BLUE, ms=4)
    middle.set(xlabel="x", ylabel="y - line", title="Residuals, enlarged")
    middle.grid(alpha=0.25)
    digits_K2 = -np.log10(np.maximum(np.abs(np.array(lines_K2) / [B0, B1] - 1), 1e-16))
    right.plot(digits_K2[:, 1], color=BLUE, label="slope")
    right.plot(digits_K2[:, 0], color=ORANGE, label="constant")
    right.set(xlabel="updates", ylabel="correct digits", title="Number of correct digits")
    finish(right)
    return Finding(
        f"Gradient descent found y = {found[1]:.12f} x {found[0]:+.12f}; the certified values are {B1:.12f} and "
        f"{B0:.12f}.",
        {
            f"both coefficients equal the certified ones within {gaps.max():.1e}": bool(gaps.max() < NEAR),
            f"so does the sum of squared residuals, {squares:.9f}": abs(squares / SQUARES - 1) < NEAR,
            "the repeated updates end where the run ended": bool(np.allclose(lines_K2[-1], found, rtol=NEAR, atol=0)),
        },
        figure,
        {
            "found": list(found),
            "certified": [B0, B1],
            "squares": squares,
            "certified_squares": SQUARES,
            "rows": len(y_T),
            "updates": len(lines_K2) - 1,
            "digits": float(digits_K2[-1].min()),
        },
    )
