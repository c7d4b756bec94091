"""The report's charts of curves by update: all runs, and bands over seeds. The jobs' event files hold the curves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb, sample_colorscale, unlabel_rgb

from steepest.observe.curves import Curve, read_curves, thinned
from steepest.sweep.report.charts import INK, LEGEND, Chart, figure, some
from steepest.sweep.report.findings import of_curves, of_seeds
from steepest.sweep.report.reference import add_persistence
from steepest.sweep.report.scales import DECADES, KeyAxis, ObjectiveScale, log_ticks, plain, tick
from steepest.sweep.results import Results, value
from steepest.sweep.settings import Row, Setting

POINTS = 200  # of a curve
MAX_CURVES = 400  # maximum number of curves, see `some`
COLOURED, BANDS, SEEN = 8, 24, 8  # groups of a key's values; settings with bands, and those visible at first
# Colours that colour-blind readers can tell apart, on light and dark backgrounds.
BLUE_TO_ORANGE = ["#1a85d6", "#8f74c9", "#c0639b", "#d9601a"]
OKABE_ITO = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8c8c8c", "#b3a600"]
TRAIN = "train/full_loss"


@dataclass
class Descents:
    """Curves of jobs.

    Attributes:
        curves: by tag and job.
        left_out: the number of jobs beyond the limit, whose curves are not read.
    """

    curves: dict[str, dict[int, Curve]]
    left_out: int


def read_descents(results: Results, folder: Path) -> Descents:
    """Each job's curves of the objective and the training loss, also of jobs that failed or are running."""
    rows = [row for row in results.ranked if row["folder"] is not None]
    chosen = some(rows, MAX_CURVES)
    tags = list(dict.fromkeys([results.objective, TRAIN]))
    curves: dict[str, dict[int, Curve]] = {tag: {} for tag in tags}
    for row in chosen:
        for tag, curve in read_curves(folder / row["folder"], tags).items():
            values = np.where(np.isfinite(curve.values), curve.values, np.nan)
            best = None
            if np.isfinite(values).any():
                best = int(np.nanargmax(values) if results.higher and tag != TRAIN else np.nanargmin(values))
            curves[tag][row["job"]] = thinned(Curve(curve.steps, values), POINTS, keep=best)
    return Descents({tag: found for tag, found in curves.items() if found}, len(rows) - len(chosen))


def colour_key(results: Results) -> str | None:
    """The key that colours the curves: the learning rate if it was varied, else the first varied key."""
    rates = [key for key in results.keys if key.rsplit(".", 1)[-1] == "lr"]
    return next(iter([*rates, *results.keys, *results.seeds]), None)


def all_curves(results: Results, descents: Descents) -> Chart:
    """Every run's curve, coloured by a key; the winner's is drawn on top. A dashed line is tomorrow = today."""
    key = colour_key(results)
    figures = {tag: _together(results, tag, curves, key) for tag, curves in descents.curves.items()}
    return Chart("curves", figures, "The curves of all runs by update", switch=True)


def bands(results: Results, descents: Descents) -> Chart | None:
    """Return each setting's mean, minimum and maximum over its seeds, or None if no setting has several jobs."""
    settings = [setting for setting in results.settings if len(setting.rows) > 1]
    if not results.seeds or not settings:
        return None
    figures = {tag: _bands(results, settings[:BANDS], tag, curves) for tag, curves in descents.curves.items()}
    return Chart("bands", figures, "Mean, minimum and maximum over seeds by update", switch=True)


