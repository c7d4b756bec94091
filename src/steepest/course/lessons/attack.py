"""A small change of every day that flips the call, noise of the same size that does not, and training against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from steepest.course.lesson import Finding
from steepest.course.parts.attack import attacked, last_day, margin
from steepest.course.runs import mean_and_deviation, sweep_runs
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

STEPS = 4  # of the attack on the test windows
HARMLESS, FALLS = 0.04, 0.55  # the most that noise costs, and the least that the attack costs, after plain training
NEAR = 0.04  # the largest distance of a model trained on attacked windows to the rule of the last day
COSTS = 0.05  # the least that training on attacked windows costs on windows as they are
CURVES = (
    ("net", 1, BLUE, "noise, plain training"),
    ("net", 2, ORANGE, "attack, plain training"),
    ("net, on attacked", 2, GREEN, "attack, trained on attacked windows"),
)
PLAIN, AGAINST = ("line", "net"), ("line, on attacked", "net, on attacked")


def teach(folder: Path) -> Finding:
    """How often is each model right on windows as they are, with noise, and under attack?"""
    models: dict[str, list[tuple[Any, Tensor, Tensor]]] = {name: [] for name in (*PLAIN, *AGAINST)}
    runs = sweep_runs(folder)
    for run in runs:
        names, (x_ND, y_N1) = AGAINST if run.asked("model", "size") else PLAIN, run.samples("test")
        models[names[run.asked("model", "hidden") > 0]].append((run.module(), x_ND, y_N1[:, 0]))
    size, signs = max(run.asked("model", "size") for run in runs), runs[0].checked.groups["data"]()
    scores = {name: np.array([_scores(*test, size) for test in tests]) for name, tests in models.items()}
    rule = scores["last day alone"] = np.array([_scores(last_day, *test[1:], size) for test in models["line"]])
    plain, against = (np.array([scores[name] for name in names]) for names in (PLAIN, AGAINST))  # (2, seeds, 3)
    (clean, noisy, hit), hard = np.moveaxis(plain, 2, 0), against[:, :, 2]
    worst = np.array([[_worst(*test, size) for test in models[name]] for name in ("line", AGAINST[0])])

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    days = np.arange(1, signs.days + 1)
    flipped_D, window_D = _flipped(*models["net"][0], size)
    left.plot(days, window_D, "o-", color=BLACK, ms=4, label="the window")
    left.plot(days, flipped_D, "o-", color=ORANGE, ms=4, label="under attack: the call flips")
    left.set(xlabel="day", ylabel="change of the price, in deviations", title="A window, before and after the attack")
    left.set_ymargin(0.3)
    sizes = np.arange(0, 0.95, 0.15)
    for name, column, colour, label in CURVES:
        curve = [np.mean([_scores(*test, s)[column] for test in models[name]]) for s in sizes]
        middle.plot(sizes, curve, "o-", color=colour, ms=4, label=label)
    middle.set(xlabel="largest change of a day", ylabel="accuracy of the net", ylim=(0, 1.5), yticks=[0, 0.5, 1])
    middle.set_title("Attack and noise of the same size")
    for name, colour, label in ((PLAIN[0], BLUE, "plain training"), (AGAINST[0], GREEN, "trained on attacked windows")):
        right.plot(days, _weights(models[name][0][0]), "o-", color=colour, ms=4, label=label)
    right.set(xlabel="day", ylabel="weight of the day", title="What the line uses")
    for axes in figure.axes:
        finish(axes)
    claims = {
        f"noise costs a plainly trained model at most {HARMLESS:.0%} of the windows": clean - noisy <= HARMLESS,
        f"the attack costs it at least {FALLS:.0%} of the windows": clean - hit >= FALLS,
        f"trained against it, a model is within {NEAR:.0%} of the last day alone": np.abs(hard - rule[:, 2]) <= NEAR,
        f"it pays with at least {COSTS:.0%} of the windows as they are": clean - against[:, :, 0] >= COSTS,
        "a line under attack is right exactly where its margin is above size times sum |w|": [hit[0], hard[0]] == worst,
    }
    return Finding(
        f"The net with plain training is right on {clean[1].mean():.1%} of the windows, on {noisy[1].mean():.1%} with "
        f"noise of {size:g} on each day, and on {hit[1].mean():.1%} under attack. Trained on attacked windows, it is "
        f"right on {hard[1].mean():.1%} under attack, and on {against[1, :, 0].mean():.1%} without.",
        {f"with every seed, {claim}": bool(np.all(holds)) for claim, holds in claims.items()},
        figure,
        {
            "rows": [(name, *map(mean_and_deviation, some.T)) for name, some in scores.items()],
            "seeds": len(rule),
            "size": size,
            "signs": {"days": signs.days, "strong": signs.strong, "limit": signs.limit()},
        },
    )


@torch.no_grad()
def _scores(network: Any, x_ND: Tensor, kind_N: Tensor, size: float) -> list[float]:
    """The accuracy on windows as they are, with noise of +-size on each day, and under attack."""
    sign_ND = torch.randn(x_ND.shape, generator=torch.Generator().manual_seed(0), dtype=x_ND.dtype).sign()
    shown = (x_ND, x_ND + size * sign_ND, attacked(network, x_ND, kind_N, size, STEPS))
    return [float((margin(network(some_ND), kind_N) > 0).double().mean()) for some_ND in shown]


@torch.no_grad()
def _flipped(network: Any, x_ND: Tensor, kind_N: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """The first window (D,) that an attack flips, under attack and as it is."""
    moved_ND = attacked(network, x_ND, kind_N, size, STEPS)
    flips_N = (margin(network(x_ND), kind_N) > 0) & (margin(network(moved_ND), kind_N) < 0)
    return moved_ND[flips_N][0], x_ND[flips_N][0]


@torch.no_grad()
def _worst(line: Any, x_ND: Tensor, kind_N: Tensor, size: float) -> float:
    """The share of windows whose margin is above size * sum_d |w_d|: on these, no attack flips the line's call."""
    return float((margin(line(x_ND), kind_N) > size * np.abs(_weights(line)).sum()).double().mean())


def _weights(line: Any) -> np.ndarray:
    """The weights (D,) of the score of class 1 minus that of class 0."""
    weight_2D = line.net.weight.detach().numpy()
    return weight_2D[1] - weight_2D[0]
