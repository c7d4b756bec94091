"""One error message for all faults of an input.

This file checks nothing itself. Checks elsewhere call `add`, and their caller ends with `raise_if_any`, so a user sees
every fault of a file at once instead of one per attempt. Equal faults of several columns or series are one fault. A
long message is shortened.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NoReturn

MOST = 20  # maximum number of faults in one message, and of names in one fault
LENGTH = 1000  # maximum number of characters of one fault


class Sentences:
    """Collects sentences in order. Those of the same kind become one, which lists the other columns or series."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._others: list[list[str]] = []
        self._places: dict[str, int] = {}

    def add(self, sentence: str, kind: str = "", about: str = "") -> None:
        """Add a sentence.

        Args:
            sentence: the sentence.
            kind: the same for sentences that differ only in their column or series. Empty: never merged.
            about: the column or series, with details such as its first row.
        """
        if kind and kind in self._places:
            self._others[self._places[kind]].append(about)
            return
        if kind:
            self._places[kind] = len(self._first)
        self._first.append(sentence)
        self._others.append([])

    def texts(self) -> list[str]:
        """Return the sentences, such as ``column 'a' is constant; the same applies to 'b', 'c'``."""
        return [
            f"{sentence}; the same applies to {listed(others)}" if others else sentence
            for sentence, others in zip(self._first, self._others, strict=True)
        ]


class Faults:
    """Collects the faults of one named input and raises them as one `ValueError`."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._found = Sentences()

    def add(self, fault: str, kind: str = "", about: str = "") -> None:
        """Add one fault: what is wrong, the value, the limit and the fix.

        `Sentences.add` explains `kind` and `about`.
        """
        self._found.add(fault, kind, about)

    def fail(self, fault: str) -> NoReturn:
        """Add a fault that makes further checks impossible, and raise."""
        self.add(fault)
        raise self._error()

    def raise_if_any(self) -> None:
        """Raise a `ValueError` that names the input and lists every fault, if there are any."""
        if self._found.texts():
            raise self._error()

    def _error(self) -> ValueError:
        found = self._found.texts()
        shown = [shortened(fault, LENGTH) for fault in found[:MOST]]
        if len(found) == 1:
            return ValueError(f"{self.where}: {shown[0]}")
        if len(found) > MOST:
            shown.append(f"and {len(found) - MOST} more")
        lines = "\n".join(f"  - {fault}" for fault in shown)
        return ValueError(f"{self.where}: {len(found)} faults\n{lines}")


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that a name or value in it cannot control the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.6, prefix: str = "") -> str:
    """Return ``"; did you mean 'close'?"`` for the nearest of `choices`, or an empty string if none is near.

    The hint shows the choice after `prefix`, as in ``stop.epochs``.
    """
    near = difflib.get_close_matches(word[:100], [c for c in choices if len(c) <= 100][:5000], n=1, cutoff=cutoff)
    return f"; did you mean '{prefix}{near[0]}'?" if near else ""


def listed(names: Sequence[str]) -> str:
    """Return "a, b, c". A long list ends with the number of names left out."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def counted(number: int, unit: str) -> str:
    """Return "1 day", "2 days"."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


def shortened(value: object, length: int = 60) -> str:
    """Return the value as text. A text longer than `length` characters loses its middle part."""
    text = str(value)
    last = length // 3
    return text if len(text) <= length else f"{text[: length - last - 5]} ... {text[-last:]}"
