"""Pictures of predictions, losses and parameters, drawn in a theme.

Shapes: K updates, P numbers of all parameters, N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from steepest.observe.theme import LIGHT, Theme, percent, plain, save

BLACK, ORANGE, BLUE, GREEN, RED = (
    LIGHT.ink,
    LIGHT.orange,
    LIGHT.blue,
    LIGHT.green,
    LIGHT.red,
)  # of the course's pictures
ZOOM = 60  # days in the zoom on the last days
BINS = 10  # points of a reliability curve
LABELLED = 8  # the most lines of one axes that have labels
CHANCE = 0.05  # a p-value above this is no more than chance, as in the verdict
NAMES = {"mse": "Mean squared error", "mae": "Mean absolute error", "huber": "Huber loss"}


def draw_predictions(
    predictions: pd.DataFrame, model: str, path: Path, theme: Theme = LIGHT, p_value: float | None = None
) -> None:
    """What the model predicted on the last part, and what it is worth against the reference.

    The picture shows the first of several series, and the first day of a longer horizon.

    Args:
        predictions: `Evaluation.predictions`.
        model: its name.
        path: of the picture.
        theme: of the picture.
        p_value: of the test against the reference, which covers the whole test part.
    """
    part = str(predictions["part"].iloc[-1])
    caption = f"{model}, {part} part"
    if "series" in predictions:
        first = predictions["series"] == predictions["series"].iloc[0]
        p_value = p_value if part == "test" and first.all() and predictions["horizon"].max() == 1 else None
        predictions = predictions[first & (predictions["horizon"] == 1)]
        caption = f"{model} on {predictions['series'].iloc[0]}, {part} part, next day"
    rows, train = (predictions[predictions["part"] == name] for name in (part, "train"))
    with theme.active():
        if "probability_up" in rows:
            figure = _directions(rows, train, caption, theme)
        elif "class" in rows:
            figure = _classes(rows, train, caption, theme)
        elif "date" in rows:
            figure = _prices(rows, caption, theme, p_value)
        else:
            figure = _plain_rows(rows, train, caption, theme)
        save(figure, path)


def _prices(rows: pd.DataFrame, caption: str, theme: Theme, p_value: float | None) -> Figure:
    """Price and prediction, residuals, and the squared error saved so far: of the whole part and of its last days."""
    actual, prediction = rows["actual"].to_numpy(), rows["prediction"].to_numpy()
    error, reference = (prediction - actual) ** 2, (rows["last"].to_numpy() - actual) ** 2
    saved = (reference - error).cumsum() / (reference.sum() or 1.0)
    figure = theme.sheet(_saving(error, reference, "tomorrow = today", p_value), 6.4, caption)
    columns = [len(rows), ZOOM] if len(rows) > 1.5 * ZOOM else [len(rows)]
    grid = figure.subplots(
        3, len(columns), sharex="col", squeeze=False, width_ratios=[1.5, 1][: len(columns)], height_ratios=[1.8, 1, 1]
    )
    for (price, residual, gain), shown in zip(grid.T, columns, strict=True):
        whole, its = shown == len(rows), slice(-shown, None)
        date = rows["date"].to_numpy()[its]
        price.plot(date, actual[its], color=theme.ink, lw=1.2)
        price.plot(date, prediction[its], color=theme.orange, lw=1.2, ls=(0, (3, 1.5)) if whole else "-")
        residual.axhline(0, color=theme.muted, lw=0.8)
        residual.vlines(date, 0, (actual - prediction)[its], color=theme.green, lw=0.6 if whole else 1.6)
        gain.axhline(0, color=theme.muted, lw=0.8)
        gain.plot(date, saved[its], color=theme.blue, lw=1.4)
        gain.yaxis.set_major_formatter(percent)
        for axes in (price, residual):
            axes.yaxis.set_major_formatter(plain)
        if not whole:
            for axes in grid[:, 0]:
                axes.axvspan(date[0], date[-1], color=theme.faint, zorder=0, lw=0)
            axes.margins(x=0.01)
        gain.margins(x=0.01)
        _few_dates(gain, 6)
    grid[0, 0].set_title("Price, in the data's unit")
    grid[1, 0].set_title("Price - prediction, in the data's unit")
    grid[2, 0].set_title("Squared error saved so far, as a share of that of tomorrow = today").set_in_layout(False)
    if len(columns) == 2:
        grid[0, 1].set_title(f"The last {ZOOM} days, to {pd.Timestamp(rows['date'].iloc[-1]):%Y-%m-%d}")
    last = rows["date"].to_numpy()[-1]
    theme.label(grid[0, -1], last, actual[-1], "price", theme.ink)
    theme.label(grid[0, -1], last, prediction[-1], "prediction", theme.orange)
    theme.label(grid[2, -1], last, saved[-1], percent(saved[-1]), theme.blue)
    return figure


def _plain_rows(rows: pd.DataFrame, train: pd.DataFrame, caption: str, theme: Theme) -> Figure:
    """Prediction against actual value, and the residuals."""
    actual, prediction = rows["actual"].to_numpy(), rows["prediction"].to_numpy()
    reference = (train["actual"].mean() - actual) ** 2
    title = _saving((prediction - actual) ** 2, reference, "the training mean", None)
    figure = theme.sheet(title, 4.2, f"{caption}, {len(rows):,} rows")
    left, right = figure.subplots(1, 2)
    ends = [float(min(actual.min(), prediction.min())), float(max(actual.max(), prediction.max()))]
    left.plot(ends, ends, color=theme.muted, lw=1)
    size = 12 if len(rows) < 300 else 5
    left.scatter(actual, prediction, color=theme.blue, s=size, lw=0, alpha=0.8)
    left.set(xlabel="actual value", title="Prediction, in the data's unit")
    theme.label(left, ends[1], ends[1], "exact", theme.muted)
    right.axhline(0, color=theme.muted, lw=1)
    right.scatter(prediction, actual - prediction, color=theme.green, s=size, lw=0, alpha=0.8)
    right.set(xlabel="prediction", title="Actual - predicted, in the data's unit")
    for axes in (left, right):
        axes.xaxis.set_major_formatter(plain)
        axes.yaxis.set_major_formatter(plain)
        axes.locator_params(axis="x", nbins=5)
    return figure


def _directions(rows: pd.DataFrame, train: pd.DataFrame, caption: str, theme: Theme) -> Figure:
    """Reliability, confusion, and the hits so far against always naming the more frequent class."""
    probability, up = rows["probability_up"].to_numpy(), rows["up"].to_numpy()
    majority = int(train["up"].mean() > 0.5)
    hits, majority_hits = ((probability > 0.5) == up), (up == majority)
    always = f'always "{("down", "up")[majority]}"'
    title = f"{hits.mean():.1%} of the directions were right; {always} would be right on {majority_hits.mean():.1%}"
    figure = theme.sheet(title.replace("%", " %"), 6.4, f"{caption}, {len(rows):,} days")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.2, 1], height_ratios=[1.35, 1])
    left, right, below = (figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))
    _reliability(left, probability, up, theme)
    left.set(title="Share of days that rose", xlabel="predicted probability of a rise")
    _confusion(right, probability > 0.5, up, ("down", "up"), theme)
    ahead = (hits.astype(int) - majority_hits).cumsum()
    below.axhline(0, color=theme.muted, lw=0.8)
    below.plot(rows["date"].to_numpy(), ahead, color=theme.blue, lw=1.4)
    below.set(title=f"Days right so far, more than {always}")
    below.margins(x=0.01)
    _few_dates(below, 8)
    below.yaxis.set_major_formatter(plain)
    theme.label(
        below, rows["date"].to_numpy()[-1], ahead[-1], f"{ahead[-1]:+d} days".replace("-", "\u2212"), theme.blue
    )
    return figure


def _classes(rows: pd.DataFrame, train: pd.DataFrame, caption: str, theme: Theme) -> Figure:
    """Reliability, confusion, and how the probabilities of each class's rows are distributed."""
    probability, actual = rows["probability"].to_numpy(), rows["class"].to_numpy()
    majority = int(train["class"].mean() > 0.5)
    hits, majority_hits = ((probability > 0.5) == actual), (actual == majority)
    always = f"always class {majority} would be right on {majority_hits.mean():.1%}"
    title = f"{hits.mean():.1%} of the rows were classified right; {always}"
    figure = theme.sheet(title.replace("%", " %"), 6.4, f"{caption}, {len(rows):,} rows")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.2, 1], height_ratios=[1.35, 1])
    left, right, below = (figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))
    _reliability(left, probability, actual, theme)
    left.set(title="Share of rows of class 1", xlabel="predicted probability of class 1")
    _confusion(right, probability > 0.5, actual, ("class 0", "class 1"), theme)
    edges = np.linspace(0, 1, 41)
    for number, sign, colour in ((1, 1, theme.blue), (0, -1, theme.orange)):
        count = sign * np.histogram(probability[actual == number], edges)[0]
        below.stairs(count, edges, fill=True, color=colour, alpha=0.85)
        theme.label(below, 1.0, sign * max(1, abs(count).max()) / 2, f"class {number}", colour)
    below.axhline(0, color=theme.ink, lw=0.8)
    below.axvline(0.5, color=theme.muted, lw=0.8)
    below.set(title="Rows with each probability", xlabel="predicted probability of class 1", xlim=(0, 1))
    below.xaxis.set_major_formatter(percent)
    below.yaxis.set_major_formatter(lambda count, place: plain(abs(count)))
    return figure


