"""The picture of predictions: prices, plain rows, directions or classes, against the reference.

Shapes: N rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from steepest.evaluate.evaluation import SIGNIFICANT
from steepest.observe.theme import LIGHT, Theme, compared, percent, plain, save

ZOOM = 60  # days in the zoom on the last days
BINS = 10  # points of a reliability curve


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
        size = compared(mine / other) if other else "equal to" if mine == 0 else "above"
        return f"The model's squared error is {size} that of {reference}"
    if mine < 0.005 * other:
        return f"The model saved all but {percent(mine / other)} of the squared error against {reference}"
    saved = f"The model saved {percent(1 - mine / other)} of the squared error against {reference}"
    return saved if p_value is None or p_value <= SIGNIFICANT else f"{saved}, no more than chance (p = {p_value:.2g})"
