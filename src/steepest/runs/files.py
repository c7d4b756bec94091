"""Reading and writing the small files of a record. No torch."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steepest.engine.pythonlock import released


def write_text(path: Path, text: str) -> None:
    """Write a file. A reader sees the complete old content or the complete new content."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with released():
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text)
        part.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if it does not exist."""
    return json.loads(path.read_text()) if path.exists() else {}


def is_below(folder: Path, path: Path) -> bool:
    """Whether a path, with its links followed, is inside a folder."""
    inner, outer = path.resolve(), folder.resolve()
    return inner != outer and inner.is_relative_to(outer)


def check_links(folder: Path) -> None:
    """Refuse a folder with links that lead out of it: writing to such a file would change another one.

    Raises:
        ValueError: naming a link.
    """
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not is_below(folder, path):
                raise ValueError(f"{path} is a link that leads out of {folder}: replace it by what it leads to")


def now() -> str:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
