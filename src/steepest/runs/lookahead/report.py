"""The printed report and the JSON file of a look-ahead audit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from steepest.data.faults import counted
from steepest.evaluate.evaluation import Evaluation
from steepest.evaluate.metrics import Scores
from steepest.evaluate.names import HEADINGS, score_text
from steepest.evaluate.table import CLASS_COLUMNS, COLUMNS
from steepest.evaluate.terminal import print_sentence
from steepest.runs.files import write_text
from steepest.runs.lookahead.cases import WORDS, Case, Findings
from steepest.runs.lookahead.comparison import shown_day
from steepest.runs.lookahead.glitchdays import GlitchDays

LISTED = 5  # maximum number of suspicious days listed per series
CLEAN = "no look-ahead in reading, scaling, windows, baselines or training."


def print_findings(found: Findings, console: Console) -> None:
    """Print the cases, the first differences, the suspicious days and the result."""
    console.print(_cases(found.cases))
    for change in dict.fromkeys(case.change for case in found.cases):
        print_sentence(console, f"{change}: {WORDS[change]}.")
    for note in found.notes:
        print_sentence(console, note)
    if found.glitches is not None:
        _print_glitches(found.glitches, console)
    for line in findings(found):
        print_sentence(console, line, "bold red")
    print_sentence(console, result(found), "bold")


def findings(found: Findings) -> Iterator[str]:
    """Yield a sentence for each case that differs or failed, and for each input that contains later prices."""
    for case in found.cases:
        place = f"{case.change} after {shown_day(case.day)}, {_parameters(case)} parameters"
        if case.refused:
            yield f"{place}: failed: {case.refused}"
        elif case.difference is not None:
            yield f"{place}: {case.step}: {case.difference}."
    for column in found.columns:
        yield str(column)


def result(found: Findings) -> str:
    """The concluding sentence."""
    if found.clean:
        return f"No number up to a cutoff day changed: {CLEAN}"
    if any(case.difference is not None for case in found.cases):
        steps = list(dict.fromkeys(case.step for case in found.cases if case.step))
        return f"Look-ahead found: numbers up to a cutoff day depend on later rows. First in: {', '.join(steps)}."
    if found.columns:
        contain = "contains" if len(found.columns) == 1 else "contain"
        return f"Look-ahead found: {counted(len(found.columns), 'input')} of the data {contain} later prices."
    refused = sum(bool(case.refused) for case in found.cases)
    return f"The audit is incomplete: {refused} of {len(found.cases)} cases failed."


def _parameters(case: Case) -> str:
    return "refitted" if case.refitted else "fixed"


def _cases(cases: list[Case]) -> Table:
    table = Table(
        title="Differences up to each cutoff day", title_justify="left", box=SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for name in ("cutoff", "part", "future", "parameters"):
        table.add_column(name, no_wrap=True)
    table.add_column("compared", justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for case in cases:
        outcome = "failed" if case.refused else f"differs: {case.step}" if case.step else "equal"
        cells = (shown_day(case.day), case.part, case.change, _parameters(case), f"{case.count:,}", outcome)
        table.add_row(*cells, style="bold red" if outcome != "equal" else None)
    return table


def _print_glitches(glitches: GlitchDays, console: Console) -> None:
    """Print the suspicious days, and the scores with and without them."""
    for series, days in glitches.days.items():
        shown = ", ".join(map(shown_day, days[:LISTED])) + (", ..." if len(days) > LISTED else "")
        print_sentence(console, f"Suspicious prices: {series}: {counted(len(days), 'day')} ({shown}).")
    if not glitches.days:
        print_sentence(console, "Suspicious prices: none.")
        return
    touched = f"{glitches.touched} of {counted(glitches.samples, 'test sample')}"
    if glitches.without is None:
        why = "no others are left" if glitches.touched else "the scores do not depend on these days"
        print_sentence(console, f"{touched} contain such a day: {why}.")
        return
    console.print(_scores(glitches.every, glitches.without))
    print_sentence(console, f"{touched} contain such a day.")
    changes = "changes" if glitches.verdict_changes else "does not change"
    print_sentence(console, f"Without them, the verdict {changes}: {glitches.without.verdict().sentence}")


def _scores(every: Evaluation, without: Evaluation) -> Table:
    """The test scores of the model and the reference, with and without the suspicious days."""
    known = _rows(every, every.reference)["model"]
    columns = tuple(name for name in CLASS_COLUMNS if name in known) if "cross_entropy" in known else COLUMNS
    table = Table(
        title="Scores on the test part, with and without the suspicious days", title_justify="left", box=SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for heading in ("days", ""):
        table.add_column(heading, no_wrap=True)
    for column in columns:
        table.add_column(HEADINGS.get(column, column), justify="right", no_wrap=True)
    for days, evaluation in (("all", every), ("without", without)):
        for name, row in _rows(evaluation, every.reference).items():
            table.add_row(days, name, *(score_text(column, row[column]) for column in columns))
    return table


def _rows(evaluation: Evaluation, reference: str) -> dict[str, Scores]:
    return {"model": evaluation.model["test"], reference: evaluation.baselines[reference]["test"]}


def write_findings(found: Findings, path: Path) -> None:
    """Write the results as JSON."""
    write_text(path, json.dumps(as_data(found), indent=2) + "\n")


def as_data(found: Findings) -> dict[str, Any]:
    """The results as plain data."""
    glitches = found.glitches
    cases = [
        {
            "day": case.day.isoformat(),
            "part": case.part,
            "future": case.change,
            "refitted": case.refitted,
            "refused": case.refused or None,
            "compared": {comparison.step: comparison.count for comparison in case.comparisons},
            "difference": None if case.difference is None else {"step": case.step} | vars(case.difference),
        }
        for case in found.cases
    ]
    data: dict[str, Any] = {
        "clean": found.clean,
        "result": result(found),
        "findings": list(findings(found)),
        "notes": found.notes,
        "cases": cases,
        "columns": [vars(column) for column in found.columns],
    }
    if glitches is not None:
        pair = {"all": glitches.every, "without": glitches.without}
        data["suspicious"] = {
            "days": {series: [day.isoformat() for day in days] for series, days in glitches.days.items()},
            "test_samples": glitches.samples,
            "touched": glitches.touched,
            "scores": {k: _rows(e, glitches.every.reference) for k, e in pair.items() if e is not None},
            "verdicts": {k: e.verdict().sentence for k, e in pair.items() if e is not None},
            "verdict_changes": glitches.verdict_changes,
        }
    return data