def _together(results: Results, tag: str, curves: dict[int, Curve], key: str | None) -> go.Figure:
    made = _axes(results, tag, curves)
    made.layout.legend.title = {"text": plain(key or "")}
    rows = [row for row in reversed(results.ranked) if row["job"] in curves]  # the best are drawn last
    for label, colour, group in _groups(results, rows, key):
        # One trace per group, with gaps between its curves: hundreds of traces would be slow.
        steps = [np.append(curves[row["job"]].steps, curves[row["job"]].steps[-1]) for row in group]
        values = [np.append(curves[row["job"]].values, np.nan) for row in group]
        jobs = [np.full(len(own), row["job"]) for row, own in zip(group, steps, strict=True)]
        made.add_scatter(
            x=np.concatenate(steps).astype(np.int32), y=np.concatenate(values).astype(np.float32),
            customdata=np.concatenate(jobs).astype(np.int32), mode="lines", name=label, connectgaps=False,
            line={"color": colour, "width": 1.3}, opacity=0.85,
            hovertemplate="job %{customdata}: %{y:.5g} after %{x} updates<extra></extra>",
        )  # fmt: skip
    _persistence(made, results, tag, curves)
    best = results.best
    if best is not None and best["job"] in curves:
        curve = curves[best["job"]]
        higher = results.higher and tag != TRAIN
        who = f"The winner, job {best['job']},"
        name = f"the winner: job {best['job']}"
        if results.best_setting is not None:
            name = f"job {best['job']}, the first of the best setting"
            who = f"J{name[1:]},"
        made.layout.meta = made.layout.meta | {"finding": of_curves(tag, who, curve, higher)}
        made.add_scatter(
            x=curve.steps.astype(np.int32), y=curve.values, mode="lines", line={"color": INK, "width": 3.2},
            name=name,
            hovertemplate=f"{name}: " + "%{y:.5g} after %{x} updates<extra></extra>",
        )  # fmt: skip
    return made


def _groups(results: Results, rows: list[Row], key: str | None) -> list[tuple[str, str, list[Row]]]:
    """Groups of rows that share a colour: label, colour, rows."""
    if key is None:
        return [("the job", OKABE_ITO[0], rows)] if rows else []
    axis = KeyAxis(key, results.values(key))
    parts = np.array_split(np.arange(len(axis.labels)), min(COLOURED, len(axis.labels)))
    made = []
    for number, part in enumerate(parts):
        labels = {axis.labels[place] for place in part}
        first, last = tick(axis.labels[part[0]]), tick(axis.labels[part[-1]])
        label = first + (f" to {last}" if len(part) > 1 else "")
        group = [row for row in rows if value(row, key) in labels]
        if group:
            made.append((label, _colours(len(parts), ordered=axis.kind != "category")[number], group))
    return made


def _bands(results: Results, settings: list[Setting], tag: str, curves: dict[int, Curve]) -> go.Figure:
    made = _axes(results, tag, curves)
    seen = 0
    palette = OKABE_ITO
    if len(results.keys) == 1:  # the same colours as in the chart of all runs
        groups = _groups(results, results.rows, colour_key(results))
        colour_of = {row["job"]: colour for _, colour, rows in groups for row in rows}
        palette = [colour_of[setting.rows[0]["job"]] for setting in settings]
    for setting in settings:
        own = [curves[row["job"]] for row in setting.rows if row["job"] in curves and len(curves[row["job"]].steps)]
        if not own:
            continue
        steps, values_KR = _on_one_grid(own)
        colour = palette[seen % len(palette)]
        name = ", ".join(map(tick, setting.asked.values())) or "all seeds"
        common = {
            "x": steps, "legendgroup": name, "visible": True if seen < SEEN else "legendonly", "connectgaps": False,
        }  # fmt: skip
        over = pd.DataFrame(values_KR.T).agg(["min", "max", "mean", "count"])
        low, high, mean = over.loc[["min", "max", "mean"]].to_numpy(np.float32)
        edge = {"mode": "lines", "line": {"width": 0, "color": colour}, "showlegend": False, "hoverinfo": "skip"}
        made.add_scatter(y=high, **common, **edge)
        made.add_scatter(y=low, **common, **edge, fill="tonexty", fillcolor=_faint(colour))
        made.add_scatter(
            y=mean, **common, mode="lines", name=name, line={"color": colour, "width": 2.2},
            customdata=np.stack([low, high, over.loc["count"]], 1),
            hovertemplate="%{y:.5g} (%{customdata[0]:.5g} to %{customdata[1]:.5g}, %{customdata[2]} seeds)",
        )  # fmt: skip
        seen += 1
    _persistence(made, results, tag, curves)
    made.layout.meta = made.layout.meta | {"finding": of_seeds(results)}
    made.layout.hovermode = "x unified"
    made.layout.legend.title = {"text": plain(", ".join(results.keys)), "side": "top"}
    return made