def _reliability(axes: Axes, probability_N: np.ndarray, actual_N: np.ndarray, theme: Theme) -> None:
    """How often class 1 happened, against the probability that it was given, in groups of equally many rows.

    The bars are 95 % intervals of a share, +-1.96 sqrt(s (1 - s) / n).
    """
    edges = np.unique(np.quantile(probability_N, np.linspace(0, 1, BINS + 1)))
    group_N = np.clip(np.searchsorted(edges, probability_N, side="right") - 1, 0, max(0, len(edges) - 2))
    groups = [group_N == group for group in np.unique(group_N)]
    x = np.array([probability_N[group].mean() for group in groups])
    share = np.array([actual_N[group].mean() for group in groups])
    half = 1.96 * np.sqrt(share * (1 - share) / np.array([group.sum() for group in groups]))
    low, high = min(x.min(), share.min()), max(x.max(), share.max())
    margin = 0.08 * (high - low or 1)
    ends = [max(0, low - margin), min(1, high + margin)]
    axes.plot(ends, ends, color=theme.muted, lw=1)
    axes.vlines(x, np.clip(share - half, 0, 1), np.clip(share + half, 0, 1), color=theme.blue, lw=1, alpha=0.6)
    axes.plot(x, share, "o-", color=theme.blue, ms=4.5, lw=1.2)
    theme.note(axes, ends[0], ends[0], "as predicted", (24, 3), theme.muted)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(percent)
    axes.locator_params(axis="x", nbins=5)


