"""Nets of growing size on the same days: the training loss falls, but the loss on later days may not.

Shapes: E epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import sweep_runs
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, RED, finish
from steepest.sweep.settings import Spread, spread

TRAIN, LATER = "train/full_loss", "val/loss"
COLOURS = [BLUE, GREEN, ORANGE, RED]


@dataclass(frozen=True)
class Size:
    """Nets of one shape.

    Attributes:
        name: the name of the shape.
        train_E, later_E: losses after each epoch, divided by the loss of tomorrow = today, mean over seeds.
        train, later: the same after the last epoch, with their spread over seeds.
        parameters: the number of parameters of one net.
    """

    name: str
    train_E: np.ndarray
    later_E: np.ndarray
    train: Spread
    later: Spread
    parameters: int


def sizes(folder: Path) -> list[Size]:
    """The shapes in a sweep over model.hidden and seeds, in the sweep's order."""
    groups: dict[tuple[int, ...], list] = {}
    for run in sweep_runs(folder):
        groups.setdefault(tuple(run.asked("model", "hidden")), []).append(run)
    found = []
    for hidden, runs in groups.items():
        shares = {}
        for tag, reference in ((TRAIN, "reference/train_persistence"), (LATER, "reference/val_persistence")):
            shares[tag] = np.stack([run.curve(tag).values / run.curve(reference).values for run in runs])
        ends = [spread(map(float, shares[tag][:, -1])) for tag in (TRAIN, LATER)]
        assert ends[0] is not None
        assert ends[1] is not None
        count = sum(p.numel() for p in runs[0].predictor("start").parameters())
        name = " x ".join(map(str, hidden))
        found.append(Size(name, shares[TRAIN].mean(0), shares[LATER].mean(0), ends[0], ends[1], count))
    return found


def overfitting(folder: Path, axis: str, labels: list[str] | None = None) -> Finding:
    """Does the training loss fall with size, while the later loss does not?

    Args:
        folder: the sweep's folder.
        axis: the name of the quantity that grows.
        labels: labels of the sizes; None: their units.
    """
    found = sizes(folder)
    labels = labels or [f"{size.name} units" for size in found]
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.6, 1])
    for size, label, colour in zip(found, labels, COLOURS, strict=False):
        epochs = np.arange(1, len(size.train_E) + 1)
        left.plot(epochs, size.train_E, color=colour, lw=1.6, label=label)
        left.plot(epochs, size.later_E, color=colour, lw=1.6, ls="--")
    left.set(
        xlabel="epochs",
        ylabel="loss / loss of tomorrow = today",
        title="Solid: training days. Dashed: later days",
    )
    for name, ends, colour, mark in (
        ("training days", [s.train for s in found], BLUE, "o"),
        ("later days", [s.later for s in found], ORANGE, "s"),
    ):
        right.errorbar(
            range(len(found)),
            [e.mean for e in ends],
            [e.std or 0 for e in ends],
            fmt=f"{mark}-",
            color=colour,
            capsize=4,
            ms=8,
            label=name,
        )
    right.set_xticks(range(len(found)), labels)
    right.set(xlabel=axis, title="After the last epoch (mean and deviation over seeds)")
    for axes in (left, right):
        axes.axhline(1, color=BLACK, lw=0.8, ls=":", label="tomorrow = today")
        finish(axes)
    left.legend(fontsize=8, loc="upper left", framealpha=0.9)
    train, later = [size.train.mean for size in found], [size.later.mean for size in found]
    rows = [
        {"label": label, "train": str(size.train), "later": str(size.later), "parameters": size.parameters}
        for label, size in zip(labels, found, strict=True)
    ]
    return Finding(
        f"From {labels[0]} to {labels[-1]}, the training loss fell from {train[0]:.2f} to {train[-1]:.2f} (1 is "
        f"tomorrow = today), and the later loss went from {later[0]:.2f} to {later[-1]:.2f}.",
        {
            "every larger net has a lower training loss at the end": bool((np.diff(train) < 0).all()),
            "the largest net's later loss is higher than the smallest's: overfitting": later[-1] > later[0],
            "on later days, no net beats tomorrow = today": min(later) > 1,
        },
        figure,
        {
            "rows": rows,
            "seeds": found[0].train.n,
            "epochs": len(found[0].train_E),
            "train": train,
            "later": later,
        },
    )
