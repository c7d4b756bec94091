"""The report's page: fills the template with a sweep's results and writes the file."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

import plotly.offline
from markupsafe import Markup

from steepest.runs.files import read_json
from steepest.runs.report.html import environment, near, shared_parts, write_page
from steepest.sweep.manifest import Manifest
from steepest.sweep.report.charts import POINTS, Chart, against, axes_of, pairs, parallel
from steepest.sweep.report.descents import Descents, all_curves, bands, colour_key, read_descents
from steepest.sweep.report.pictures import Pictures, winners_pictures
from steepest.sweep.report.scales import KeyAxis, ObjectiveScale, short
from steepest.sweep.results import (
    CALLED,
    PERSISTENCE,
    Results,
    again,
    asked,
    heading,
    legible,
    read_results,
    shown,
    value,
)
from steepest.sweep.settings import Row, Spread

HERE = Path(__file__).parent
MAX_ROWS, MAX_FAILURES, MAX_KEYS = 1000, 100, 24
SCORES = ("rmse", "mae", "mape", "cross_entropy", "directional_accuracy", "accuracy", "skill")
MEANING = {  # objective -> description
    "mse_scaled": "mean squared error, in units of the variance of the training prices",
    "mae_scaled": "mean absolute error, in units of the standard deviation of the training prices",
    "mse": "mean squared error, in the data's unit squared",
    "rmse": "root mean square error, in the data's unit",
    "mae": "mean absolute error, in the data's unit",
    "mape": "mean absolute relative error",
    "mase": "mean absolute error, in units of that of tomorrow = today on the training rows",
    "cross_entropy": "in nats",
    "directional_accuracy": "share of correct directions",
    "accuracy": "share of correct classes",
    "skill": "1 - mse / mse of tomorrow = today",
}
BASELINES = {"persistence": PERSISTENCE, "least_squares": "least squares"}


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write a sweep's page: report.html in its folder, or `out`.

    Raises:
        ValueError: if the folder holds no sweep, or `out` is a folder.
    """
    manifest, results = read_results(folder)
    return write_page(folder, out, lambda home: page(manifest, results, home))


def page(manifest: Manifest, results: Results, home: Path) -> str:
    """The page's HTML.

    Args:
        manifest: of the sweep.
        results: of the sweep.
        home: the folder of the page; links are relative to it.
    """
    templates = environment(HERE)
    templates.filters.update(short=short, score=_score, order=_order, shown=shown)
    scale = ObjectiveScale(results) if results.best is not None else None
    descents = read_descents(results, manifest.folder)
    swept = [KeyAxis(key, results.values(key)) for key in [*results.keys, *results.seeds]]
    charts = _charts(results, scale, descents)
    columns = results.columns(["train", "val", "test"], ["directional_accuracy", "accuracy", "skill"])
    best = results.best
    first = asked(results.rows[0]["overrides"]) if results.rows else {}
    pictures = winners_pictures(manifest.folder / str(best["folder"])) if best is not None else Pictures()
    given = {
        "title": _title(results),
        "results": results,
        "manifest": manifest,
        "folder": near(manifest.folder),
        "sweep_command": shlex.join(["python", *map(legible, _words(manifest))]),
        "counts": {status: manifest.count(status) for status in ("finished", "failed", "running", "waiting")},
        "meaning": MEANING.get(results.objective.rsplit("/", 1)[-1]),
        "swept": [(axis.key, _values(axis.labels), len(axis.labels)) for axis in swept],
        "fixed": [(key, text) for key, text in first.items() if key not in results.varied],
        "scale": scale,
        "points": POINTS,
        "cut": short(scale.end) if scale is not None and scale.cut else None,
        "winner": _winner(manifest, results, home) if best is not None else None,
        "settings": results.settings if results.over_seeds else [],
        "called": CALLED,
        "columns": [(name, heading(name)) for name in columns],
        "setting_columns": [(name, heading(name)) for name in columns if not name.endswith("accuracy")],
        "jobs": [_job(results, row, manifest, home) for row in results.ranked[:MAX_ROWS]],
        "more_jobs": max(0, len(results.rows) - MAX_ROWS),
        "failures": [_job(results, r, manifest, home) for r in results.rows if r["status"] == "failed"][:MAX_FAILURES],
        "charts": charts,
        "by_key": [name for name in charts if name.startswith("against-")],
        "keys_left_out": max(0, len(results.varied) - MAX_KEYS),
        "descents": descents,
        "coloured": colour_key(results),
        "pictures": pictures,
        "drawn": {chart.name: chart for chart in pictures.charts},
        "figures": embedded([*charts.values(), *pictures.charts]),
        **shared_parts(),
        "script": Markup((HERE / "page.js").read_text()),
        "plotly": Markup(plotly.offline.get_plotlyjs()),
    }
    return templates.get_template("page.html.j2").render(given)


