"""The page of `steepest compare`: how the configs of some runs differ, their scores, and their curves."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.offline
from markupsafe import Markup

from steepest.data.faults import counted
from steepest.evaluate.names import HEADINGS, score_text
from steepest.observe.curves import Curve, read_curves, thinned
from steepest.runs.listing import RECORD, read_run
from steepest.runs.report.facts import PARTS, read_files
from steepest.runs.report.html import environment, near, shared_parts, write_page
from steepest.sweep.report.charts import LEGEND, Chart, figure
from steepest.sweep.report.descents import OKABE_ITO, TRAIN
from steepest.sweep.report.page import embedded
from steepest.sweep.report.scales import plain

HERE = Path(__file__).parent
MOST = len(OKABE_ITO)  # runs: each has a colour
POINTS = 1000  # of a curve
NOT_A_SETTING = ("resume", "trust", "name", "callbacks.progress")  # keys and nodes that do not change results
IGNORED = tuple(f"{key}." for key in NOT_A_SETTING)
ABSENT = "-"  # shown for a key or a score that a run does not have


@dataclass
class Compared:
    """A run of the page.

    Attributes:
        name: its path below the common folder of all runs.
        row: its row of `steepest.runs`.
        config: its config by full keys.
        scores: part -> score -> value of the model.
        curves: tag -> curve.
    """

    name: str
    row: dict[str, Any]
    config: dict[str, Any]
    scores: dict[str, dict[str, float | None]]
    curves: dict[str, Curve]


def write_comparison(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page about these runs to `out`, or to compare.html in their common folder.

    Raises:
        ValueError: for one run or too many, for a folder without a run, and for a damaged record.
    """
    if not 2 <= len(folders) <= MOST:
        raise ValueError(f"{counted(len(folders), 'run')}: give the folders of 2 to {MOST} runs")
    if repeated := [folder for folder in folders if [f.resolve() for f in folders].count(folder.resolve()) > 1]:
        raise ValueError(f"{repeated[0]} is given twice: give each run once")
    for folder in folders:
        if not (folder / RECORD).exists():
            raise ValueError(f"{folder}: there is no {RECORD}, so no run: give the folder of a run or of a sweep's job")
    common = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    compared = [_read(folder, common) for folder in folders]
    return write_page(common, out or common / "compare.html", lambda home: page(compared, common))


def page(runs: Sequence[Compared], common: Path) -> str:
    """Return the HTML of the page."""
    templates = environment(HERE)
    chart = _chart(runs)
    charts = [chart] if chart.figures else []
    given = {
        "runs": runs,
        "folder": near(common),
        "differences": differences([run.config for run in runs]),
        "scores": _scores(runs),
        "charts": charts,
        "figures": embedded(charts),
        **shared_parts(),
        "script": Markup((HERE / "page.js").read_text()),
        "plotly": Markup(plotly.offline.get_plotlyjs()) if charts else "",
    }
    return templates.get_template("compare.html.j2").render(given)


def differences(configs: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the keys whose values differ, with the value of each config."""
    keys = dict.fromkeys(key for config in configs for key in config if not f"{key}.".startswith(IGNORED))
    rows = [(key, [_text(config[key]) if key in config else ABSENT for config in configs]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _text(value: Any) -> str:
    """Return a value as in a config file."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _read(folder: Path, common: Path) -> Compared:
    listed, files = read_run(folder), read_files(folder)
    if listed.row["problem"]:
        raise ValueError(listed.row["problem"])
    metrics = files.metrics
    scores = {"train": metrics.train, "val": metrics.val, "test": metrics.test}
    return Compared(
        str(folder.absolute().relative_to(common)), listed.row, listed.config, scores, read_curves(folder, None)
    )


def _scores(runs: Sequence[Compared]) -> list[tuple[str, str, list[str]]]:
    """Return part, score, and the value of each run."""
    rows = []
    for part in PARTS:
        for name in dict.fromkeys(name for run in runs for name in run.scores[part]):
            values = [score_text(name, run.scores[part].get(name)) for run in runs]
            rows.append((part, HEADINGS.get(name, name), values))
    return rows


def _chart(runs: Sequence[Compared]) -> Chart:
    """The curves of all runs, one figure per tag: the objectives and the training loss first."""
    first = [*(str(run.row["objective"]) for run in runs), TRAIN]
    known = sorted({tag for run in runs for tag, curve in run.curves.items() if len(curve.steps) > 1})
    tags = [tag for tag in dict.fromkeys([*first, *known]) if tag in known]
    return Chart("curves", {tag: _figure(runs, tag) for tag in tags}, "The curves of the runs by update", switch=True)


def _figure(runs: Sequence[Compared], tag: str) -> Any:
    made = figure(
        460, xaxis={"title": {"text": "updates"}}, yaxis={"title": {"text": plain(tag)}}, legend=LEGEND,
        hovermode="x unified", margin={"l": 70, "r": 20, "t": 60, "b": 60},
    )  # fmt: skip
    low = np.inf
    for run, colour in zip(runs, OKABE_ITO, strict=False):
        if tag not in run.curves:
            continue
        curve = thinned(run.curves[tag], POINTS)
        values = np.where(np.isfinite(curve.values), curve.values, np.nan)
        low = min(low, np.nanmin(values, initial=np.inf))
        made.add_scatter(
            x=curve.steps.astype(np.int32), y=values, mode="lines", name=plain(run.name), line={"color": colour},
            hovertemplate="%{y:.5g}",
        )  # fmt: skip
    made.layout.meta = made.layout.meta | {"linear": {"autorange": True}}
    if low > 0:
        made.layout.meta = made.layout.meta | {"log": {"autorange": True}}
    return made
