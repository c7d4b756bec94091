"""One error message for all faults of an input.

This file checks nothing itself. Checks elsewhere call `add`, and their caller ends with `raise_if_any`, so a user sees
every fault of a file at once instead of one per attempt. A long message is shortened.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NoReturn

MOST = 20  # maximum number of faults in one message
LENGTH = 1000  # maximum number of characters of one fault


class Faults:
    """Collects the faults of one named input and raises them as one `ValueError`."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[str] = []

    def add(self, fault: str) -> None:
        """Add one fault: what is wrong, the value, the limit and the fix."""
        self.found.append(fault)

    def fail(self, fault: str) -> NoReturn:
        """Add a fault that makes further checks impossible, and raise."""
        self.add(fault)
        raise self._error()

    def raise_if_any(self) -> None:
        """Raise a `ValueError` that names the input and lists every fault, if there are any."""
        if self.found:
            raise self._error()

    def _error(self) -> ValueError:
        shown = [shortened(fault, LENGTH) for fault in self.found[:MOST]]
        if len(self.found) == 1:
            return ValueError(f"{self.where}: {shown[0]}")
        if len(self.found) > MOST:
            shown.append(f"and {len(self.found) - MOST} more")
        lines = "\n".join(f"  - {fault}" for fault in shown)
        return ValueError(f"{self.where}: {len(self.found)} faults\n{lines}")


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that a name or value in it cannot control the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``"; did you mean 'close'?"`` for the nearest of `choices`, or an empty string if none is near."""
    near = difflib.get_close_matches(word[:100], [c for c in choices if len(c) <= 100][:5000], n=1, cutoff=cutoff)
    return f"; did you mean '{near[0]}'?" if near else ""


def counted(number: int, unit: str) -> str:
    """Return "1 day", "2 days"."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


def shortened(value: object, length: int = 60) -> str:
    """Return the value as text. A text longer than `length` characters loses its middle part."""
    text = str(value)
    last = length // 3
    return text if len(text) <= length else f"{text[: length - last - 5]} ... {text[-last:]}"
