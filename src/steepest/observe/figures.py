"""Pictures of predictions, losses and parameters. The colours (Okabe and Ito) are safe for colour-blind readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLACK, ORANGE, BLUE, GREEN, RED = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"


def draw_predictions(predictions: pd.DataFrame, title: str, path: Path) -> None:
    """Price and prediction on the last part, the residuals, and the squared error saved against tomorrow = today.

    `predictions` is `Evaluation.predictions`. The picture shows the first of several series, and the first day of a
    longer horizon.
    """
    part = predictions["part"].iloc[-1]
    rows = predictions[predictions["part"] == part]
    if "series" in rows:
        rows = rows[(rows["series"] == rows["series"].iloc[0]) & (rows["horizon"] == 1)]
        title = f"{title}: {rows['series'].iloc[0]}"
    figure = Figure(figsize=(9, 7), layout="constrained")
    if "probability_up" in rows:
        axes = figure.subplots()
        axes.plot(rows["date"], rows["probability_up"], color=BLUE, lw=0.9, label="predicted probability of up")
        axes.scatter(rows["date"], rows["up"], color=BLACK, s=4, label="actual (1 = up)")
        axes.axhline(0.5, color=ORANGE, lw=0.8)
        axes.set(ylabel="probability", title=f"{title}, {part} part")
    elif "class" in rows:
        axes = figure.subplots()
        for kind, colour in ((0, BLUE), (1, ORANGE)):
            chances = rows.loc[rows["class"] == kind, "probability"]
            axes.hist(chances, bins=40, range=(0, 1), color=colour, alpha=0.65, label=f"rows of class {kind}")
        axes.axvline(0.5, color=BLACK, lw=0.8)
        axes.set(xlabel="predicted probability of class 1", ylabel="rows", title=f"{title}, {part} part")
    elif "date" in rows:
        axes, middle, beneath = figure.subplots(3, 1, sharex=True, height_ratios=[2.2, 1, 1])
        middle.plot(rows["date"], rows["actual"] - rows["prediction"], color=GREEN, lw=0.7, label="residual")
        middle.axhline(0, color=BLACK, lw=0.6)
        middle.set(ylabel="price - prediction")
        axes.plot(rows["date"], rows["actual"], color=BLACK, lw=1.1, label="price")
        axes.plot(rows["date"], rows["prediction"], color=ORANGE, lw=1.1, ls="--", label="prediction")
        axes.set(ylabel="price", title=f"{title}, {part} part, next day")
        gain = (rows["last"] - rows["actual"]) ** 2 - (rows["prediction"] - rows["actual"]) ** 2
        beneath.plot(
            rows["date"], gain.cumsum(), color=BLUE, lw=1.1, label="squared error saved so far against tomorrow = today"
        )
        beneath.axhline(0, color=BLACK, lw=0.6)
        beneath.set(ylabel="below 0: worse")
    else:
        axes = figure.subplots()
        axes.scatter(rows["actual"], rows["prediction"], color=BLUE, s=9, label="rows")
        ends = [float(rows["actual"].min()), float(rows["actual"].max())]
        axes.plot(ends, ends, color=BLACK, lw=0.8, label="prediction = actual")
        axes.set(xlabel="actual", ylabel="prediction", title=f"{title}, {part} part")
    save(figure, path)


def draw_losses(losses_K: np.ndarray, history: pd.DataFrame, title: str, path: Path) -> None:
    """The loss of every update's batch, and the loss of the whole train and val parts after every epoch."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, len(losses_K) + 1), losses_K, color="#999999", lw=0.5, label="loss of each update's batch")
    metric, called, unit = "mse_scaled", "mean squared error", "scaled by the training part"
    if "train/mse_scaled" not in history:
        metric, called, unit = "cross_entropy", "cross-entropy", "nats"
    values = [losses_K]
    for part, colour in (("train", BLUE), ("val", ORANGE)):
        if f"{part}/{metric}" in history:
            values.append(history[f"{part}/{metric}"].to_numpy())
            axes.plot(history["updates"], values[-1], color=colour, lw=1.6, label=f"{called}, whole {part} part")
    every = np.concatenate(values)
    if len(every) and 0 < 10 * np.nanmin(every) < np.nanmax(every):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # plain numbers do not need the formula renderer, which starts slowly
    axes.set(xlabel="updates", ylabel=unit, title=title)
    save(figure, path)


