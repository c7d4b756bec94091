"""The report's charts of the objective against the varied keys, as Plotly figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from steepest.sweep.report.findings import of_all_keys, of_key, of_only_seeds
from steepest.sweep.report.reference import add_persistence
from steepest.sweep.report.scales import BEST, KeyAxis, ObjectiveScale, plain, short
from steepest.sweep.results import Results, shown, value
from steepest.sweep.settings import Row

INK, FAINT = "var(--ink)", "var(--faint)"  # page.js replaces them with the theme's colours
ON_CELLS = "#000000"  # readable on every colour of a heat map, in both themes
LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}  # one line above the chart
CELLS, WRITTEN = 40, 120  # most values along a heat map; most cells with numbers in them
CELL = 38  # pixels that a cell needs for its number
TICK, TITLE = 12, 13  # sizes of text, the same as in page.js
LETTER = 7.5  # maximum width of a letter of a tick label, in pixels
POINTS = 1000  # most jobs that are drawn as points


@dataclass
class Chart:
    """A chart of the page. Readers can switch between its figures.

    Attributes:
        name: a name that is unique on the page.
        figures: label in the list of figures -> figure.
        says: the description for screen readers.
        switch: whether readers can switch the vertical axis between linear and logarithmic.
        width: the minimum width in pixels. A narrower screen scrolls.
    """

    name: str
    figures: dict[str, go.Figure]
    says: str
    switch: bool = False
    width: int = 0


def figure(height: int, finding: str = "", **layout: Any) -> go.Figure:
    """An empty figure without Plotly's default template. The page shows `finding`, a sentence, as its title."""
    made = go.Figure(layout={"height": height, "margin": {"l": 70, "r": 20, "t": 30, "b": 60}} | layout)
    made.layout.template = None
    made.layout.meta = {"finding": finding}
    return made


def axes_of(results: Results) -> list[KeyAxis]:
    """An axis for each varied key. Seeds have none, unless only seeds vary: they only show how much a score spreads."""
    return [KeyAxis(key, results.values(key)) for key in results.keys or results.seeds]


