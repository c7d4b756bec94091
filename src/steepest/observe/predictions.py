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
from matplotlib.ticker import FuncFormatter, MaxNLocator

from steepest.data.calendar import row_unit
from steepest.evaluate.intervals import Interval
from steepest.nets.losses import QUANTILES
from steepest.observe.theme import LIGHT, Theme, compared, percent, plain, save

ZOOM = 60  # rows in the zoom on the last rows
BINS = 10  # points of a reliability curve


def draw_predictions(
    predictions: pd.DataFrame,
    model: str,
    path: Path,
    theme: Theme = LIGHT,
    doubt: str = "",
    interval: Interval | None = None,
) -> None:
    """Draw the model's predictions on the last part, and compare their errors with those of the reference.

    The picture and its title are about the first series and the first row of the horizon.

    Args:
        predictions: `Evaluation.last_predictions`, or of all parts.
        model: a description of the model, for the caption.
        path: the file to write.
        theme: the theme of the picture.
        doubt: why the lead on the whole test part is not significant, or ""; see `Evaluation.doubt`.
        interval: the intervals to draw around the predictions of the test part, or None.
    """
    part = str(predictions["part"].iloc[-1])
    doubt = doubt if part == "test" else ""
    caption, subject = f"{model}, {part} part", ""
    if "series" in predictions:
        first = predictions["series"] == predictions["series"].iloc[0]
        count, steps = predictions["series"].nunique(), predictions["horizon"].max()
        doubt = doubt if count == 1 and steps == 1 else ""
        predictions = predictions[first & (predictions["horizon"] == 1)]
        name = str(predictions["series"].iloc[0])
        caption = f"{model} on {name}, {part} part, next {row_unit(predictions['date'].to_numpy())}"
        if count > 1:
            subject, caption = f"{name}, one of {count} series: ", f"{caption}. The verdict is about all series"
    rows, train = (predictions[predictions["part"] == name] for name in (part, "train"))
    with theme.active():
        if "probability_up" in rows:
            figure = _directions(rows, train, caption, theme, subject)
        elif "class" in rows:
            figure = _classes(rows, train, caption, theme)
        elif "date" in rows:
            figure = _prices(rows, caption, theme, doubt, subject, interval if part == "test" else None)
        else:
            figure = _plain_rows(rows, train, caption, theme, doubt)
        save(figure, path)


def _prices(
    rows: pd.DataFrame, caption: str, theme: Theme, doubt: str, subject: str, interval: Interval | None
) -> Figure:
    """Price and prediction, residuals, and the squared error saved so far: of the whole part and of its last rows."""
    unit = row_unit(rows["date"].to_numpy())
    actual, prediction = rows["actual"].to_numpy(), rows["prediction"].to_numpy()
    error, reference = (prediction - actual) ** 2, (rows["last"].to_numpy() - actual) ** 2
    saved = (reference - error).cumsum() / (reference.sum() or 1.0)
    # Nights and weekends would leave gaps between the rows of a day, so these rows have equal distances.
    place_N = np.arange(len(rows)) if unit == "row" else rows["date"].to_numpy()
    columns = [len(rows), ZOOM] if len(rows) > 1.5 * ZOOM else [len(rows)]
    caption += f". Grey band: the last {ZOOM} {unit}s" if len(columns) == 2 else ""
    band = None if interval is None else _band(rows, interval)
    if interval is not None and interval.coverage is not None:
        inside = f"contained {percent(interval.coverage)} of the test part's prices"
        caption += f". Orange band: the {percent(interval.level)} interval, which {inside}"
    figure = theme.sheet(subject + _saving(error, reference, "tomorrow = today", doubt), 6.4, caption)
    grid = figure.subplots(
        3, len(columns), sharex="col", squeeze=False, width_ratios=[1.5, 1][: len(columns)], height_ratios=[1.8, 1, 1]
    )
    for (price, residual, gain), count in zip(grid.T, columns, strict=True):
        whole, shown = count == len(rows), slice(-count, None)
        date = place_N[shown]
        price.plot(date, actual[shown], color=theme.ink, lw=1.2)
        price.plot(date, prediction[shown], color=theme.orange, lw=1.2, ls=(0, (3, 1.5)) if whole else "-")
        if band is not None and count == columns[-1]:
            price.fill_between(date, band[0][shown], band[1][shown], color=theme.orange, alpha=0.18, lw=0)
        residual.axhline(0, color=theme.muted, lw=0.8)
        residual.vlines(date, 0, (actual - prediction)[shown], color=theme.green, lw=0.6 if whole else 1.6)
        gain.axhline(0, color=theme.muted, lw=0.8)
        gain.plot(date, saved[shown], color=theme.blue, lw=1.4)
        gain.yaxis.set_major_formatter(percent)
        for axes in (price, residual):
            axes.yaxis.set_major_formatter(plain)
        if not whole:
            for axes in grid[:, 0]:
                axes.axvspan(date[0], date[-1], color=theme.faint, zorder=0, lw=0)
            axes.margins(x=0.01)
        gain.margins(x=0.01)
        if unit == "row":
            _few_rows(gain, pd.DatetimeIndex(rows["date"]), 4)
        else:
            few_dates(gain, 6)
    grid[0, 0].set_title("Price, in the data's unit")
    grid[1, 0].set_title("Price - prediction, in the data's unit")
    grid[2, 0].set_title(
        "Squared error saved so far, as a share of the part's error of tomorrow = today"
    ).set_in_layout(False)
    if len(columns) == 2:
        grid[0, 1].set_title(f"The last {ZOOM} {unit}s, to {pd.Timestamp(rows['date'].iloc[-1]):%Y-%m-%d}")
    last = place_N[-1]
    theme.label(grid[0, -1], last, actual[-1], "price", theme.ink)
    theme.label(grid[0, -1], last, prediction[-1], "prediction", theme.orange)
    theme.label(grid[2, -1], last, saved[-1], percent(saved[-1]), theme.blue)
    return figure


