"""A smaller net: weights set to zero by magnitude or at random, and weights in 8 bits.

Shapes: A shares of zeros, R nets (one per seed).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import mse_loss

from steepest.course.lesson import Finding
from steepest.course.parts.compress import largest_rounding, pruned, rounded, size
from steepest.course.runs import Run, sweep_runs
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of the weights that become zero
HALF, MANY, MOST = 5, 8, 10  # the shares of the table and of the claims
DRAWS = 10  # random prunings of each net
BETTER = 0.5  # magnitude has at most this share of the loss of the best random pruning
WORSE = 10  # the most zeros multiply the loss by this or more
CHANGE, SMALLER = 0.25, 0.3  # 8 bits change the loss by at most this, and need at most this share of the bytes


def teach(folder: Path) -> Finding:
    """How much can be left out of a net before its loss grows?"""
    runs = sweep_runs(folder)
    nets = [run.net() for run in runs]
    smaller = [[pruned(net, share) for net in nets] for share in SHARES]
    loss_AR = np.array([_losses(runs, some) for some in smaller])
    eight_AR = np.array([_losses(runs, map(rounded, some)) for some in smaller])
    drawn_ADR = np.array(
        [[_losses(runs, [pruned(net, share, draw) for net in nets]) for draw in range(DRAWS)] for share in SHARES]
    )
    bytes_A2 = np.array([[size(some[0]), size(some[0], whole=True)] for some in smaller])
    rows = [
        (f"{SHARES[a]:.0%}", *map(_percent, (loss_AR[a], drawn_ADR[a].mean(0), eight_AR[a])), bytes_A2[a])
        for a in (0, HALF, MANY, MOST)
    ]
    better = (loss_AR <= BETTER * drawn_ADR.min(1))[[HALF, MANY]]
    return Finding(
        f"Over {len(runs)} seeds, the loss in percent is {rows[0][1]} as trained and {rows[0][3]} in 8 bits. With "
        f"{rows[1][0]} zeros, it is {rows[1][1]} if the smallest weights become zero, {rows[1][2]} if chance chooses.",
        {
            f"with every seed, {SHARES[HALF]:.0%} or {SHARES[MANY]:.0%} zeros by magnitude have at most {BETTER:g} of "
            f"the loss of the best of {DRAWS} random prunings": bool(better.all()),
            f"with every seed, {SHARES[MOST]:.0%} zeros multiply the loss by {WORSE} or more": bool(
                (loss_AR[MOST] >= WORSE * loss_AR[0]).all()
            ),
            f"with every seed, 8 bits change the loss by at most {CHANGE:.0%}": bool(
                (abs(eight_AR[0] / loss_AR[0] - 1) <= CHANGE).all()
            ),
            "8 bits change no parameter by more than half of a step": max(map(largest_rounding, nets)) <= 0.5,
            f"in 8 bits, the file has at most {SMALLER:g} of the bytes": bytes_A2[0, 1] <= SMALLER * bytes_A2[0, 0],
        },
        _figure(runs[0], loss_AR, drawn_ADR.mean(1), eight_AR, bytes_A2),
        {
            "rows": [(*row[:-1], [f"{stored / 1000:.0f}" for stored in row[-1]]) for row in rows],
            "seeds": len(runs),
            "draws": DRAWS,
            "weights": sum(W.numel() for W, _ in nets[0].layers()),
            "times": float((loss_AR[MOST] / loss_AR[0]).mean()),
        },
    )


def _percent(loss_R: np.ndarray) -> str:
    return f"{100 * loss_R.mean():.1f} ± {100 * loss_R.std(ddof=1):.1f}"


@torch.no_grad()
def _losses(runs: Sequence[Run], nets: Iterable[nn.Module]) -> np.ndarray:
    """The loss of each run's net on its test part (R,)."""
    losses = []
    for run, net in zip(runs, nets, strict=True):
        x_ND, y_NH = run.samples("test")
        losses.append(float(mse_loss(net(x_ND), y_NH)))
    return np.array(losses)


def _figure(run: Run, loss_AR: np.ndarray, random_AR: np.ndarray, eight_AR: np.ndarray, bytes_A2: np.ndarray) -> Figure:
    """The losses with zeros, the fits of the first net, and the loss by size."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for some_AR, colour, name in ((random_AR, ORANGE, "by chance"), (loss_AR, BLUE, "the smallest weights")):
        left.errorbar(SHARES, some_AR.mean(1), some_AR.std(1, ddof=1), fmt="o-", color=colour, capsize=3, label=name)
    left.set(xlabel="share of the weights that are zero", ylabel="loss", title="Loss with zeros")
    net, (x_ND, y_NH), share = run.net(), run.samples("test"), SHARES[MANY]
    middle.plot(x_ND, y_NH, ".", color="#bbbbbb", ms=3, label="points")
    x_M1 = torch.linspace(float(x_ND.min()), float(x_ND.max()), 400, dtype=x_ND.dtype)[:, None]
    by_chance, by_size = pruned(net, share, 0), pruned(net, share)
    for one, colour, name in (
        (by_chance, ORANGE, "by chance"),
        (by_size, BLUE, "smallest"),
        (net, BLACK, "as trained"),
    ):
        middle.plot(x_M1, one(x_M1).detach(), color=colour, label=name)
    middle.set(xlabel="x", ylabel="y", ylim=(-2.2, 3.4), title=f"The first seed's net: {share:.0%} zeros")
    for some_AR, column, colour, name in ((loss_AR, 0, BLUE, "32 bits"), (eight_AR, 1, GREEN, "8 bits")):
        right.plot(bytes_A2[:, column] / 1000, some_AR.mean(1), "o-", color=colour, label=f"{name}, 0 to 95% zeros")
    right.set(xlabel="size of the file, thousand bytes", ylabel="loss", title="Loss and size")
    for axes in (left, middle, right):
        axes.set_yscale("linear" if axes is middle else "log")
        finish(axes)
    return figure