def draw_parity(rows: pd.DataFrame, path: Path) -> None:
    """The losses of a hand-derived model and of its copy trained by autograd, and below them the gaps between the two.

    `rows` is `Parity.table()`. The axis of the gaps is logarithmic, with a place for a gap of 0.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes, beneath = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
    axes.plot(rows["update"], rows["loss_by_autograd"], color=ORANGE, lw=3.2, label="gradients by autograd")
    axes.plot(rows["update"], rows["loss_by_hand"], color=BLACK, lw=0.8, label="gradients derived by hand")
    title = "One seed, the same batches, two ways to compute the gradient"
    axes.set(ylabel="loss of each update's batch", yscale="log", title=title)
    gaps = {
        "loss_difference": (RED, "difference of the losses"),
        "parameter_difference": (BLUE, "greatest difference of a parameter"),
    }
    positive = np.concatenate([rows.loc[rows[name] > 0, name] for name in gaps])
    least = 10.0 ** np.floor(np.log10(positive.min())) if len(positive) else 1e-17
    greatest = positive.max() if len(positive) else least
    for name, (colour, label) in gaps.items():
        never = "" if (rows[name] > 0).any() else " (0: equal to the last bit)"
        beneath.plot(rows["update"], rows[name], ".", ms=3, color=colour, label=label + never)
    beneath.set_yscale("symlog", linthresh=least)  # logarithmic, with a place for 0
    beneath.set(xlabel="updates", ylabel="gap", ylim=(-0.3 * least, 2 * greatest))
    save(figure, path)


def draw_numbers(
    names: list[str], starts: list[np.ndarray], ends: list[np.ndarray], gradients: list[np.ndarray], path: Path
) -> None:
    """Histograms of each parameter tensor at the start and at the end, and of its gradient at the end."""
    figure = Figure(figsize=(9, 1.9 * len(names) + 0.6), layout="constrained")
    grid = figure.subplots(len(names), 2, squeeze=False)
    for row, (numbers, slopes) in enumerate(grid):
        start, end, gradient = (tensors[row].ravel() for tensors in (starts, ends, gradients))
        bins = np.histogram_bin_edges(np.concatenate([start, end]), 30).tolist()
        # One filled outline is drawn faster than 30 bars.
        numbers.hist(start, bins, histtype="stepfilled", color=BLUE, alpha=0.5, label="at the start")
        numbers.hist(end, bins, histtype="stepfilled", color=ORANGE, alpha=0.7, label="at the end")
        slopes.hist(gradient, 30, histtype="stepfilled", color=GREEN, alpha=0.8, label="gradient at the end")
        numbers.set(ylabel=f"{names[row]}: count")
        for axes in (numbers, slopes):
            axes.locator_params(axis="x", nbins=6)
    grid[-1, 0].set(xlabel="parameter")
    grid[-1, 1].set(xlabel="gradient (loss / parameter)")
    figure.suptitle("All parameters, and the gradient of the training loss", fontsize=12)
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


def save(figure: Figure, path: Path, solid: bool = False) -> None:
    """Finish all axes that have labels, and write the figure as PNG."""
    for axes in figure.axes:
        if axes.get_legend_handles_labels()[1]:
            finish(axes, solid)
    path.parent.mkdir(parents=True, exist_ok=True)
    lay_out(figure, dpi=110).print_png(path, pil_kwargs={"compress_level": 1})


def lay_out(figure: Figure, dpi: int) -> FigureCanvasAgg:
    """Compute the figure's layout and freeze it; `savefig` would compute it in an extra pass over all artists."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine("none")
    return canvas
