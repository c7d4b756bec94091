"""Reads and writes the small files of a record. This module does not import torch."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steepest.engine.pythonlock import released

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Scores = dict[str, float | None]


@dataclass
class RunFacts:
    """The part of run.json that a resumed run or a sweep reads."""

    status: str = ""
    stop_reason: str | None = None
    started: str = ""
    ended: str | None = None
    overrides: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    seed: int | None = None
    engine: str | None = None
    data: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass
class Objective:
    """The objective in metrics.json."""

    name: str = ""
    value: float | None = None


@dataclass
class IntervalFacts:
    """An entry of ``intervals`` in metrics.json."""

    level: float
    width_H: list[float]
    unit: Literal["price", "data", "quantiles"]
    coverage: float | None
    series_width_H: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Metrics:
    """The part of metrics.json that a resumed run or a sweep reads."""

    status: str = ""
    stop_reason: str | None = None
    updates: int = 0
    epochs: int = 0
    seconds: float = 0.0
    objective: Objective = field(default_factory=Objective)
    train: Scores = field(default_factory=dict)
    val: Scores = field(default_factory=dict)
    test: Scores = field(default_factory=dict)
    baselines: dict[str, dict[str, Scores]] = field(default_factory=dict)
    intervals: list[IntervalFacts] = field(default_factory=list)
    beat_reference: bool | None = None
    p_value: float | None = None


@dataclass
class JobFacts:
    """The content of job.json."""

    job: int = 0
    started: str = ""
    overrides: list[str] = field(default_factory=list)


UNFINISHED = re.compile(
    r"((run|metrics|job|sweep|backtest)\.json|(config|hydra|overrides)\.yaml|error\.txt|(predictions|parity|results|folds|equity)\.csv|events"
    r"|predictions\.parquet|(best|last|previous|\d{4,})\.ckpt)\.\d+\.part"
)  # names that `unfinished` returns for the files of a run or a sweep
SHAPES: dict[str, type] = {"run.json": RunFacts, "metrics.json": Metrics, "job.json": JobFacts}


def write_text(path: Path, text: str) -> None:
    """Write a file. A reader sees the complete old content or the complete new content."""
    part = unfinished(path)
    with released():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Return the temporary name of a file until it is complete."""
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def remove_unfinished(folder: Path) -> None:
    """Remove the incomplete files of a killed process of a run or a sweep. All other files are kept."""
    for place in (folder, folder / "checkpoints", folder / "checkpoints" / "folds", folder / ".hydra"):
        for path in place.glob("*.part"):
            if UNFINISHED.fullmatch(path.name) and path.is_file():
                path.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, or an empty dict if the file does not exist.

    Raises:
        ValueError: with the file's name, if it cannot be read or its content does not fit its type in `SHAPES`.
    """
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
        if path.name in SHAPES:
            _adapter(SHAPES[path.name]).validate_python(content)
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from None
    return content


def unreadable(path: Path, error: Exception) -> ValueError:
    """Return the error for a file that cannot be read."""
    errors = getattr(error, "errors", None)  # of pydantic; only the first is reported
    if errors is not None:
        first = errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    else:
        reason = (
            f"it has no key {error}" if isinstance(error, KeyError) else getattr(error, "strerror", None) or str(error)
        )
    return ValueError(f"{path} cannot be read ({reason}): restore it from a copy, or remove it")


@cache
def _adapter(shape: type) -> TypeAdapter:
    from pydantic import TypeAdapter  # imported here because it takes 0.1 s

    return TypeAdapter(shape)


def is_below(folder: Path, path: Path) -> bool:
    """Return whether a path is inside a folder after its links are resolved."""
    inner, outer = real(path), real(folder)
    return inner != outer and inner.is_relative_to(outer)


def real(path: Path) -> Path:
    """Return a path without links. `Path.resolve` would fail for a link that leads to itself."""
    return Path(os.path.realpath(path))


def check_links(folder: Path) -> None:
    """Check that no link in a folder points outside it, because a write to it would change another file.

    Raises:
        ValueError: with the path of such a link.
    """
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not is_below(folder, path):
                raise ValueError(f"{path} is a link that points outside {folder}: replace it with a copy of its target")


def now() -> str:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
