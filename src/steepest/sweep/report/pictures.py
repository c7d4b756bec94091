"""The winner's pictures: the files in its folder, or else charts of its predictions and curves."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from steepest.observe.curves import read_curves, thinned
from steepest.sweep.report.charts import FAINT, INK, LEGEND, Chart, figure
from steepest.sweep.report.scales import BEST, DECADES, WORST, plain

BYTES = 6_000_000  # of pictures on the page, at most
ROWS, SERIES, POINTS = 2000, 12, 500  # most rows of a chart, series, and points of a curve


@dataclass
class Pictures:
    """The winner's pictures.

    Attributes:
        images: name and data URI of each file in figures/.
        left_out: files that would make the page too large.
        charts: drawn from the winner's records if there are no files.
    """

    images: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)


def winners_pictures(folder: Path) -> Pictures:
    """The pictures in one job's folder, or charts of its records."""
    found = Pictures()
    total = 0
    for path in sorted((folder / "figures").glob("*.png")):
        total += path.stat().st_size
        if total > BYTES:
            found.left_out.append(path.name)
            continue
        data = base64.b64encode(path.read_bytes()).decode()
        found.images.append((path.stem.replace("_", " "), f"data:image/png;base64,{data}"))
    if not found.images:
        predictions = _predictions(folder / "predictions.csv")
        found.charts = [chart for chart in (predictions, _losses(folder)) if chart is not None]
    return found


def _predictions(path: Path) -> Chart | None:
    if not path.exists():
        return None
    table = pd.read_csv(path)
    part = table["part"].iloc[-1]  # test, if there is one
    table = table[table["part"] == part]
    if "horizon" in table:
        table = table[table["horizon"] == table["horizon"].min()]
    if "class" in table:
        return Chart("predictions", {"": _classes(table, part)}, f"Predicted probabilities of class 1, {part} part")
    if "series" not in table:
        return Chart(
            "predictions", {"": _rows(table.tail(ROWS), part)}, f"Prediction against actual value, {part} part"
        )
    draw = _directions if "probability_up" in table else _prices
    series = list(dict.fromkeys(table["series"]))[:SERIES]
    figures = {str(name): draw(table[table["series"] == name].tail(ROWS), part) for name in series}
    return Chart("predictions", figures, f"Price and prediction on the {part} part")


def _prices(rows: pd.DataFrame, part: str) -> go.Figure:
    made = figure(
        480, hovermode="x unified", legend=LEGEND,
        yaxis={"domain": [0.36, 1], "title": {"text": f"price, {plain(part)} part"}},
        yaxis2={"domain": [0, 0.28], "title": {"text": "saved so far"}}, xaxis={"anchor": "y2"},
    )  # fmt: skip
    gain = (rows["last"] - rows["actual"]) ** 2 - (rows["prediction"] - rows["actual"]) ** 2
    made.add_scatter(x=rows["date"], y=rows["actual"], name="price", mode="lines", line={"color": INK, "width": 1.4})
    made.add_scatter(
        x=rows["date"], y=rows["prediction"], name="prediction", mode="lines",
        line={"color": WORST, "width": 1.4, "dash": "dot"},
    )  # fmt: skip
    made.add_scatter(
        x=rows["date"], y=gain.cumsum(), name="squared error saved against tomorrow = today; below 0: worse",
        yaxis="y2", mode="lines", line={"color": BEST, "width": 1.6},
    )  # fmt: skip
    return made


def _directions(rows: pd.DataFrame, part: str) -> go.Figure:
    made = figure(
        380, yaxis={"title": {"text": f"probability of up, {plain(part)} part"}},
        legend=LEGEND,
    )  # fmt: skip
    made.add_scatter(
        x=rows["date"], y=rows["probability_up"], name="predicted", mode="lines", line={"color": BEST, "width": 1.2}
    )
    made.add_scatter(
        x=rows["date"], y=rows["up"], name="actual (1 = up)", mode="markers", marker={"color": FAINT, "size": 4}
    )
    return made


def _rows(rows: pd.DataFrame, part: str) -> go.Figure:
    made = figure(
        420, xaxis={"title": {"text": f"actual, {plain(part)} part"}}, yaxis={"title": {"text": "prediction"}},
        showlegend=False,
    )  # fmt: skip
    ends = [float(rows["actual"].min()), float(rows["actual"].max())]
    made.add_scatter(x=rows["actual"], y=rows["prediction"], mode="markers", marker={"color": BEST, "opacity": 0.6})
    made.add_scatter(x=ends, y=ends, mode="lines", line={"color": INK, "width": 1})
    return made


def _classes(rows: pd.DataFrame, part: str) -> go.Figure:
    made = figure(
        420, xaxis={"title": {"text": f"predicted probability of class 1, {plain(part)} part"}},
        yaxis={"title": {"text": "rows"}}, barmode="overlay",
        legend=LEGEND,
    )  # fmt: skip
    for kind, colour in ((0, BEST), (1, WORST)):
        made.add_histogram(
            x=rows.loc[rows["class"] == kind, "probability"], name=f"class {kind}", opacity=0.65,
            marker={"color": colour}, xbins={"start": 0, "end": 1, "size": 0.025},
        )  # fmt: skip
    return made


def _losses(folder: Path) -> Chart | None:
    names = {"train/full_loss": ("whole training part", BEST), "val/loss": ("whole validation part", WORST)}
    curves = read_curves(folder, list(names))
    if not curves:
        return None
    made = figure(
        340, xaxis={"title": {"text": "updates"}}, yaxis={"title": {"text": "loss"}}, hovermode="x unified",
        legend=LEGEND,
    )  # fmt: skip
    for tag, (called, colour) in names.items():
        if tag in curves:
            curve = thinned(curves[tag], POINTS)
            made.add_scatter(
                x=curve.steps, y=curve.values, name=called, mode="lines", line={"color": colour, "width": 2}
            )
    values = np.concatenate([c.values for c in curves.values()])
    if values.min() > 0 and values.max() >= DECADES * values.min():
        made.layout.yaxis.type = "log"
    return Chart("losses", {"": made}, "The winner's losses by update")
