"""Gradient descent that starts on a saddle does not move. A step along the negative eigenvector leaves the saddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run
from steepest.evaluate.baselines import least_squares
from steepest.observe import landscape
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, RED, finish

NEAR_SADDLE = 0.05  # distance up to which the second-order approximation of the loss holds


def teach(folder: Path) -> Finding:
    """Does the saddle have the known eigenvalues, does descent stay, and does it escape as theory predicts?

    The model is y = w2 (w1 x + b1) + b2, with x and y of mean 0, deviation 1 and correlation rho. At 0 the loss is 1,
    its gradient is 0, and its second derivatives are 2 in b2, -2 rho between w1 and w2, and 0 elsewhere. So the
    eigenvalues are 2, 2 rho, 0 and -2 rho.
    """
    run = Run(folder)
    surface, path_KP = run.surface(), run.path()
    start_P, rate = torch.tensor(path_KP[0]), float(run.asked("optimizer", "lr"))
    rho = float(np.corrcoef(surface.x_ND[:, 0], surface.y_NH[:, 0])[0, 1])
    known_4 = np.sort([-2 * rho, 0.0, 2 * rho, 2.0])
    values_4, vectors_44 = torch.linalg.eigh(surface.hessian(start_P))
    (escape,) = run.metrics["escapes"]
    left = int(escape["update"])

    losses_K = landscape.losses(surface, torch.tensor(path_KP)).numpy()
    norms_K = np.array([float(surface.gradient(theta_P).norm()) for theta_P in torch.tensor(path_KP)])
    along_K = np.abs((path_KP - path_KP[0]) @ vectors_44[:, 0].numpy())
    near = left + np.flatnonzero((along_K[left:-1] > 0) & (along_K[left:-1] < NEAR_SADDLE))
    growth, theory = float(np.mean(along_K[near + 1] / along_K[near])), 1 + rate * 2 * rho
    line_12 = least_squares(run.windows).flatten().double()
    rows_N2 = torch.cat([surface.x_ND, torch.ones_like(surface.x_ND)], 1)
    lowest = float((rows_N2 @ line_12 - surface.y_NH[:, 0]).square().mean())

    figure = Figure(figsize=(13, 5), layout="constrained")
    contour, curve = figure.subplots(1, 2)
    axis_G = np.linspace(-1.5, 1.5, 81)
    w1_4, w2_4 = torch.eye(4, dtype=torch.float64)[[0, 2]]
    grid = landscape.plane(surface, torch.zeros(4, dtype=torch.float64), [w1_4, w2_4], axis_G, axis_G)
    landscape.contours(figure, contour, grid, "loss")
    arrow = vectors_44[[0, 2], 0].numpy() * 0.9 * np.sign(vectors_44[0, 0].item())
    for sign in (1, -1):
        contour.annotate("", sign * arrow, (0, 0), arrowprops={"arrowstyle": "->", "color": RED, "lw": 1.5})
    contour.plot([], [], color=RED, label="downward: the negative eigenvector")
    contour.plot(path_KP[:, 0], path_KP[:, 2], ".-", color=ORANGE, label="the way out")
    contour.plot(0, 0, "o", color=BLACK, ms=9, label=f"the saddle: {left} updates at this point")
    contour.plot(path_KP[-1, 0], path_KP[-1, 2], "*", color=GREEN, ms=16, mec="white", label="the end")
    contour.set(xlabel="w1", ylabel="w2", title="The loss over both weights")
    finish(contour, solid=True)
    updates = np.arange(len(path_KP))
    curve.plot(updates, losses_K, color=BLUE, label="loss")
    curve.plot(updates, np.maximum(norms_K, 1e-17), color=ORANGE, label="steepness (norm of the gradient)")
    curve.plot(updates[left:], along_K[left:], color=GREEN, label="distance from the saddle, along the eigenvector")
    curve.plot(
        near + 1,
        escape["length"] * theory ** (near - left + 1.0),
        "--",
        color=BLACK,
        lw=1,
        label=f"theory: times {theory:.4f} an update",
    )
    curve.axvline(left, color="#999999", ls=":", lw=1)
    curve.set(xlabel="updates", yscale="log", title="Stay, push, descent", xlim=(0, min(len(updates), 4 * left)))
    finish(curve)
    eigenvalues = ", ".join(f"{round(value, 4) + 0:.4f}" for value in values_4.tolist())
    return Finding(
        f"At the saddle, the eigenvalues are {eigenvalues}. Gradient descent stayed for {left} updates. After a step "
        f"of {escape['length']:g} along the negative one's eigenvector, the loss fell from {losses_K[0]:.4f} to "
        f"{losses_K[-1]:.4f}.",
        {
            f"the eigenvalues are -2 rho, 0, 2 rho and 2, with the data's correlation rho = {rho:.4f}": bool(
                np.allclose(values_4, known_4, atol=1e-9)
            ),
            f"the gradient there is zero, and descent does not move in {left} updates": bool(
                norms_K[:left].max() < 1e-12 and np.abs(path_KP[:left]).max() < 1e-12
            ),
            f"near it, each update multiplies the distance by 1 + step size * 2 rho = {theory:.4f} "
            f"(measured: {growth:.4f})": abs(growth / theory - 1) < 1e-3,
            f"the run reached the loss of the best line, {lowest:.6f}": abs(losses_K[-1] - lowest) < 1e-6,
        },
        figure,
        {
            "eigenvalues": values_4.tolist(),
            "left": left,
            "length": escape["length"],
            "growth": growth,
            "loss_end": float(losses_K[-1]),
            "out": int(np.argmax(losses_K < 0.5)) - left,
        },
    )