def _persistence(made: go.Figure, results: Results, tag: str, curves: dict[int, Curve]) -> None:
    """Draw the line of tomorrow = today into a chart of the objective."""
    last = max((int(curve.steps[-1]) for curve in curves.values() if len(curve.steps)), default=0)
    if tag == results.objective and last:
        low, high = made.layout.meta["ends"]
        add_persistence(made, results, [last] * len(results.rows), [0, last], lambda values: values.clip(low, high))


def _on_one_grid(curves: list[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Return all curves at the updates of the longest curve. Values after a curve's end are nan."""
    steps = max(curves, key=lambda curve: curve.steps[-1]).steps
    values = [np.interp(steps, c.steps, c.values, left=np.nan, right=np.nan) for c in curves]
    return steps.astype(np.int32), np.stack(values, 1)


def _axes(results: Results, tag: str, curves: dict[int, Curve]) -> go.Figure:
    """Empty axes that show most finite values; `meta` holds both kinds of vertical axis for the page's switch."""
    made = figure(
        460, xaxis={"title": {"text": "updates"}}, yaxis={"title": {"text": plain(tag)}}, legend=LEGEND,
        hovermode="closest", margin={"l": 70, "r": 20, "t": 60, "b": 60},
    )  # fmt: skip
    # The range comes from runs with a reasonable score: runs that diverged would hide them.
    scale = ObjectiveScale(results) if results.best is not None else None
    fair = [r for r in results.rows if scale and (v := results.score(r)) is not None and not scale.is_cut([v])[0]]
    known = [curves[r["job"]].values for r in fair or results.rows if r["job"] in curves]
    values = np.concatenate(known or [np.array([1.0])])
    values = values[np.isfinite(values)]
    starts = [v[np.isfinite(v)][:1] for v in known]
    low, high = float(values.min()), float(max(np.quantile(np.concatenate(starts), 0.9), np.quantile(values, 0.9)))
    if tag == results.objective:
        levels = [level for row in results.rows if (level := results.persistence_of(row)) is not None]
        near = [level for level in levels if low - (high - low) <= level <= high + (high - low)]
        low, high = min([low, *near]), max([high, *near])
    air = 0.05 * (high - low) or 1.0
    kinds: dict[str, dict[str, Any]] = {"linear": {"range": [low - air, high + air]}}
    if low > 0:
        down, up = np.log10(low), np.log10(high)
        air = 0.05 * (up - down) or 0.1
        kinds["log"] = {"range": [float(down - air), float(up + air)]} | log_ticks(down, up)
    kind = "log" if low > 0 and high >= DECADES * low else "linear"
    made.layout.yaxis.update(type=kind, **kinds[kind])
    made.layout.meta = made.layout.meta | kinds | {"ends": [low, high]}
    return made


def _colours(count: int, ordered: bool) -> list[str]:
    if not ordered:
        return OKABE_ITO
    return sample_colorscale(BLUE_TO_ORANGE, np.linspace(0, 1, count).tolist()) if count > 1 else BLUE_TO_ORANGE[:1]


def _faint(colour: str) -> str:
    red, green, blue = (round(part) for part in (hex_to_rgb(colour) if colour[0] == "#" else unlabel_rgb(colour)))
    return f"rgba({red},{green},{blue},0.16)"
