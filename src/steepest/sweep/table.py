"""Prints the table at the end of a sweep, with the best objective on top. If the seed varies, a row is a setting.

This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from steepest.evaluate.terminal import terminal
from steepest.sweep.results import Results, Row, Setting, again, heading, shown, value

MAX_ROWS, MAX_REASONS = 24, 8  # maximum number of rows, and of reasons why jobs did not finish
UNBROKEN, GAP = 14, 2  # maximum length of a value that is never wrapped; characters between two columns


def print_table(rows: list[Row], objective: str, folder: Path, command: dict[str, Any] | None = None) -> None:
    """Print the ranking, the jobs that did not finish, and the command that runs the best job again.

    Args:
        rows: the rows of the results.
        objective: the score that ranks; test scores are shown but do not rank.
        folder: the sweep's folder.
        command: the manifest's command.
    """
    results, console = Results(rows, objective), terminal()
    over_seeds = results.over_seeds and bool(results.keys)
    make = _settings if over_seeds else _jobs
    scores = results.columns(["test"] if over_seeds else ["train", "test"], ["skill"])
    table = make(results, scores)
    if console.measure(table, options=console.options.update(max_width=10_000)).maximum > console.width:
        while (spare := console.width - _narrow(table)) < 0 and scores:  # leave out scores, do not cut off numbers
            scores = scores[1:]
            table = make(results, scores)
        _widen(table, spare)
    console.print(table)
    shown = len(results.settings if over_seeds else rows)
    if shown > MAX_ROWS:
        what = "settings" if over_seeds else "jobs"
        console.print(f"The best {MAX_ROWS} of {shown} {what}; all jobs are in results.csv.", markup=False)
    unfinished = [row for row in rows if row["status"] != "finished"]
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in unfinished:
        why = row["stop_reason"] or "not started; steepest resume runs it"
        reasons.setdefault((row["status"], why), []).append(str(row["job"]))
    for (status, why), jobs in list(reasons.items())[:MAX_REASONS]:
        job = "job" if len(jobs) == 1 else "jobs"
        console.print(f"{job} {', '.join(jobs)} {status}: {why}", markup=False, soft_wrap=True)
    if len(reasons) > MAX_REASONS:
        more = ", ".join(job for jobs in list(reasons.values())[MAX_REASONS:] for job in jobs)
        console.print(
            f"These jobs did not finish either (results.csv has the reasons): {more}", markup=False, soft_wrap=True
        )
    if results.persistence is not None:
        console.print(
            f"For comparison, tomorrow = today: {objective} {results.persistence}.", markup=False, soft_wrap=True
        )
    if results.winners_lead is not None:
        console.print(results.winners_lead, markup=False, soft_wrap=True)
    best = results.best
    if best is not None:
        if over_seeds:
            said = f"The best single job is {best['job']}: {objective} {best['objective']:.5g}."
            if best not in results.settings[0].rows:
                said += " Its setting is not the first row: a part of its lead is luck."
            console.print(said, markup=False, soft_wrap=True)
        console.print(f"To run the best job again: {again(best, command or {})}", markup=False, soft_wrap=True)
    console.print(f"Record: {folder}", markup=False, soft_wrap=True)


def _narrow(table: Table) -> int:
    """Wrap headings at dots, and give each column the width of its longest word. Return the width of the table."""
    for column in table.columns:
        column.header = str(column.header).replace(".", ".\n").replace(" ", "\n")
        longest = max(len(word) for text in (column.header, *column.cells) for word in (str(text).split() or [""]))
        column.width = longest if column.justify == "right" else min(UNBROKEN, longest)
    return sum((column.width or 0) + GAP for column in table.columns)


def _widen(table: Table, spare: int) -> None:
    """Give columns the width of their longest cell while there is space."""
    for column in table.columns:
        lines = [*str(column.header).split("\n"), *map(str, column.cells)]
        missing = max(map(len, lines)) - (column.width or 0)
        if 0 < missing <= spare:
            column.width, spare = (column.width or 0) + missing, spare - missing


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for key in left:
        table.add_column(key, overflow="fold")
    for column in right:
        table.add_column(heading(column), justify="right", overflow="fold")
    return table


def _jobs(results: Results, scores: Sequence[str]) -> Table:
    table = _table(
        f"Sweep by {results.objective}, best first", ["job", *results.varied, "status"], ["objective", *scores]
    )
    table.columns[0].justify = "right"
    for row in results.ranked[:MAX_ROWS]:
        figures = [row["objective"], *(row.get(column) for column in scores)]
        table.add_row(
            str(row["job"]),
            *(shown(value(row, key)) for key in results.varied),
            "pruned" if str(row["stop_reason"]).startswith("pruned") else row["status"],
            *("-" if f is None else f"{f:.5g}" for f in figures),
            style="bold" if row is results.best else "",
        )
    if results.over_seeds:  # only seeds were varied: one setting
        table.add_section()
        (setting,) = results.settings
        table.add_row("", *("" for _ in results.varied), _finished(setting), *_spreads(setting, ["objective", *scores]))
    return table


def _settings(results: Results, scores: Sequence[str]) -> Table:
    title = f"Sweep by {results.objective}, mean ± std over {' and '.join(results.seeds)}, best first"
    table = _table(title, [*results.keys, "finished"], ["objective", *scores, "best job"])
    for setting in results.settings[:MAX_ROWS]:
        table.add_row(
            *(shown(setting.asked[key]) for key in results.keys),
            _finished(setting),
            *_spreads(setting, ["objective", *scores]),
            str(setting.finished[0]["job"]) if setting.finished else "-",
            style="bold" if setting.finished and setting is results.settings[0] else "",
        )
    return table


def _finished(setting: Setting) -> str:
    return f"{len(setting.finished)} of {len(setting.rows)}"


def _spreads(setting: Setting, columns: Sequence[str]) -> list[str]:
    spreads = [setting.over_seeds(column) for column in columns]
    return ["-" if spread is None else str(spread) for spread in spreads]
