"""One hard sigmoid is two relus: the same function, with the same gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from steepest.course.lesson import Finding
from steepest.course.runs import Run, network_by
from steepest.nets.networks import MLP
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

PRECISION = 1e-14  # rounding of numbers around 1 in double precision, after a dozen operations


def teach(folder: Path) -> Finding:
    """Are the trained unit and its two relus equal, as functions of x and in the gradient of every parameter?"""
    run = Run(folder)
    surface, network = run.surface(), run.predictor().network
    assert isinstance(network, MLP)
    twin = MLP(1, [2], 1, activation="relu").double()
    theta_P = run.end()
    x_T1, y_T = run.rows()
    x_M = np.linspace(x_T1.min() - 1, x_T1.max() + 1, 1001)
    x_M1 = run.scaled(x_M[:, None]).requires_grad_()

    values = [network_by(network, theta_P, x_M1), network_by(twin, _relus(theta_P), x_M1)]
    slopes = [torch.autograd.grad(y_M1.sum(), x_M1)[0] for y_M1 in values]
    start_P = torch.cat([p.detach().flatten() for p in run.predictor("start").parameters()])
    gradients = {
        when: [
            torch.func.grad(lambda p: surface.loss(network_by(network, p, surface.x_ND), surface.y_NH))(theta_P),
            torch.func.grad(lambda p: surface.loss(network_by(twin, _relus(p), surface.x_ND), surface.y_NH))(theta_P),
        ]
        for when, theta_P in (("start", start_P), ("end", theta_P))
    }
    gaps = {
        "values": float((values[0] - values[1]).detach().abs().max()),
        "slopes": float((slopes[0] - slopes[1]).abs().max()),
        "gradients": max(float((one_P - two_P).abs().max()) for one_P, two_P in gradients.values()),
    }

    w, b, c, constant = theta_P.tolist()
    W1_2, b1_2, W2_2, _ = _relus(theta_P).split([2, 2, 2, 1])
    scale, mean = float(run.windows.scale_S[0]), float(run.windows.mean_S[0])
    shift, stretch = float(run.windows.input_mean_SF[0, 0]), float(run.windows.input_scale_SF[0, 0])
    parts_M2 = (torch.relu(x_M1.detach() * W1_2 + b1_2) * W2_2).numpy() * scale
    bends = [float((z - b) / w * stretch + shift) for z in (-3, 3)]
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.plot(x_T1[:, 0], y_T, ".", color="#999999", label="points to learn from")
    left.plot(x_M, values[0].detach()[:, 0].numpy() * scale + mean, color=BLUE, lw=2, label="one hard sigmoid")
    left.plot(x_M, values[1].detach()[:, 0].numpy() * scale + mean, "--", color=ORANGE, lw=2, label="its two relus")
    left.set(xlabel="x", ylabel="y", title="The same function")
    level = constant * scale + mean
    for part_M, colour, name in zip(
        parts_M2.T, (GREEN, ORANGE), ("first relu: up from here", "second relu: down from here"), strict=True
    ):
        middle.plot(x_M, part_M + level, color=colour, lw=1.5, label=name)
    middle.plot(x_M, parts_M2.sum(1) + level, color=BLACK, lw=2.2, label="their sum")
    for bend in bends:
        middle.axvline(bend, color="#999999", lw=0.8, ls=":")
    middle.set(xlabel="x", title="Two relus and the constant", ylim=(y_T.min() - 1.2, y_T.max() + 1.7))
    slots = np.arange(4)
    for k, (gradient, colour, name) in enumerate(
        zip(gradients["start"], (BLUE, ORANGE), ("one hard sigmoid", "two relus"), strict=True)
    ):
        right.bar(slots + 0.4 * k - 0.2, gradient.numpy(), 0.38, color=colour, label=name)
    right.set_xticks(slots, ["w", "b", "c", "constant"])
    right.set(title="Slopes of the loss, at the start")
    for axes in (left, middle, right):
        finish(axes)
    return Finding(
        f"One hard sigmoid and its two relus differ by at most {gaps['values']:.0e} as functions, by "
        f"{gaps['slopes']:.0e} in slope and by {gaps['gradients']:.0e} in the gradient of a parameter.",
        {
            "the two relus have the values of the hard sigmoid, up to rounding": gaps["values"] < PRECISION,
            "they have its slope at every x": gaps["slopes"] < PRECISION,
            "the loss has the same gradient in w, b, c and the constant, at the start and at the end": gaps["gradients"]
            < PRECISION,
        },
        figure,
        {"gaps": gaps, "bends": bends},
    )


def _relus(theta_4: Tensor) -> Tensor:
    """The parameters (7,) of two relus and a constant that equal c hard_sigmoid(b + w x) + constant.

    hard_sigmoid(z) = relu(z / 6 + 1/2) - relu(z / 6 - 1/2), so both have weight w / 6, their biases are b / 6 + 1/2
    and b / 6 - 1/2, and their outputs are multiplied by c and -c.
    """
    w, b, c, constant = theta_4
    return torch.stack([w / 6, w / 6, b / 6 + 0.5, b / 6 - 0.5, c, -c, constant])
