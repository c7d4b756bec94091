"""Forward, backward and update of a two-layer net with every number, update by update, compared with autograd."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.diagram import draw_frame
from steepest.course.lesson import Finding, save_frame
from steepest.course.runs import Run
from steepest.nets.worked import Example, ExampleLayer, Worked

EXACT = 1e-12
FIRST, LATER = 10, 15  # frames of the moving picture: the first updates, then evenly spaced later ones


def teach(folder: Path) -> Finding:
    """Do the numbers computed by hand equal autograd's at every update, and do they reproduce the run?"""
    run = Run(folder)
    layers = [(W.detach().double(), b.detach().double()) for W, b in run.net("start").layers()]
    steps: list[Worked] = []
    for batch in run.batches():
        (W1, b1), (W2, b2) = [(W.tolist(), b.tolist()) for W, b in layers]
        example = Example(
            inputs=batch.x_ND.tolist(),
            targets=batch.y_NH.tolist(),
            step=float(run.asked("optimizer", "lr")),
            layers=[ExampleLayer(W=W1, b=b1, activation="sigmoid"), ExampleLayer(W=W2, b=b2, activation="identity")],
        )
        steps.append(Worked(example))
        layers = steps[-1].after
    path_KP = np.array([_flat(step.own) for step in steps] + [_flat(layers)])
    autograd = max(step.autograd_gap for step in steps)
    end = float(np.abs(path_KP[-1] - run.end().numpy()).max())
    between = float(np.abs(path_KP - run.path()).max())
    surface = run.surface()
    losses_K = surface.losses(torch.tensor(path_KP)).numpy()

    later = np.linspace(FIRST, len(steps) - 1, LATER).astype(int).tolist()
    frames = [*range(FIRST), *later]
    for narrow, size, dpi in ((True, (4.3, 8.2), 160), (False, (10, 7), 100)):
        figure = Figure(figsize=size, layout="constrained")
        for number, k in enumerate(frames):
            draw_frame(figure, surface, steps, losses_K, k)
            save_frame(figure, folder, number, narrow=narrow, dpi=dpi)
        draw_frame(figure, surface, steps, losses_K, 0)
    first = steps[0]
    return Finding(
        f"{len(steps)} updates, computed number by number: the gradients differ from autograd's by at most "
        f"{autograd:.0g}, and the parameters at the end from the run's by {end:.0g}. The loss fell from "
        f"{losses_K[0]:.3f} to {losses_K[-1]:.4f}.",
        {
            f"at all {len(steps)} updates, the gradients by hand equal autograd's": autograd < EXACT,
            "the updates by hand end at the run's parameters": end < EXACT,
            "they have the run's parameters after every update (stored in single precision)": between < 1e-6,
            "the loss is lower at the end": bool(losses_K[-1] < losses_K[0]),
        },
        figure,
        {
            "updates": len(steps),
            "points": len(surface.x_ND),
            "rate": first.example.step,
            "x": float(first.x[0, 0]),
            "target": float(first.y[0, 0]),
            "z": first.trace.z[0][0].tolist(),
            "a": first.trace.a[1][0].tolist(),
            "y": float(first.trace.a[2][0, 0]),
            "loss": float(first.loss),
            "slope": float(first.errors[1][0, 0]),
            "c": first.own[1][0][0].tolist(),
            "slope_c": first.gradients[1][0][0].tolist(),
            "slope_z": first.errors[0][0].tolist(),
            "slope_w": first.gradients[0][0][:, 0].tolist(),
            "after": float(first.loss_after),
            "losses": [float(losses_K[0]), float(losses_K[-1])],
            "autograd": autograd,
        },
        frames=len(frames),
    )


def _flat(layers: list) -> np.ndarray:
    return torch.cat([part.flatten() for layer in layers for part in layer]).numpy()
