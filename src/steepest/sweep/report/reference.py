"""The line of tomorrow = today in the report's charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from steepest.sweep.results import PERSISTENCE, Results

FAINT = "var(--faint)"  # page.js replaces it with the theme's colour

Clip = Callable[[np.ndarray], np.ndarray]


def add_persistence(
    made: go.Figure, results: Results, places: Sequence[float] | np.ndarray, ends: Sequence[float], clip: Clip
) -> None:
    """Draw the objective of tomorrow = today as a dashed line, if it is known.

    Jobs may predict different days. If the objective then differs between jobs at the same place, there are two lines,
    the lowest and the highest.

    Args:
        made: the figure.
        results: of the sweep.
        places: each job's place on the horizontal axis.
        ends: both ends of the line if all jobs have the same objective of tomorrow = today.
        clip: moves values beyond the vertical axis to its end.
    """
    levels = [results.persistence_of(row) for row in results.rows]
    known = pd.DataFrame({"place": places, "level": levels}, dtype=float).dropna()
    if known.empty:
        return
    if known["level"].nunique() == 1:
        known = pd.DataFrame({"place": ends, "level": known["level"].iloc[0]})
    by_place = known.groupby("place")["level"]
    lines = [by_place.min(), by_place.max()]
    for number, line in enumerate(lines[:1] if lines[0].equals(lines[1]) else lines):
        values = line.to_numpy()
        shown = clip(values)
        beyond = "" if np.allclose(shown, values) else ", beyond the axis"
        says = [f"{PERSISTENCE}: {value:.5g}{beyond}" for value in values]
        made.add_scatter(
            x=line.index, y=shown, mode="lines+text", name=PERSISTENCE, showlegend=number == 0,
            line={"color": FAINT, "width": 1.6, "dash": "dash"}, textfont={"color": FAINT}, textposition="top left",
            text=[*("" for _ in says[1:]), says[-1]], hovertext=says, hoverinfo="text",
        )  # fmt: skip
