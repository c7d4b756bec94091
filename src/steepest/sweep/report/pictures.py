"""The winner's pictures: the files in its folder, or else charts of its predictions and curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from steepest.data.calendar import row_unit
from steepest.evaluate.predictions import read_table
from steepest.observe.curves import read_curves, thinned
from steepest.runs.files import unreadable
from steepest.runs.report.html import read_images
from steepest.sweep.report.charts import FAINT, INK, LEGEND, TICK, TITLE, Chart, figure
from steepest.sweep.report.scales import BEST, DECADES, WORST, log_ticks, plain, short

ROWS, SERIES, POINTS = 2000, 12, 500  # most rows of a chart, series, and points of a curve
LAST = 60  # rows; with more, price and prediction are indistinguishable


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
    images = read_images(folder)
    found = Pictures(images.shown, images.left_out)
    if not found.images:
        predictions = _predictions(folder)
        found.charts = [chart for chart in (predictions, _losses(folder)) if chart is not None]
    return found


def _predictions(folder: Path) -> Chart | None:
    try:
        table = read_table(folder, first_step=True)
        return None if table is None else _predictions_chart(table)
    except (OSError, ValueError, LookupError, TypeError) as error:  # the file is damaged
        raise unreadable(folder / "predictions.csv", error) from None


def _predictions_chart(table: pd.DataFrame) -> Chart:
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
    series = list(dict.fromkeys(table["series"]))[:SERIES]
    units = row_unit(pd.to_datetime(table.loc[table["series"] == series[0], "date"]).to_numpy()) + "s"
    figures = {}
    for name in series:
        rows = table[table["series"] == name]
        if "probability_up" in table:
            figures[str(name)] = _directions(rows.tail(ROWS), part)
            continue
        gain = (rows["last"] - rows["actual"]).abs() - (rows["prediction"] - rows["actual"]).abs()
        rows = rows.assign(saved=gain.cumsum(skipna=False))
        figures[f"{name}, last {LAST} {units}"] = _prices(rows, part, units, LAST)
        if len(rows) > LAST:
            figures[f"{name}, whole {part} part"] = _prices(rows, part, units, ROWS)
    return Chart("predictions", figures, f"Price and prediction on the {part} part")


def _prices(rows: pd.DataFrame, part: str, units: str, most: int) -> go.Figure:
    """Price and prediction on the last `most` rows; below, the absolute error saved since the part's first row."""
    saved = float(rows["saved"].iloc[-1])
    title = f"Over the {len(rows)} {units} of the {part} part, {_against(saved)}"
    rows = rows.tail(most)
    made = figure(
        480, title, hovermode="x unified", showlegend=False,
        margin={"l": 70, "r": 20, "t": 40, "b": 40},
        yaxis={"domain": [0.42, 1], "title": {"text": "data's unit"}},
        yaxis2={"domain": [0, 0.28], "title": {"text": "data's unit"}, "zeroline": True},
        xaxis={"anchor": "y2", "nticks": 5},
    )  # fmt: skip
    common = {"x": rows["date"], "mode": "lines"}
    made.add_scatter(y=rows["actual"], name="price", line={"color": INK, "width": 1.4}, **common)
    made.add_scatter(y=rows["prediction"], name="prediction", line={"color": WORST, "width": 1.6}, **common)
    made.add_scatter(y=rows["saved"], name="saved", yaxis="y2", line={"color": BEST, "width": 1.6}, **common)
    for height, text in (
        (1.0, f"Price and <span style='color:{WORST}'><b>prediction for that day</b></span>"),
        (0.28, f"<span style='color:{BEST}'><b>Error saved so far</b></span> (&lt; 0: worse)"),
    ):
        made.add_annotation(
            x=0, y=height, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=6, text=text,
            showarrow=False, align="left", font={"size": TITLE},
        )  # fmt: skip
    return made


def _against(saved: float) -> str:
    """Compare the sum of the absolute errors with that of the reference."""
    if not np.isfinite(saved):
        return "some predictions are not finite numbers"
    if saved == 0:
        return "the absolute errors sum to as much as with tomorrow = today"
    return f"the absolute errors sum to {abs(saved):.4g} {'less' if saved > 0 else 'more'} than with tomorrow = today"


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
    names = {"train/full_loss": ("training", BEST), "val/loss": ("validation", WORST)}
    curves = {tag: thinned(curve, POINTS) for tag, curve in read_curves(folder, list(names)).items()}
    if not curves:
        return None
    finding = ""
    if "val/loss" in curves and np.isfinite(curves["val/loss"].values).any():
        curve = curves["val/loss"]
        place = int(np.nanargmin(curve.values))
        finding = f"The validation loss is lowest, {short(float(curve.values[place]))}, at update {curve.steps[place]}"
    made = figure(
        340, finding, xaxis={"title": {"text": "updates"}}, yaxis={"title": {"text": "loss (scaled prices)"}},
        hovermode="x unified", showlegend=False, margin={"l": 70, "r": 80, "t": 30, "b": 60},
    )  # fmt: skip
    upper = max(curves, key=lambda tag: curves[tag].values[-1])
    for tag, curve in curves.items():
        called, colour = names[tag]
        made.add_scatter(
            x=curve.steps, y=curve.values, name=called, mode="lines+text", line={"color": colour, "width": 2},
            text=[""] * (len(curve.steps) - 1) + [called], textfont={"color": colour, "size": TICK},
            textposition="top right" if tag == upper else "bottom right", hoverinfo="name+y", cliponaxis=False,
        )  # fmt: skip
    values = np.concatenate([c.values for c in curves.values()])
    if values.min() > 0 and values.max() >= DECADES * values.min():
        low, high = np.log10(values.min()), np.log10(values.max())
        made.layout.yaxis.update(type="log", **log_ticks(float(low), float(high)))
    return Chart("losses", {"": made}, "The winner's losses by update")
