"""Files of a record: whole or not there. No torch: the command line reads and writes them, too."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steepest.engine.turns import released


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader finds the old one or the new one, never half of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with released():
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text)
        part.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file; empty where there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def now() -> str:
    """The time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