def _confusion(axes: Axes, said_N: np.ndarray, actual_N: np.ndarray, names: tuple[str, str], theme: Theme) -> None:
    """How many rows of each class the model put into each class."""
    count = np.array([[int(((actual_N == a) & (said_N == s)).sum()) for s in (0, 1)] for a in (0, 1)])
    share = count / np.maximum(1, count.sum(1, keepdims=True))
    colours = LinearSegmentedColormap.from_list("", [theme.faint, theme.blue])
    axes.pcolormesh(share, cmap=colours, vmin=0, vmax=1, edgecolors=theme.paper, lw=2)
    for actual in (0, 1):
        for said in (0, 1):
            colour = theme.paper if share[actual, said] > 0.5 else theme.ink
            text = f"{count[actual, said]:,}\n{percent(share[actual, said])}"
            axes.text(said + 0.5, actual + 0.5, text, ha="center", va="center", color=colour, linespacing=1.5)
    axes.set(title="Rows, and shares of each actual class", xlabel="predicted", ylabel="actual")
    axes.set_xticks([0.5, 1.5], names)
    axes.set_yticks([0.5, 1.5], names, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _few_dates(axes: Axes, most: int) -> None:
    """At most this many dates on the axis."""
    locator = AutoDateLocator(minticks=3, maxticks=most)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def _saving(error_N: np.ndarray, reference_N: np.ndarray, reference: str, p_value: float | None) -> str:
    """A sentence: how much of the reference's squared error the model saved."""
    mine, other = float(error_N.sum()), float(reference_N.sum())
    if other == 0 or mine >= other:
        size = _compared(mine / other) if other else "equal to" if mine == 0 else "above"
        return f"The model's squared error is {size} that of {reference}"
    if mine < 0.005 * other:
        return f"The model saved all but {percent(mine / other)} of the squared error against {reference}"
    saved = f"The model saved {percent(1 - mine / other)} of the squared error against {reference}"
    return saved if p_value is None or p_value <= CHANCE else f"{saved}, no more than chance (p = {p_value:.2g})"


def _compared(ratio: float) -> str:
    """A ratio in words that "that of ..." continues."""
    if not 0.5 <= ratio < 2:
        return f"{ratio:,.3g} times" if ratio >= 2 else f"{percent(ratio)} of"
    return "equal to" if ratio == 1 else f"{percent(abs(ratio - 1))} {'above' if ratio > 1 else 'below'}"


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
    """The loss of every update's batch, and the loss of the whole train and val parts after every epoch.

    All have the loss's own unit.

    Args:
        losses_K: of each update's batch.
        history: a row per epoch, with the updates done and the scores.
        path: of the picture.
        loss: its name, one of `LOSSES`.
        model: its name.
        references: the losses of baselines, as ``reference/val_persistence``.
        best: the number of the best epoch.
        objective: the score that chose it.
        theme: of the picture.
    """
    part = "val" if "val/loss" in history else "train"
    curves = {
        name: history[column].to_numpy()
        for name, column in (("train", "train/full_loss"), ("val", "val/loss"))
        if column in history
    }
    labels = {"persistence": "tomorrow = today", "mean": "the training mean", "majority": "the majority class"}
    beside = next(
        ((labels[n], v) for n in labels if (v := (references or {}).get(f"reference/{part}_{n}")) is not None), None
    )
    title = f"The loss of {len(losses_K):,} updates"
    if best is not None and part in curves:
        title = f"Epoch {best:,} of {len(history):,} is the best by {objective}"
        if beside is not None and beside[1] > 0:
            title += f"; its {part} loss is {_compared(curves[part][best - 1] / beside[1])} that of {beside[0]}"
    unit = "nats" if loss == "cross_entropy" else "targets in standard deviations of the training part"
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
        if beside is not None:
            values.append(np.array([beside[1]]))
            axes.axhline(beside[1], color=theme.ink, lw=1.1, ls=(0, (4, 2)))
            theme.label(
                axes, max(len(losses_K), history["updates"].max()), beside[1], f"{beside[0]},\n{part} part", theme.ink
            )
        if best is not None and part in curves:
            colour = theme.orange if part == "val" else theme.blue
            x, y = history["updates"].iloc[best - 1], curves[part][best - 1]
            axes.plot(x, y, "o", ms=8, mfc=theme.paper, mec=colour, mew=2, zorder=5)
            theme.note(axes, x, y, f"epoch {best:,}", (-8, 8) if best > 0.8 * len(history) else (0, 9), colour)
        every = np.concatenate(values)
        if len(every) and 0 < 10 * np.nanmin(every) < np.nanmax(every):
            few = np.nanmax(every) < 100 * np.nanmin(every)
            axes.set_yscale("log", subs=[])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axes.yaxis.set_major_formatter(plain)
        axes.xaxis.set_major_formatter(plain)
        axes.set(xlabel="updates", title=f"{NAMES.get(loss, 'Cross-entropy')} ({unit})")
        axes.margins(x=0.01)
        save(figure, path)


def draw_parity(rows: pd.DataFrame, path: Path, theme: Theme = LIGHT) -> None:
    """The losses of a hand-derived model and of its copy trained by autograd, and below them the gaps between the two.

    `rows` is `Parity.table()`. The axis of the gaps is logarithmic, with a place for a gap of 0.
    """
    gaps = {"loss_difference": (theme.orange, "losses"), "parameter_difference": (theme.blue, "parameters,\ngreatest")}
    positive = np.concatenate([rows.loc[rows[name] > 0, name] for name in gaps])
    least = 10.0 ** np.floor(np.log10(positive.min())) if len(positive) else 1e-17
    greatest = positive.max() if len(positive) else least
    apart = rows["loss_difference"].max()
    found = f"differ by at most {apart:.0e}" if apart else "are equal to the last bit"
    title = f"By hand and by autograd, the losses of {len(rows):,} updates {found}"
    with theme.active():
        figure = theme.sheet(title, 5.4, "One seed, the same batches, two ways to compute the gradient")
        axes, beneath = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
        end = rows["update"].iloc[-1]
        for name, colour, width in (("autograd", theme.orange, 4), ("hand", theme.ink, 0.9)):
            axes.plot(rows["update"], rows[f"loss_by_{name}"], color=colour, lw=width)
            theme.label(axes, end, rows[f"loss_by_{name}"].iloc[-1], f"by {name}", colour)
        axes.set(yscale="log", title="Loss of each update's batch")
        axes.yaxis.set_major_formatter(plain)
        for name, (colour, label) in gaps.items():
            beneath.plot(rows["update"], rows[name], ".", ms=3, color=colour)
            theme.label(beneath, end, rows[name].iloc[-1], label, colour)
        beneath.set_yscale("symlog", linthresh=least)  # logarithmic, with a place for 0
        beneath.yaxis.set_major_formatter(lambda gap, place: f"{gap:.0e}" if gap else "0")
        beneath.set(xlabel="updates", ylim=(-0.3 * least, 2 * greatest), title="Difference between the two")
        axes.margins(x=0.01)
        save(figure, path)


def draw_path(names: Mapping[str, int], path_KP: np.ndarray, updates: Sequence[int], path: Path, theme: Theme) -> None:
    """Each parameter of a small model over the updates.

    Args:
        names: each parameter tensor and the count of its numbers.
        path_KP: all parameters after each of these updates.
        updates: how many were done.
        path: of the picture.
        theme: of the picture.
    """
    half = _half_way(path_KP, updates)
    title = f"Half of the parameters' way was done after {half:,} of {updates[-1]:,} updates"
    early = half < updates[-1] / 20  # most of it happens where a linear axis shows nothing
    with theme.active():
        figure = theme.sheet(title, min(1.9 * len(names), 8) + 1.1)
        rows = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        first = 0
        for axes, (name, count) in zip(rows, names.items(), strict=True):
            its_KP = path_KP[:, first : first + count]
            first += count
            for number, curve_K in enumerate(its_KP.T):
                colour = (
                    theme.blue if count > LABELLED else (theme.blue, theme.orange, theme.green, theme.ink)[number % 4]
                )
                axes.plot(updates, curve_K, color=colour, lw=1.5 if count <= LABELLED else 0.7)
                if count <= LABELLED:
                    theme.label(axes, updates[-1], curve_K[-1], f"{curve_K[-1]:.4g}".replace("-", "\u2212"), colour)
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
    """After how many updates the parameters were half as far from their end as at the start."""
    left_K = np.linalg.norm(path_KP - path_KP[-1], axis=1)
    return int(updates[int(np.argmax(left_K <= left_K[0] / 2))])


def draw_numbers(
    names: list[str],
    starts: list[np.ndarray],
    ends: list[np.ndarray],
    gradients: list[np.ndarray],
    path: Path,
    theme: Theme = LIGHT,
) -> None:
    """Histograms of each parameter tensor at the start and at the end, and of its gradient at the end."""
    moved = np.sqrt(sum(float(((end - start) ** 2).sum()) for start, end in zip(starts, ends, strict=True)))
    length = np.sqrt(sum(float((start**2).sum()) for start in starts))
    title = (
        f"The parameters moved by {percent(moved / length)} of their length at the start"
        if length
        else (f"The parameters moved by {moved:.3g} from 0")
    )
    with theme.active():
        figure = theme.sheet(
            title, 1.6 * len(names) + 1.2, "Counts of numbers: at the start (grey) and at the end (line)."
        )
        grid = figure.subplots(len(names), 2, squeeze=False)
        for row, (numbers, slopes) in enumerate(grid):
            start, end, gradient = (tensors[row].ravel() for tensors in (starts, ends, gradients))
            numbers.set_title(names[row])
            slopes.set_title("its gradient at the end" if row == 0 else "")
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
