"""Prints the table at the end of a sweep, the best row first. If the seed varies, a row is a setting.

This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from steepest.evaluate.terminal import terminal
from steepest.sweep.results import PERSISTENCE, Results, again, heading, shown, value
from steepest.sweep.settings import Row, Setting

MAX_ROWS, MAX_REASONS = 24, 8  # maximum number of rows, and of reasons why jobs did not finish
UNBROKEN, GAP = 14, 2  # maximum length of a value that is never wrapped; characters between two columns


def print_table(results: Results, folder: Path, command: dict[str, Any] | None = None) -> None:
    """Print the ranking, the jobs that did not finish, and the command that runs the winner again.

    Args:
        results: ranked by the objective; test scores are shown but do not rank.
        folder: the sweep's folder.
        command: the manifest's command.
    """
    console = terminal()
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
    count = len(results.settings if over_seeds else results.rows)
    if count > MAX_ROWS:
        what = "settings" if over_seeds else "jobs"
        console.print(f"The best {MAX_ROWS} of {count} {what}; all jobs are in results.csv.", markup=False)
    for line in [*_unfinished(results.rows), *_winner(results, command or {})]:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"Record: {folder}", markup=False, soft_wrap=True)


def _unfinished(rows: list[Row]) -> list[str]:
    """Lines about the jobs that did not finish: one per reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "finished":
            why = row["stop_reason"] or "not started; steepest resume runs it"
            reasons.setdefault((row["status"], why), []).append(str(row["job"]))
    lines = []
    for (status, why), jobs in list(reasons.items())[:MAX_REASONS]:
        lines.append(f"{'job' if len(jobs) == 1 else 'jobs'} {', '.join(jobs)} {status}: {why}")
    if len(reasons) > MAX_REASONS:
        more = ", ".join(job for jobs in list(reasons.values())[MAX_REASONS:] for job in jobs)
        lines.append(f"These jobs did not finish either (results.csv has the reasons): {more}")
    return lines


def _winner(results: Results, command: dict[str, Any]) -> list[str]:
    """Lines about the winner: its lead on the test part, luck, and the command that runs it again."""
    lines = [results.winners_lead] if results.winners_lead is not None else []
    if results.best is None:
        return lines
    what = "the best job again"
    if results.best_setting is not None:
        if results.keys and any(not setting.complete for setting in results.settings):
            lines.append("Settings that have a job without an objective come after all others.")
        lines += [results.luck] if results.luck is not None else []
        what = "a job of the best setting again (its first seed)" if results.keys else "the first job again"
    return [*lines, f"To run {what}: {again(results.best, command)}"]


def _narrow(table: Table) -> int:
    """Wrap headings at dots, and give each column the width of its longest word. Return the width of the table."""
    for column in table.columns:
        column.header = str(column.header).replace(".", ".\n").replace(" ", "\n")
        longest = max(len(word) for text in (column.header, *column.cells) for word in (str(text).split() or [""]))
        column.width = longest if column.justify == "right" else min(UNBROKEN, longest)
    return sum((column.width or 0) + GAP for column in table.columns)


def _widen(table: Table, spare: int) -> None:
    """Give columns the width of their longest cell while there is space, first to those with numbers."""
    for column in sorted(table.columns, key=lambda column: column.justify != "right"):
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
    if results.over_seeds:  # only seeds were varied: one setting
        (setting,) = results.settings
        spreads = _spreads(setting, ["objective", *scores])
        table.add_row("", "mean ± std", *("" for _ in results.varied[1:]), _finished(setting), *spreads, style="bold")
        table.add_section()
    for row in results.ranked[:MAX_ROWS]:
        figures = [row["objective"], *(row.get(column) for column in scores)]
        table.add_row(
            str(row["job"]),
            *(shown(value(row, key)) for key in results.varied),
            "pruned" if str(row["stop_reason"]).startswith("pruned") else row["status"],
            *("-" if f is None else f"{f:.5g}" for f in figures),
            style="bold" if row is results.best and not results.over_seeds else "",
        )
    _add_persistence(table, results, ["", PERSISTENCE, *("" for _ in results.varied)], scores)
    return table


def _settings(results: Results, scores: Sequence[str]) -> Table:
    title = f"Sweep by {results.objective}, mean ± std over {' and '.join(results.seeds)}, best first"
    table = _table(title, [*results.keys, "finished"], ["objective", *scores])
    for setting in results.settings[:MAX_ROWS]:
        table.add_row(
            *(shown(setting.asked[key]) for key in results.keys),
            _finished(setting),
            *_spreads(setting, ["objective", *scores]),
            style="bold" if setting is results.best_setting else "",
        )
    _add_persistence(table, results, [PERSISTENCE, *("" for _ in results.keys)], scores)
    return table


def _add_persistence(table: Table, results: Results, left: Sequence[str], scores: Sequence[str]) -> None:
    """Add a last row with the scores of tomorrow = today, if they are known."""
    if results.persistence() is not None:
        table.add_section()
        table.add_row(*left, *(results.persistence(column) or "-" for column in ["objective", *scores]))


def _finished(setting: Setting) -> str:
    return f"{len(setting.finished)} of {len(setting.rows)}"


def _spreads(setting: Setting, columns: Sequence[str]) -> list[str]:
    spreads = [setting.over_seeds(column) for column in columns]
    return ["-" if spread is None else str(spread) for spread in spreads]