def some(ranked: list[Row], most: int) -> list[Row]:
    """Return the ranked rows.

    If there are more than `most`, half of the returned rows are the best, and half are evenly spaced among the rest.
    """
    if len(ranked) <= most:
        return ranked
    rest = ranked[most // 2 :]
    places = np.linspace(0, len(rest) - 1, most - most // 2).round().astype(int)
    return ranked[: most // 2] + [rest[place] for place in places]


def hover_text(results: Results, row: Row) -> str:
    """The hover text of a job's point."""
    settings = "".join(f"<br>{plain(k)} = {plain(value(row, k))}" for k in results.varied)
    return f"job {row['job']}: {short(results.score(row))}{settings}"


def parallel(results: Results, axes: list[KeyAxis], scale: ObjectiveScale) -> Chart:
    """A line per job through its hyper-parameters to its objective."""
    order = [i for i, row in enumerate(results.rows) if results.score(row) is not None]
    order.sort(key=lambda i: results.worse(results.score(results.rows[i])), reverse=True)  # the best is drawn last
    colour = scale.colour([results.rows[i]["objective"] for i in order])
    ends = [colour["cmin"], colour["cmax"]]
    dimensions = [axis.dimension(order) for axis in axes]
    dimensions.append({"label": plain(scale.name), "values": colour["color"], "range": ends} | scale.ticks())
    # The labels of an axis are on its left, and its name is centred above it. All axes are evenly spaced.
    names = [LETTER * len(d["label"]) + 16 for d in dimensions]
    labels = [LETTER * max(map(len, d.get("ticktext", [""]))) + 16 for d in dimensions]
    margin = {
        "l": max(60, names[0] / 2, labels[0]),
        "r": max(60, names[-1] / 2),
        "t": 76,
        "b": 20,
    }  # the buttons are above the names
    width = margin["l"] + margin["r"] + len(axes) * max(110, *names, *labels[1:])
    made = figure(446, of_all_keys(results, axes), margin=margin)
    made.add_parcoords(
        dimensions=dimensions,
        labelfont={"size": TITLE},
        tickfont={"size": TICK},
        rangefont={"size": TICK},
        line=colour,  # the last axis explains the colours
        unselected={"line": {"color": "#888888", "opacity": 0.12}},
    )
    says = "Parallel coordinates: each job's hyper-parameters and its objective"
    return Chart("parallel", {"": made}, says, width=round(width))


def against(results: Results, axis: KeyAxis, scale: ObjectiveScale) -> Chart:
    """Every job's objective over one key, with mean and deviation at each of the key's values."""
    finding = of_key(results, axis, scale.log) if results.keys else of_only_seeds(results)
    layout = {"xaxis": axis.layout(), "yaxis": scale.layout(), "showlegend": False, "hovermode": "closest"}
    made = figure(340, finding, **layout)
    table = pd.DataFrame({"place": axis.places, "objective": [results.score(row) for row in results.rows]}, dtype=float)
    table["hover"] = [hover_text(results, row) for row in results.rows]
    jobs = {row["job"] for row in some(results.ranked, POINTS)}
    chosen = table[[row["job"] in jobs for row in results.rows]]
    known = chosen.dropna()
    cut = scale.is_cut(known["objective"].to_numpy())
    made.add_scatter(
        x=known["place"], y=scale.shown(known["objective"]), text=known["hover"], mode="markers", hoverinfo="text",
        marker=scale.colour(known["objective"]) | {
            "size": 8, "opacity": 0.65,
            "symbol": np.where(cut, "triangle-down" if scale.higher else "triangle-up", "circle"),
        },
    )  # fmt: skip
    failed = chosen[[row["status"] == "failed" for row in results.rows if row["job"] in jobs]]
    if len(failed):
        made.add_scatter(
            x=failed["place"], y=np.full(len(failed), scale.top), mode="markers", hoverinfo="text",
            text=failed["hover"].str.replace(": -", " failed", n=1),
            marker={"symbol": "x-thin", "size": 8, "line": {"width": 1.5, "color": FAINT}},
        )  # fmt: skip
    _means(made, table.dropna(subset="objective"), axis, scale)
    ends = [-0.5, len(axis.labels) - 0.5] if axis.kind == "category" else [axis.places.min(), axis.places.max()]
    add_persistence(made, results, axis.places, ends, scale.shown)
    best, setting = results.best, results.best_setting
    assert best is not None
    height, says = best["objective"], hover_text(results, best)
    if setting is not None and setting.objective is not None and results.keys:
        height, says = setting.objective.mean, f"best setting: {setting.objective}"
    made.add_scatter(
        x=[axis.places[results.rows.index(best)]], y=scale.shown([height]), mode="markers",
        text=[says], hoverinfo="text",
        marker={"symbol": "star", "size": 15, "color": BEST, "line": {"color": INK, "width": 1}},
    )  # fmt: skip
    return Chart(f"against-{axis.key}", {"": made}, f"{scale.name} of every job over {axis.key}")


def _means(made: go.Figure, known: pd.DataFrame, axis: KeyAxis, scale: ObjectiveScale) -> None:
    """Mean and deviation at each value of a key; on a logarithmic axis, of the logarithms."""
    moved = known.assign(moved=np.log10(known["objective"]) if scale.log else known["objective"])
    groups = moved.groupby("place")["moved"].agg(["mean", "std", "count"])
    if (groups["count"] < 2).all():
        return
    back = (lambda values: 10**values) if scale.log else (lambda values: values)
    means = back(groups["mean"])
    far = scale.is_cut(means)  # a mean beyond the axis is drawn at its end, without a deviation
    ends = scale.range[0], max(scale.best, scale.worst)  # error bars are cut off at the ends of the axis
    low, high = (back((groups["mean"] + sign * groups["std"]).clip(*ends)) for sign in (-1, 1))
    made.add_scatter(
        x=groups.index, y=scale.shown(means), mode="markers" if axis.kind == "category" else "lines+markers",
        line={"color": INK, "width": 1.6},
        marker={"color": INK, "size": 8, "symbol": np.where(far, "diamond-open", "diamond")},
        error_y={
            "type": "data", "symmetric": False, "color": INK, "thickness": 1.2, "width": 5,
            "array": (high - means).mask(far), "arrayminus": (means - low).mask(far),
        },
        text=[f"mean of {n:.0f}: {m:.5g}" for m, n in zip(means, groups["count"], strict=True)], hoverinfo="text",
    )  # fmt: skip


def pairs(results: Results, axes: list[KeyAxis], scale: ObjectiveScale) -> Chart:
    """The objective over each pair of keys: the mean over seeds, and its mean and best value over the other keys."""
    figures = {}
    width = 0
    for across, up in combinations(axes, 2):
        both = f"{across.key} x {up.key}"
        if max(len(across.labels), len(up.labels)) > CELLS:
            figures[both] = _cloud(results, across, up, scale)
            continue
        width = max(width, 90 + CELL * len(across.labels))
        for of in ("mean", "best") if len(axes) > 2 else ("mean",):
            label = f"{both}, {of} over the other keys" if len(axes) > 2 else both
            figures[label] = _cells(results, across, up, scale, of)
    return Chart("pairs", figures, f"{scale.name} over two hyper-parameters", width=width)


def _cells(results: Results, across: KeyAxis, up: KeyAxis, scale: ObjectiveScale, of: str) -> go.Figure:
    """Draw a heat map. A setting's value is its mean over seeds. A cell shows the mean or the best of its settings."""
    table = pd.DataFrame([
        {
            "x": setting.asked[across.key], "y": setting.asked[up.key],
            "objective": setting.objective.mean if setting.objective else None,
            "finished": len(setting.finished), "asked": len(setting.rows),
        }
        for setting in results.settings
    ]).astype({"objective": float})  # fmt: skip
    groups = table.groupby(["y", "x"])
    objective = groups["objective"]
    one = objective.mean() if of == "mean" else objective.max() if scale.higher else objective.min()
    value_YX, known_YX, asked_YX = (
        cells.unstack().reindex(index=up.labels, columns=across.labels)
        for cells in (one, groups["finished"].sum(), groups["asked"].sum())
    )  # fmt: skip
    flat = value_YX.to_numpy()
    colour = scale.colour(flat)
    texts = np.vectorize(partial(_cell, scale.factor), otypes=[object])(flat)
    hover_YX = np.vectorize(_cell_hover, otypes=[object])(flat, known_YX, asked_YX)
    best = np.unravel_index(np.nanargmax(flat) if scale.higher else np.nanargmin(flat), flat.shape)
    y, x = int(best[0]), int(best[1])
    finding = f"Best: {across.key} {shown(across.labels[x])} with {up.key} {shown(up.labels[y])}: {flat[y, x]:.4g}"
    written = flat.size <= WRITTEN
    if written and scale.factor > 1:
        finding += f" (the cells show {scale.name} × {scale.factor:,.0f})"
    margin = {"l": 70, "r": 20, "t": 20, "b": 70}
    made = figure(max(320, 110 + 36 * len(up.labels)), finding, margin=margin)
    made.add_heatmap(
        z=colour["color"], zmin=colour["cmin"], zmax=colour["cmax"], colorscale=colour["colorscale"],
        customdata=hover_YX, text=texts, xgap=2, ygap=2, hoverongaps=True,
        hovertemplate=f"{plain(across.key)} %{{x}}<br>{plain(up.key)} %{{y}}<br>%{{customdata}}<extra></extra>",
        texttemplate="%{text}" if written else None, textfont={"size": TICK, "color": ON_CELLS},
        colorbar=scale.bar(),
    )  # fmt: skip
    failed_YX = (known_YX == 0).to_numpy() & written
    made.add_scatter(
        x=np.nonzero(failed_YX)[1], y=np.nonzero(failed_YX)[0], text=["failed"] * int(failed_YX.sum()), mode="text",
        textfont={"size": TICK, "color": INK}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    for axis, layout in ((across, made.layout.xaxis), (up, made.layout.yaxis)):
        ends = [-0.5, len(axis.labels) - 0.5]
        layout.update(axis.layout() | {"type": "linear", "range": ends, "showgrid": False, "zeroline": False})
        layout.update(tickvals=list(range(len(axis.labels))), ticktext=[plain(t) for t in axis.labels])
    made.add_shape(type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line={"color": INK, "width": 2.5})
    return made


def _cell(factor: float, score: float) -> str:
    """Format a cell's score times a factor. The text is empty if no job with these values finished."""
    return "" if np.isnan(score) else f"{factor * score:#.4g}".rstrip(".")


def _cell_hover(score: float, finished: float, jobs: float) -> str:
    """The hover text of a cell."""
    return "not in the sweep" if np.isnan(jobs) else f"{short(score)}, {finished:.0f} of {jobs:.0f} finished"


def _cloud(results: Results, across: KeyAxis, up: KeyAxis, scale: ObjectiveScale) -> go.Figure:
    jobs = {row["job"] for row in some(results.ranked, POINTS)}
    known = [i for i, row in enumerate(results.rows) if row["job"] in jobs and results.score(row) is not None]
    values = [results.rows[i]["objective"] for i in known]
    best = results.best
    assert best is not None
    finding = f"Best: {across.key} {shown(value(best, across.key))} with {up.key} {shown(value(best, up.key))}"
    layout = {"xaxis": across.layout(), "yaxis": up.layout(), "showlegend": False, "hovermode": "closest"}
    made = figure(460, f"{finding}: {short(best['objective'])}", **layout)
    made.add_scatter(
        x=across.places[known], y=up.places[known], mode="markers", hoverinfo="text",
        text=[hover_text(results, results.rows[i]) for i in known],
        marker=scale.colour(values) | {"size": 11, "showscale": True, "colorbar": scale.bar()},
    )  # fmt: skip
    return made
