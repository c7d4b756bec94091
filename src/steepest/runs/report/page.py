"""Renders a run's files as an HTML report and writes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from markupsafe import Markup, escape

from steepest.evaluate.names import HEADINGS, score_text
from steepest.runs.files import Scores
from steepest.runs.quoting import resume_run_command, train_command
from steepest.runs.report.facts import PARTS, DataFacts, RunFiles, read_files
from steepest.runs.report.html import environment, near, read_images, shared_parts, when, write_page

HERE = Path(__file__).parent
MAX_ROWS = 1000  # maximum number of rows of a table


@dataclass
class Bar:
    """The bar of a part on the timeline: its start and width, in percent."""

    name: str
    left: float
    width: float


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write a run's report to `out`, or to report.html in its folder.

    Raises:
        ValueError: if the folder contains no run, a file of the run is damaged, or `out` is a folder.
    """
    files = read_files(folder)
    return write_page(folder, out, lambda home: page(files))


def page(files: RunFiles) -> str:
    """Return the HTML of the report."""
    templates = environment(HERE)
    templates.filters.update(heading=_heading, score=_cell, day=day, unbroken=_unbroken)
    data = files.run.data
    given = {
        "files": files,
        "run": files.run,
        "metrics": files.metrics,
        "data": data,
        "folder": near(files.folder),
        "headline": files.metrics.verdict or files.ending(),
        "images": read_images(files.folder),
        "parts": files.parts,
        "columns": {part: _columns(rows.values()) for part, rows in files.parts.items()},
        "series": list(files.metrics.series.items())[:MAX_ROWS],
        "series_columns": _columns(files.metrics.series.values()),
        "folds": files.folds[:MAX_ROWS],
        "fold_columns": _columns(scores for _, scores in files.folds),
        "more": {"series": max(0, len(files.metrics.series) - MAX_ROWS), "folds": max(0, len(files.folds) - MAX_ROWS)},
        "known": _known(files),
        "bars": _bars(data) if data is not None else [],
        "ends": _ends(data) if data is not None else None,
        "provenance": _provenance(files),
        "commands": _commands(files),
        **shared_parts(),
    }
    return templates.get_template("run.html.j2").render(given)


def day(time: datetime) -> str:
    """Format a day, with the time of day unless it is midnight."""
    return str(time).removesuffix(" 00:00:00")


def _heading(metric: str) -> str:
    return HEADINGS.get(metric, metric)


def _cell(value: float | None, metric: str) -> str:
    return score_text(metric, value)


def _unbroken(text: str) -> Markup:
    """Return a text as HTML without line breaks inside dates."""
    return Markup(re.sub(r"\d{4}-\d\d-\d\d", r'<span class="whole">\g<0></span>', str(escape(text))))


def _columns(rows: Iterable[Scores]) -> list[str]:
    """Return the names of the scores, in file order."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _known(files: RunFiles) -> list[tuple[str, str]]:
    """Return the rows of the data timeline's table."""
    data = files.run.data
    if data is None:
        return []
    walk = files.metrics.walk_forward is not None
    rows = []
    file = data.recognised
    if file is not None and file.first and file.last:
        rows.append(("Days in the data", f"{file.first} to {file.last}"))
    rows.append(("Rows", f"{data.rows:,}" + (f", {len(data.series)} series" if len(data.series) > 1 else "")))
    for part in PARTS:
        if part not in data.samples:
            continue
        span = data.targets.get(part)
        days = f", targets from {day(span[0])} to {day(span[1])}" if span else ""
        rows.append((f"{part} part", f"{data.samples[part]:,} samples{days}"))
    if data.gap is not None and data.targets.get("train"):
        rows.append(("Rows left out between two parts", str(data.gap)))
    if data.fitted_to is not None:
        what = "Scaler and baselines of the first model" if walk else "Scaler and baselines"
        rows.append((what, f"fitted on the training rows, up to {day(data.fitted_to)}"))
    if val := data.targets.get("val"):
        what = "Selection of the first model" if walk else "Model selection"
        rows.append((what, f"by validation scores; the last validation target is known on {day(val[1])}"))
    if walk:
        rows.append(("Later models", "each trained on the rows before its fold; see the table of folds"))
    rows += [("Source", data.source), ("Checksum (SHA-256)", data.sha256)]
    return rows


def _ends(data: DataFacts) -> tuple[datetime, datetime] | None:
    """Return the first and the last target day of all parts."""
    spans = [span for span in data.targets.values() if span]
    return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None


def _bars(data: DataFacts) -> list[Bar]:
    """Return the parts' bars on the timeline."""
    ends = _ends(data)
    if ends is None or ends[1] <= ends[0]:
        return []
    whole = (ends[1] - ends[0]).total_seconds()
    bars = []
    for part in PARTS:
        if span := data.targets.get(part):
            left, width = (span[0] - ends[0]).total_seconds() / whole, (span[1] - span[0]).total_seconds() / whole
            bars.append(Bar(part, round(100 * left, 2), round(100 * width, 2)))
    return bars


def _provenance(files: RunFiles) -> list[tuple[str, str]]:
    """Return the rows of the provenance table, without unknown facts."""
    run = files.run
    revision = ""
    if run.git is not None and run.git.revision:
        revision = run.git.revision + (" with local changes" if run.git.dirty else "")
    rows = [
        ("Command", run.command),
        ("Seed", "" if run.seed is None else str(run.seed)),
        ("Objective", run.objective),
        ("Started", when(run.started)),
        ("Ended", when(run.ended or "")),
        ("Resumed", ", ".join(map(when, run.resumed))),
        ("Device", run.device),
        ("Engine", (run.engine or "") + (f" ({run.engine_reason})" if run.engine_reason else "")),
        ("Git revision", revision),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    ]
    return [(name, text) for name, text in rows if text]


def _commands(files: RunFiles) -> list[tuple[str, str]]:
    """Return the follow-up commands, each with a heading."""
    run, folder = files.run, near(files.folder)
    word = f"./{folder}" if folder.startswith("-") else folder
    found, reason = [], run.stop_reason or ""
    if run.status in ("stopped", "running"):
        found.append(("Continue the run", resume_run_command(folder)))
    for limit, done in (("epochs", files.metrics.epochs), ("updates", files.metrics.updates)):
        if run.status == "finished" and reason.startswith(f"{limit}:"):
            found.append(("Train for longer", f"{resume_run_command(folder)} stop.{limit}={2 * done}"))
    if run.again or run.status:
        found.append(("Repeat the run in a new folder", train_command(run.again)))
    if files.model and run.data is not None and any(run.data.targets.values()):
        found.append(("Predict the next days", shlex.join(["steepest", "predict", word])))
        found.append(("Score other prices", shlex.join(["steepest", "evaluate", word, "--data", "FILE"])))
    if files.model:
        found.append(("Export the model", shlex.join(["steepest", "export", word])))
    if any(files.folder.glob("events.out.tfevents.*")):
        found.append(("Show the curves in TensorBoard", shlex.join(["steepest", "board", word])))
    return found
