"""One report for all that is wrong with an input.

Not a logger and not a validator: checks elsewhere call `add`, and the caller ends with `raise_if_any`, so that a
user sees every fault of a file at once instead of one fault per attempt.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Faults:
    """Collects faults of one named input and raises them together as one `ValueError`."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[str] = []

    def add(self, fault: str) -> None:
        """Keep one fault: what is wrong, the value, the limit and the mend."""
        self.found.append(fault)

    def raise_if_any(self) -> None:
        """Raise `ValueError` naming the input and listing every fault; return when there is none."""
        if not self.found:
            return
        if len(self.found) == 1:
            raise ValueError(f"{self.where}: {self.found[0]}")
        lines = "\n".join(f"  - {fault}" for fault in self.found)
        raise ValueError(f"{self.where}: {len(self.found)} faults\n{lines}")


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``"; did you mean 'close'?"`` for the nearest of `choices`, or an empty string."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=cutoff)
    return f"; did you mean '{near[0]}'?" if near else ""
