"""A table of all runs in a folder: `steepest.runs` and `steepest list`. This module does not import torch.

The folders may contain damaged files, and runs of other people. Such a run has a row that names its problem.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.box import SIMPLE_HEAD
from rich.table import Table
from yaml import YAMLError

from steepest.data.faults import counted, did_you_mean
from steepest.evaluate.terminal import terminal
from steepest.runs.choices import choice_of
from steepest.runs.claim import is_locked
from steepest.runs.config_file import flat_config
from steepest.runs.files import read_json

RECORD = "run.json"  # a folder with this file is that of a run
CHOICES = ("model", "data")  # groups whose choice is a column
GROUPS = (*CHOICES, "optimizer", "scheduler", "stop", "evaluation", "trainer", "logger")
WHOLE = ("seed", "updates")  # columns of whole numbers
WIDE = 110  # characters of a terminal in which more columns are shown
FIRST = ("folder", "status", "started", *CHOICES, "seed", "objective", "best", "updates", "seconds")
LAST = ("beat_reference", "p_value", "verdict", "overrides", "stop_reason", "problem")


@dataclass
class Listed:
    """A run of the table.

    Attributes:
        row: its columns.
        config: the values of its config.yaml by full key; those of groups are the names of their choices.
    """

    row: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)


def runs(folder: str | Path = "outputs", filters: Sequence[str] = (), sort: str | None = None) -> pd.DataFrame:
    """Return one row per run in a folder, the oldest first. Jobs of sweeps are runs.

    ``status`` is finished, stopped, failed, running, or killed: the record has no end, but no process trains the run.
    ``objective`` is the name of the objective and ``best`` its value. ``test/...`` are the scores of the test part.
    ``problem`` names a file of the run that cannot be read.

    Args:
        folder: the folder, which is searched with all its subfolders.
        filters: conditions such as ``model=mlp`` on keys of the config or columns; the runs meet all of them.
        sort: a column, or a column with a leading ``-`` for the largest first. Runs without a value come last.

    Raises:
        ValueError: if there is no such folder, or for a condition or column that no run has.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: there is no such folder; give one that contains runs, such as outputs")
    listed = [read_run(path) for path in run_folders(Path(folder))]
    for condition in filters:
        listed = _matching(listed, condition)
    rows = [one.row for one in listed]
    middle = sorted({name for row in rows for name in row} - {*FIRST, *LAST})
    table = pd.DataFrame(rows, columns=[*FIRST, *middle, *LAST])
    for column in WHOLE:
        with suppress(TypeError, ValueError, OverflowError):  # a damaged record may have any number
            table[column] = table[column].astype("Int64")
    column, down = (sort or "started").removeprefix("-"), (sort or "").startswith("-")
    if column not in table:
        if not rows:
            return table
        near = did_you_mean(column, list(table)) or "."
        raise ValueError(f"no run has the column '{column}'{near} The columns are {', '.join(table)}")
    return table.sort_values(column, ascending=not down, ignore_index=True, kind="stable", key=_comparable)


def _comparable(values: pd.Series) -> pd.Series:
    """Return values that can be sorted: a damaged record may have a text in place of a number."""
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers if numbers.notna().any() else values.astype("string")


def print_runs(table: pd.DataFrame, folder: Path, sort: str | None) -> None:
    """Print the main columns and the column that sorts; in a wide terminal, more columns."""
    console = terminal()
    shown = {"status": "status", "model": "model", "best": "objective", "test/skill": "skill"}
    if console.width >= WIDE:
        shown |= {"data": "data", "beat_reference": "beats"}
    if (column := (sort or "started").removeprefix("-")) not in ("started", "folder"):
        shown.setdefault(column, column)
    printed = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    printed.add_column("run", overflow="fold")
    for column, heading in shown.items():
        is_number = column != "beat_reference" and column in table
        numbers = is_number and pd.to_numeric(table[column], errors="coerce").notna().any()
        printed.add_column(heading, justify="right" if numbers else "left", overflow="fold")
    for _, row in table.iterrows():
        name = os.path.relpath(row["folder"], folder)
        printed.add_row(name, *(_cell(column, row.get(column)) for column in shown))
    if len(table):
        console.print(printed)
    for problem in table["problem"].dropna():
        console.print(problem, markup=False, soft_wrap=True)
    console.print(f"{counted(len(table), 'run')} in {folder}", markup=False, soft_wrap=True)