def _band(rows: pd.DataFrame, interval: Interval) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the one-step interval at each row."""
    half = interval.series_width_H.get(str(rows["series"].iloc[0]), interval.width_H)[0]
    prediction = rows["prediction"].to_numpy()
    if interval.unit == "quantiles":
        low, high = (rows[f"quantile_{q:g}"].to_numpy() for q in QUANTILES[1:])
        return prediction - half * (prediction - low).clip(0), prediction + half * (high - prediction).clip(0)
    size = half * (rows["last"].to_numpy() if interval.unit == "price" else np.ones(len(rows)))
    return prediction - size, prediction + size


def _plain_rows(rows: pd.DataFrame, train: pd.DataFrame, caption: str, theme: Theme, doubt: str) -> Figure:
    """Prediction against actual value, and the residuals."""
    actual, prediction = rows["actual"].to_numpy(), rows["prediction"].to_numpy()
    reference = (train["actual"].mean() - actual) ** 2
    title = _saving((prediction - actual) ** 2, reference, "the training mean", doubt)
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


def _directions(rows: pd.DataFrame, train: pd.DataFrame, caption: str, theme: Theme, subject: str) -> Figure:
    """Draw the reliability, the confusion matrix, and the lead in correct rows.

    The lead is over a model that always predicts the more frequent direction.
    """
    probability_N, up_N = rows["probability_up"].to_numpy(), rows["up"].to_numpy()
    majority, names, units = int(train["up"].mean() > 0.5), ("down", "up"), row_unit(rows["date"].to_numpy()) + "s"
    figure, below = _class_panels(probability_N, up_N, names, majority, units, "a rise", caption, theme, subject)
    lead_N = (((probability_N > 0.5) == up_N).astype(int) - (up_N == majority)).cumsum()
    date_N = rows["date"].to_numpy()
    below.axhline(0, color=theme.muted, lw=0.8)
    below.plot(date_N, lead_N, color=theme.blue, lw=1.4)
    below.set(title=f"Correct {units} so far, minus those of always {names[majority]}")
    below.margins(x=0.01)
    few_dates(below, 8)
    below.yaxis.set_major_formatter(plain)
    sign = "+" if lead_N[-1] > 0 else ""
    theme.label(below, date_N[-1], lead_N[-1], f"{sign}{plain(lead_N[-1])} {units}", theme.blue)
    return figure


def _classes(rows: pd.DataFrame, train: pd.DataFrame, caption: str, theme: Theme) -> Figure:
    """Draw the reliability, the confusion matrix, and the distribution of the probabilities for each class."""
    probability_N, class_N = rows["probability"].to_numpy(), rows["class"].to_numpy()
    majority, names = int(train["class"].mean() > 0.5), ("class 0", "class 1")
    figure, below = _class_panels(probability_N, class_N, names, majority, "rows", "class 1", caption, theme)
    edges = np.linspace(0, 1, 41)
    for number, sign, colour in ((1, 1, theme.blue), (0, -1, theme.orange)):
        count = sign * np.histogram(probability_N[class_N == number], edges)[0]
        below.stairs(count, edges, fill=True, color=colour, alpha=0.85)
        theme.label(below, 1.0, sign * max(1, abs(count).max()) / 2, names[number], colour)
    below.axhline(0, color=theme.ink, lw=0.8)
    below.axvline(0.5, color=theme.muted, lw=0.8)
    below.set(title="Rows with each probability", xlabel="predicted probability of class 1", xlim=(0, 1))
    below.xaxis.set_major_formatter(percent)
    below.yaxis.set_major_formatter(lambda count, place: plain(abs(count)))
    return figure


def _class_panels(
    probability_N: np.ndarray,
    actual_N: np.ndarray,
    names: tuple[str, str],
    majority: int,
    unit: str,
    event: str,
    caption: str,
    theme: Theme,
    subject: str = "",
) -> tuple[Figure, Axes]:
    """Return a figure with the reliability and the confusion matrix of two classes, and an empty panel below them.

    Args:
        probability_N: the predicted probability of class 1.
        actual_N: the actual class, 0 or 1.
        names: the names of the classes.
        majority: the more frequent class of the training part.
        unit: the name of the samples, ``days`` or ``rows``.
        event: the meaning of class 1.
        caption, theme: the caption and the theme of the picture.
        subject: the start of the title.
    """
    correct, usual = ((probability_N > 0.5) == actual_N).mean(), (actual_N == majority).mean()
    correctly = f"{100 * correct:.1f} % of the {unit} were predicted correctly"
    title = f"{subject}{correctly}; always {names[majority]}: {100 * usual:.1f} %"
    figure = theme.sheet(title, 6.4, f"{caption}, {len(actual_N):,} {unit}")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.2, 1], height_ratios=[1.35, 1])
    left, right, below = (figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))
    _reliability(left, probability_N, actual_N, theme)
    left.set(title=f"Share of {unit} with {event}", xlabel=f"predicted probability of {event}")
    _confusion(right, probability_N > 0.5, actual_N, names, theme)
    return figure, below


def _reliability(axes: Axes, probability_N: np.ndarray, actual_N: np.ndarray, theme: Theme) -> None:
    """Draw the share of class 1 against its predicted probability, in groups of equal size.

    The bars are 95 % intervals of the share s, +-1.96 sqrt(s (1 - s) / n).
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


