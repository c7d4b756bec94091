"""Pictures of losses and parameters, drawn in a theme.

Shapes: K updates, P numbers of all parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from steepest.observe.theme import LIGHT, Theme, compared, percent, plain, save

# Colours for the pictures of the course.
BLACK, ORANGE, BLUE, GREEN, RED = LIGHT.ink, LIGHT.orange, LIGHT.blue, LIGHT.green, LIGHT.red
LABELLED = 8  # lines are labelled only if a panel has at most this number
NAMES = {
    "mse": "Mean squared error", "mae": "Mean absolute error", "huber": "Huber loss", "quantile": "Quantile loss",
    "cross_entropy": "Cross-entropy",
}  # fmt: skip


SCALED = "Parameters for scaled inputs and targets, as in training."


def draw_losses(
    losses_K: np.ndarray,
    history: pd.DataFrame,
    path: Path,
    *,
    loss: str,
    model: str,
    references: Mapping[str, float] | None = None,
    best: int | None = None,
    objective: str = "",
    theme: Theme = LIGHT,
) -> None:
    """Draw the loss of each update's batch, and the losses of the whole train and val parts after each epoch.

    All values have the unit of the loss.

    Args:
        losses_K: the loss of each update's batch.
        history: one row per epoch with the number of updates done and the scores.
        path: the file to write.
        loss: the name of the loss, one of `LOSSES`.
        model: the name of the model.
        references: the losses of baselines, such as ``reference/val_persistence``.
        best: the number of the best epoch.
        objective: the score that decides which epoch is best.
        theme: the theme of the picture.
    """
    part = "val" if "val/loss" in history else "train"
    curves = {
        name: history[column].to_numpy()
        for name, column in (("train", "train/full_loss"), ("val", "val/loss"))
        if column in history
    }
    labels = {"persistence": "tomorrow = today", "mean": "the training mean", "majority": "the majority class"}
    reference = next(
        ((labels[n], v) for n in labels if (v := (references or {}).get(f"reference/{part}_{n}")) is not None), None
    )
    title = f"The loss of {len(losses_K):,} updates"
    if best is not None and part in curves:
        title = f"Epoch {best:,} of {len(history):,} is the best by {objective}"
        if reference is not None and reference[1] > 0:
            title += f"; its {part} loss is {compared(curves[part][best - 1] / reference[1])} that of {reference[0]}"
    unit = "nats" if loss == "cross_entropy" else "of the scaled targets"
    with theme.active():
        figure = theme.sheet(title, 4.3, model)
        axes = figure.subplots()
        axes.plot(np.arange(1, len(losses_K) + 1), losses_K, color=theme.muted, lw=0.5, alpha=0.45)
        values = [losses_K, *curves.values()]
        for (name, curve), colour in zip(curves.items(), (theme.blue, theme.orange), strict=False):
            axes.plot(history["updates"], curve, color=colour, lw=1.8, marker="" if len(curve) > 1 else "o")
            theme.label(axes, history["updates"].iloc[-1], curve[-1], f"{name} part", colour)
        if len(losses_K):
            theme.label(axes, len(losses_K), losses_K[-1], "each update's\nbatch", theme.muted)
        if reference is not None:
            values.append(np.array([reference[1]]))
            axes.axhline(reference[1], color=theme.ink, lw=1.1, ls=(0, (4, 2)))
            end = max(len(losses_K), history["updates"].max())
            theme.label(axes, end, reference[1], f"{reference[0]},\n{part} part", theme.ink)
        if best is not None and part in curves:
            colour = theme.orange if part == "val" else theme.blue
            x, y = history["updates"].iloc[best - 1], curves[part][best - 1]
            axes.plot(x, y, "o", ms=8, mfc=theme.paper, mec=colour, mew=2, zorder=5)
            theme.note(axes, x, y, f"epoch {best:,}", (-8, 8) if best > 0.8 * len(history) else (0, 9), colour)
        every = np.concatenate(values)
        if len(every) and 0 < 10 * np.nanmin(every) < np.nanmax(every):
            _logarithmic(axes, every)
        axes.yaxis.set_major_formatter(plain)
        axes.xaxis.set_major_formatter(plain)
        axes.set(xlabel="updates", title=f"{NAMES.get(loss, loss)} ({unit})")
        axes.margins(x=0.01)
        save(figure, path)


def _logarithmic(axes: Axes, values: np.ndarray) -> None:
    """Make the vertical axis logarithmic, with ticks at 1, 2 and 5 if the values span less than two decades."""
    few = np.nanmax(values) < 100 * np.nanmin(values)
    axes.set_yscale("log", subs=[])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_minor_formatter(NullFormatter())  # the default writes formulas, which the theme shows as text


def draw_parity(rows: pd.DataFrame, path: Path, theme: Theme = LIGHT) -> None:
    """Draw the losses of a hand-derived model and of its copy trained by autograd, and their differences below.

    `rows` is `Parity.table()`. The axis of the differences is logarithmic, but linear near 0.
    """
    gaps = {"loss_difference": (theme.orange, "losses"), "parameter_difference": (theme.blue, "parameters,\nlargest")}
    positive = np.concatenate([rows.loc[np.isfinite(rows[name]) & (rows[name] > 0), name] for name in gaps])
    smallest = 10.0 ** np.floor(np.log10(positive.min())) if len(positive) else 1e-17
    largest = positive.max() if len(positive) else smallest
    title = f"By hand and by autograd, the losses of {len(rows):,} updates {_agreement(rows['loss_difference'])}"
    with theme.active():
        figure = theme.sheet(title, 5.4, "One seed, the same batches, two ways to compute the gradient")
        axes, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
        end = rows["update"].iloc[-1]
        for name, colour, width in (("autograd", theme.orange, 4), ("hand", theme.ink, 0.9)):
            axes.plot(rows["update"], rows[f"loss_by_{name}"], color=colour, lw=width)
            theme.label(axes, end, rows[f"loss_by_{name}"].iloc[-1], f"by {name}", colour)
        axes.set(title="Loss of each update's batch")
        _logarithmic(axes, rows[["loss_by_autograd", "loss_by_hand"]].to_numpy())
        axes.yaxis.set_major_formatter(plain)
        for name, (colour, label) in gaps.items():
            lower.plot(rows["update"], rows[name], ".", ms=3, color=colour)
            theme.label(lower, end, rows[name].iloc[-1], label, colour)
        lower.set_yscale("symlog", linthresh=smallest)  # logarithmic, but linear near 0
        lower.yaxis.set_minor_formatter(NullFormatter())
        lower.yaxis.set_major_formatter(lambda gap, place: f"{gap:.0e}" if gap else "0")
        lower.set(xlabel="updates", ylim=(-0.3 * smallest, 2 * largest), title="Difference between the two")
        axes.margins(x=0.01)
        save(figure, path)


def _agreement(gap_K: pd.Series) -> str:
    """Return the end of a sentence about the size of the differences. Their maximum is rounded up to one digit."""
    finite_K = np.isfinite(gap_K)
    if not finite_K.all():
        return f"are not all finite: {int((~finite_K).sum()):,} are infinite or not a number"
    gap = float(gap_K.max())
    if gap == 0:
        return "are equal to the last bit"
    unit = 10.0 ** np.floor(np.log10(gap))
    bound = float(np.ceil(gap / unit) * unit)
    return f"differ by at most {bound:.0e}" if bound < 1 else f"differ by at most {bound:,.0f}"


def draw_path(
    names: Mapping[str, int], path_KP: np.ndarray, updates: Sequence[int], path: Path, theme: Theme, more: str = ""
) -> None:
    """Draw each parameter of a small model over the updates.

    Args:
        names: the name of each parameter tensor -> the number of its entries.
        path_KP: all parameters after each of these updates.
        updates: the numbers of these updates.
        path: the file to write.
        theme: the theme of the picture.
        more: a sentence to append to the caption.
    """
    half = _half_way(path_KP, updates)
    whole = f"{updates[-1]:,} update{'' if updates[-1] == 1 else 's'}"
    if half:
        title = f"The parameters were halfway to their final values after {half:,} of {whole}"
    else:
        title = f"After {whole}, the parameters have their initial values"
    early = 0 < half < updates[-1] / 20  # on a linear axis, this part would be too narrow
    with theme.active():
        figure = theme.sheet(title, min(1.9 * len(names), 8) + 1.1, SCALED + more)
        rows = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        first = 0
        for axes, (name, count) in zip(rows, names.items(), strict=True):
            tensor_KP = path_KP[:, first : first + count]
            first += count
            for number, curve_K in enumerate(tensor_KP.T):
                colour = (
                    theme.blue if count > LABELLED else (theme.blue, theme.orange, theme.green, theme.ink)[number % 4]
                )
                axes.plot(updates, curve_K, color=colour, lw=1.5 if count <= LABELLED else 0.7)
                if count <= LABELLED:
                    theme.label(axes, updates[-1], curve_K[-1], plain(float(f"{curve_K[-1]:.4g}")), colour)
            axes.set_title(f"{name}, {count} numbers" if count > 1 else name)
            axes.yaxis.set_major_formatter(plain)
            axes.locator_params(axis="y", nbins=5)
            axes.margins(x=0.01)
        if early:
            rows[-1].set_xscale("symlog", linthresh=1)
        rows[-1].xaxis.set_major_formatter(plain)
        rows[-1].set_xlabel("updates (logarithmic)" if early else "updates")
        save(figure, path)


def _half_way(path_KP: np.ndarray, updates: Sequence[int]) -> int:
    """Return the number of updates after which the distance to the final parameters was half of that at the start.

    It is 0 if the final parameters equal the initial ones.
    """
    left_K = np.linalg.norm(path_KP - path_KP[-1], axis=1)
    return int(updates[int(np.argmax(left_K <= left_K[0] / 2))])


def draw_numbers(
    names: list[str],
    starts: list[np.ndarray],
    ends: list[np.ndarray],
    gradients: list[np.ndarray],
    path: Path,
    theme: Theme = LIGHT,
    more: str = "",
) -> None:
    """Draw histograms of each parameter tensor at the start and at the end, and of its gradient at the end.

    `more` is a sentence to append to the caption.
    """
    moved = np.sqrt(sum(float(((end - start) ** 2).sum()) for start, end in zip(starts, ends, strict=True)))
    length = np.sqrt(sum(float((start**2).sum()) for start in starts))
    title = (
        f"The parameters moved by {percent(moved / length)} of their initial norm"
        if length
        else (f"The parameters moved by {moved:.3g} from 0")
    )
    with theme.active():
        caption = f"Histograms of the entries: at the start (grey) and at the end (line).{more}"
        figure = theme.sheet(title, 1.6 * len(names) + 1.2, caption)
        grid = figure.subplots(len(names), 2, squeeze=False)
        for row, (numbers, slopes) in enumerate(grid):
            start, end, gradient = (tensors[row].ravel() for tensors in (starts, ends, gradients))
            numbers.set_title(names[row])
            slopes.set_title("gradient at the end" if row == 0 else "")
            if start.size <= LABELLED:  # histograms of so few numbers would be single bars
                numbers.plot([start, end], [0, 1], "o-", color=theme.blue, ms=4, lw=1)
                numbers.set_yticks([0, 1], ["start", "end"])
                slopes.vlines(gradient, 0, 1, color=theme.green, lw=2)
                slopes.set_yticks([])
            else:
                bins = np.histogram_bin_edges(np.concatenate([start, end]), 30).tolist()
                # One filled outline is drawn faster than 30 bars.
                numbers.hist(start, bins, histtype="stepfilled", color=theme.muted, alpha=0.45)
                numbers.hist(end, bins, histtype="step", color=theme.blue, lw=1.6)
                slopes.hist(gradient, 30, histtype="stepfilled", color=theme.green, alpha=0.8)
                for axes in (numbers, slopes):
                    axes.locator_params(axis="y", nbins=4)
                    axes.yaxis.set_major_formatter(plain)
            for axes in (numbers, slopes):
                axes.locator_params(axis="x", nbins=5)
                axes.xaxis.set_major_formatter(plain)
        grid[-1, 0].set(xlabel="parameter")
        grid[-1, 1].set(xlabel="gradient (loss / parameter)")
        save(figure, path)


def spaced(count: int, most: int) -> list[int]:
    """At most `most` evenly spaced indices below `count`, including the first and the last."""
    return sorted({round(number) for number in np.linspace(0, count - 1, min(most, count))})


def finish(axes: Axes, solid: bool = False) -> None:
    """Add grid and legend; a solid legend is legible over filled contours."""
    if solid:
        axes.legend(fontsize=9, framealpha=0.85)
        return
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