def _cell(column: str, value: Any) -> str:
    if value is None or value is pd.NA or value != value:  # NaN
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column == "test/skill" and isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def run_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of runs in a folder, which may be one itself. Links are not followed."""
    for parent, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if RECORD in files and not Path(parent, RECORD).is_symlink():
            inner.clear()
            yield Path(parent)


def read_run(folder: Path) -> Listed:
    """Read the records of one run."""
    row: dict[str, Any] = {"folder": str(folder)}
    listed, problems = Listed(row), list[str]()
    try:
        run = read_json(folder / RECORD)
        row |= {key: run.get(key) for key in ("status", "started", "seed", "stop_reason", "objective")}
        row["overrides"] = " ".join(run.get("overrides", []))
        if row["status"] == "running" and not is_locked(folder):
            row["status"] = "killed"
        listed.config = flat_config(folder) if (folder / "config.yaml").exists() else {}
        choices = {group: _choice(group, listed.config, run.get("overrides", [])) for group in GROUPS}
        listed.config |= {group: name for group, name in choices.items() if name is not None}
        row |= {group: listed.config.get(group) for group in CHOICES}
    except ValueError as error:
        problems.append(str(error))
    try:
        metrics = read_json(folder / "metrics.json")
        row["best"] = (metrics.get("objective") or {}).get("value")
        row |= {key: metrics.get(key) for key in ("updates", "seconds", "beat_reference", "p_value", "verdict")}
        row |= {f"test/{name}": score for name, score in metrics.get("test", {}).items()}
    except ValueError as error:
        problems.append(str(error))
    row["problem"] = "; ".join(problems) or None
    return listed


def _choice(group: str, config: dict[str, Any], overrides: Sequence[str]) -> str | None:
    """Return the choice of a group: the typed one, or the one that is most like the config, which has only classes."""
    typed = [override.partition("=")[2] for override in overrides if override.startswith(f"{group}=")]
    if typed or config.get(group) is None:
        return typed[-1] if typed else None
    arguments = {key.removeprefix(f"{group}."): value for key, value in config.items() if key.startswith(f"{group}.")}
    return _like(group, str(config[group]), json.dumps(arguments, default=str))


@cache  # it reads the files of the group
def _like(group: str, target: str, arguments: str) -> str:
    return choice_of(group, target, json.loads(arguments)).removeprefix(f"{group}=")


def _matching(listed: list[Listed], condition: str) -> list[Listed]:
    """Return the runs that meet a condition KEY=VALUE."""
    key, equals, text = condition.partition("=")
    known = {name for one in listed for name in (*one.config, *one.row)}
    if not equals or (listed and key not in known):
        near = did_you_mean(key, sorted(known)) or ""
        wrong = f"no run has the key '{key}'{near}" if equals else "write KEY=VALUE, such as model=mlp"
        raise ValueError(f"{condition}: {wrong}")
    try:
        wanted = yaml.safe_load(text)
    except YAMLError:
        wanted = text
    return [one for one in listed if any(_is(values.get(key), wanted, text) for values in (one.config, one.row))]


def _is(value: Any, wanted: Any, text: str) -> bool:
    """Return whether a value is the wanted one. YAML reads 1e-3 as text."""
    if value == wanted or str(value) == text:
        return type(value) is not bool or type(wanted) is bool or str(value) == text
    try:
        return not isinstance(value, bool) and isinstance(value, int | float) and float(text) == value
    except ValueError:
        return False