def _confusion(axes: Axes, predicted_N: np.ndarray, actual_N: np.ndarray, names: tuple[str, str], theme: Theme) -> None:
    """Draw how many samples of each actual class were predicted as each class."""
    count = np.array([[int(((actual_N == a) & (predicted_N == p)).sum()) for p in (0, 1)] for a in (0, 1)])
    share = count / np.maximum(1, count.sum(1, keepdims=True))
    colours = LinearSegmentedColormap.from_list("", [theme.faint, theme.blue])
    axes.pcolormesh(share, cmap=colours, vmin=0, vmax=1, edgecolors=theme.paper, lw=2)
    for actual in (0, 1):
        for predicted in (0, 1):
            colour = theme.paper if share[actual, predicted] > 0.5 else theme.ink
            text = f"{count[actual, predicted]:,}\n{percent(share[actual, predicted])}"
            axes.text(predicted + 0.5, actual + 0.5, text, ha="center", va="center", color=colour, linespacing=1.5)
    axes.set(title="Rows, and shares of each actual class", xlabel="predicted", ylabel="actual")
    axes.set_xticks([0.5, 1.5], names)
    axes.set_yticks([0.5, 1.5], names, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def few_dates(axes: Axes, most: int) -> None:
    """Show at most this many dates on the axis."""
    locator = AutoDateLocator(minticks=3, maxticks=most)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def _few_rows(axes: Axes, date_N: pd.DatetimeIndex, most: int) -> None:
    """Show at most this many rows, with their dates, on the axis."""
    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))

    def shown(place: float, _: int) -> str:
        row = round(place)
        return f"{date_N[row]:%Y-%m-%d\n%H:%M}" if 0 <= row < len(date_N) else ""

    axes.xaxis.set_major_formatter(FuncFormatter(shown))


def _saving(error_N: np.ndarray, reference_N: np.ndarray, reference: str, doubt: str) -> str:
    """A sentence: how much of the reference's squared error the model saved."""
    mine, other = float(error_N.sum()), float(reference_N.sum())
    if not np.isfinite(mine):
        return "Some predictions are not finite numbers"
    if other == 0 or mine >= other:
        size = compared(mine / other) if other else "equal to" if mine == 0 else "above"
        return f"The model's squared error is {size} that of {reference}"
    if mine == 0:
        saved = "The model's predictions are exact"
    elif mine < 0.005 * other:
        saved = f"The model saved all but {percent(mine / other)} of the squared error against {reference}"
    else:
        saved = f"The model saved {percent(1 - mine / other)} of the squared error against {reference}"
    return f"{saved}; the lead is {doubt}" if doubt else saved
