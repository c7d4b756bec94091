"""Why deep: a folded curve that needs exponentially many units in one layer, by construction and by descent."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.parts.why_deep import folded, layer_for_each_fold, one_layer, outputs, sine_error
from steepest.course.runs import Run, mean_and_deviation, sweep_results
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish
from steepest.sweep.results import value

FOLDS = range(1, 11)  # of the nets with weights set by hand
PIECES = (8, 16, 32, 64)  # straight lines along a sine wave
RANGE = 6.0  # of x on both sides of 0
EXACT = 1e-12  # tolerance of sums in double precision
REACHED = 0.05  # the loss to reach, where the best constant has 1; at least half of the starts must
FEWER = 0.5  # largest share of one layer's units with which several layers reach it
COLOURS = {1: BLUE, 2: ORANGE, 3: GREEN}


def teach(folder: Path) -> Finding:
    """Are the nets set by hand exact, and how many units does descent need with one layer and with several?"""
    x_M = np.linspace(0, 1, 5 * 2**10 + 1)
    folding = {k: outputs(layer_for_each_fold(k), x_M) for k in FOLDS}
    joined = {k: outputs(one_layer(np.linspace(0, 1, 2**k + 1), np.arange(2**k + 1) % 2), x_M) for k in FOLDS[:5]}
    gaps = [float(np.abs(found[k] - folded(x_M, k)).max()) for found in (folding, joined) for k in found]
    errors = {pieces: sine_error(pieces, RANGE) for pieces in PIECES}

    shapes: dict[tuple[int, ...], list[tuple[float, Path]]] = {}
    for row in sweep_results(folder).rows:
        shape = tuple(json.loads(value(row, "model.hidden")))
        shapes.setdefault(shape, []).append((row["train/mse_scaled"], folder / str(row["folder"])))
    losses = {
        shape: np.array([loss for loss, _ in found])
        for shape, found in sorted(shapes.items(), key=lambda item: (len(item[0]), item[0]))
    }
    reached = {shape: float(np.mean(found < REACHED)) for shape, found in losses.items()}
    enough = [shape for shape, share in reached.items() if share >= 0.5]
    flat = min((sum(shape) for shape in enough if len(shape) == 1), default=None)
    deep = min((shape for shape in enough if len(shape) > 1), key=sum, default=None)
    narrow = min((shape for shape in losses if len(shape) == 3), key=sum)

    figure = Figure(figsize=(12, 8), layout="constrained")
    (curves, needed), (dots, fits) = figure.subplots(2, 2)
    for k, colour in COLOURS.items():
        curves.plot(
            x_M, folding[k], color=colour, lw=1.6, label=f"folded {k} time{'' if k == 1 else 's'}: {2**k} pieces"
        )
    curves.set(xlabel="x", ylabel="y", ylim=(-0.05, 1.5), title="A layer of two relus folds the curve")
    needed.plot(FOLDS, [2**k - 1 for k in FOLDS], "o-", color=BLUE, label="one layer: at least one unit for each bend")
    needed.plot(FOLDS, [2 * k for k in FOLDS], "o-", color=GREEN, label="a layer for each fold: two units each")
    needed.set(xlabel="folds", ylabel="units", yscale="log", title="Units for the exact curve")
    for depth, colour in COLOURS.items():
        some = [shape for shape in losses if len(shape) == depth]
        for shape in some:
            dots.plot(np.full(len(losses[shape]), sum(shape)), losses[shape], ".", color=colour, ms=4, alpha=0.5)
        middle = [float(np.median(losses[shape])) for shape in some]
        dots.plot([sum(shape) for shape in some], middle, "o-", color=colour, label=f"layers: {depth} (middle start)")
    dots.axhline(REACHED, color=BLACK, lw=0.8, ls=":", label=f"loss {REACHED}")
    dots.set(xlabel="units", ylabel="loss", xscale="log", yscale="log", title="Three folds, found by descent")
    dots.set_xticks([8, 16, 32, 64, 128], ["8", "16", "32", "64", "128"])
    dots.minorticks_off()
    for shape in [shape for shape in losses if sum(shape) == 32]:
        middle_run = Run(sorted(shapes[shape])[len(shapes[shape]) // 2][1])
        name = " + ".join(map(str, shape))
        fits.plot(x_M, middle_run.outputs(x_M[:, None])[:, 0], color=COLOURS[len(shape)], label=f"units {name}")
    fits.plot(x_M, folded(x_M, 3), ":", color=BLACK, lw=1, label="the folded curve")
    fits.set(xlabel="x", ylabel="y", ylim=(-0.3, 1.8), title="The middle start of 32 units")
    for axes in (curves, needed, dots, fits):
        finish(axes)
    starts = len(next(iter(losses.values())))
    return Finding(
        f"Half of {starts} starts reach a loss of {REACHED} with {flat} units in one layer, "
        f"and with {' + '.join(map(str, deep or ()))} units in several.",
        {
            f"set by hand, two relus for each of up to {FOLDS[-1]} folds are exact, and so are 2^folds relus in one "
            f"layer for up to {max(joined)} (largest difference {max(gaps):.0e})": max(gaps) < EXACT,
            "one layer that joins n points of a sine has at most the known error h²/8, with h between points": all(
                error <= (2 * RANGE / pieces) ** 2 / 8 for pieces, error in errors.items()
            ),
            f"several layers reach the loss in half of the starts with at most {FEWER} of one layer's units": (
                flat is not None and deep is not None and sum(deep) <= FEWER * flat
            ),
            f"a net can exist and not be found: units {' + '.join(map(str, narrow))} are enough, "
            "but less than half of the starts get there": reached[narrow] < 0.5,
        },
        figure,
        {
            "rows": [
                (" + ".join(map(str, s)), sum(s), _parameters(s), mean_and_deviation(losses[s]), f"{reached[s]:.0%}")
                for s in losses
            ],
            "starts": starts,
            "reached": REACHED,
            "flat": flat,
            "deep": deep,
            "narrow": narrow,
            "errors": errors,
        },
    )


def _parameters(shape: tuple[int, ...]) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise((1, *shape, 1)))