def _charts(results: Results, scale: ObjectiveScale | None, descents: Descents) -> dict[str, Chart]:
    charts: list[Chart] = []
    axes = axes_of(results)[:MAX_KEYS]
    if scale is not None and axes:
        charts = [parallel(results, axes, scale)] if results.keys else []
        charts += [against(results, axis, scale) for axis in axes]
        if results.keys and len(axes) > 1:
            charts.append(pairs(results, axes, scale))
    if descents.curves:
        charts.append(all_curves(results, descents))
        over_seeds = bands(results, descents)
        charts += [over_seeds] if over_seeds is not None else []
    return {chart.name: chart for chart in charts}


def embedded(charts: list[Chart]) -> Markup:
    """Return the figures of charts as JSON that is safe inside HTML."""
    parts = []
    for chart in charts:
        figures = ",".join(figure.to_json() or "" for figure in chart.figures.values())
        parts.append(f"[{figures}]")
    text = "[" + ",".join(parts) + "]"
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _title(results: Results) -> str:
    keys = [*results.keys, *results.seeds]
    over = "nothing varied" if not keys else " × ".join(keys[:4]) + (f" and {len(keys) - 4} more" if keys[4:] else "")
    return f"{len(results.rows)} job{'' if len(results.rows) == 1 else 's'}: {over}"


def _words(manifest: Manifest) -> list[str]:
    command = manifest.command
    hydra = [word for word in command["hydra"] if word != "hydra.mode=MULTIRUN"]
    multirun = ["-m"] if len(hydra) < len(command["hydra"]) else []
    return [Path(command["program"]).name, *multirun, *command["task"], *hydra]


def _values(labels: list[str]) -> str:
    some = labels if len(labels) <= 8 else [*labels[:4], "…", *labels[-2:]]
    return ", ".join(map(shown, some))


def _score(score: float | Spread | None, column: str) -> str:
    """A score in a cell; shares as percentages."""
    share = column.endswith(("mape", "accuracy"))
    if isinstance(score, Spread):
        percent = Spread(100 * score.mean, None if score.std is None else 100 * score.std, score.n)
        return f"({percent}) %" if share else str(score)
    return f"{score:.2%}" if share and score is not None else short(score)


def _order(score: float | Spread | None) -> float | str:
    """What the page sorts a cell by."""
    return "" if score is None else score.mean if isinstance(score, Spread) else score


def _link(row: Row, manifest: Manifest, home: Path) -> str | None:
    """A link to a job's folder, relative to the page's folder."""
    if row["folder"] is None:
        return None
    folder = os.path.relpath(manifest.folder.absolute() / row["folder"], home.absolute())
    return quote(folder.replace(os.sep, "/")) + "/"


def _job(results: Results, row: Row, manifest: Manifest, home: Path) -> dict[str, Any]:
    setting = results.best_setting
    return {
        "row": row,
        "asked": [value(row, key) for key in results.varied],
        "score": results.score(row),
        "best": row is results.best if setting is None else bool(results.keys) and row in setting.rows,
        "link": _link(row, manifest, home),
        "again": again(row, manifest.command),
    }


def _winner(manifest: Manifest, results: Results, home: Path) -> dict[str, Any]:
    best = results.best
    assert best is not None
    metrics = read_json(manifest.folder / str(best["folder"]) / "metrics.json")
    baselines = {name: parts.get("test", {}) for name, parts in metrics.get("baselines", {}).items()}
    setting, own_scores = results.best_setting, metrics.get("test", {})
    if setting is not None:
        own_scores = {name: setting.over_seeds(f"test/{name}") for name in SCORES}
    scores = {"the winner": own_scores} | {
        BASELINES.get(name, name.replace("_", " ")): own for name, own in baselines.items()
    }
    names = [name for name in SCORES if any(own.get(name) is not None for own in scores.values())]
    return _job(results, best, manifest, home) | {
        "names": names,
        "scores": {label: [own.get(name) for name in names] for label, own in scores.items()},
        "verdict": metrics.get("verdict"),
        "hint": metrics.get("hint"),
        "scored": sum(results.score(row) is not None for row in results.rows),
        "setting": setting,
        "settings": sum(setting.objective is not None for setting in results.settings),
    }
