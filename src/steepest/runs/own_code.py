"""Finds the place in the user's own code where an error was raised. This module does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import CodeType, TracebackType
from typing import NamedTuple

from steepest.runs.trusted import imported

STEEPEST = __name__.partition(".")[0]


class Place(NamedTuple):
    """A line of the user's code: ``mine.Net.training_step`` in ``mine.py:17``."""

    function: str
    line: str


def place_of(error: BaseException) -> Place | None:
    """Return the line of the user's code that raised an error, or called a library that did.

    The user's code is that of the trusted packages that a config named. Code of this package that the user's code calls
    is not the user's.

    Args:
        error: its causes do not count; see `place_in`.
    """
    found: Place | None = None
    for module, code, line in _lines(error.__traceback__):
        top = module.partition(".")[0]
        if top == STEEPEST:
            found = None
        elif top in imported:
            found = Place(f"{module}.{code.co_qualname.replace('.<locals>', '')}", f"{_short(code.co_filename)}:{line}")
    return found


def place_in(chain: list[BaseException]) -> Place | None:
    """Return the line of the first cause that has one. `chain` is an error, its cause, the cause's cause, and so on."""
    return next((place for link in reversed(chain) if (place := place_of(link)) is not None), None)


def _lines(trace: TracebackType | None) -> Iterator[tuple[str, CodeType, int]]:
    while trace is not None:
        frame = trace.tb_frame
        yield str(frame.f_globals.get("__name__", "")), frame.f_code, trace.tb_lineno
        trace = trace.tb_next


def _short(file: str) -> str:
    """Return a path relative to the working folder if it is below it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
