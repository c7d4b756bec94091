"""Settings: jobs that differ only in their seeds, with the mean and the standard deviation of their scores.

This module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

Row = dict[str, Any]  # a job's overrides, status and scores


class Spread(NamedTuple):
    """Mean and sample standard deviation (n - 1) of n numbers; the deviation of a single number is None."""

    mean: float
    std: float | None
    n: int

    def __str__(self) -> str:
        """Rounded to two digits of the deviation: 0.598 ± 0.046, (1.5850 ± 0.0026)e-6."""
        if not self.std:
            return f"{self.mean:.5g}" if self.std is None else f"{self.mean:.5g} ± 0"
        last = math.floor(math.log10(self.std)) - 1  # the power of ten of the last digit
        power = math.floor(math.log10(max(abs(self.mean), self.std)))
        if -5 < power < 5 and last > -12:  # the numbers of a column mostly have the same format
            return f"{self.mean:.{max(0, -last)}f} ± {self.std:.{max(0, -last)}f}"
        mean, std, decimals = self.mean / 10.0**power, self.std / 10.0**power, max(0, power - last)
        return f"({mean:.{decimals}f} ± {std:.{decimals}f})e{power}"


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the spread of the finite values, or None if there are none."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    return Spread(fmean(known), stdev(known) if len(known) > 1 else None, len(known)) if known else None


@dataclass(frozen=True)
class Setting:
    """Jobs that differ only in their seeds.

    Attributes:
        asked: the values of the other varied keys.
        rows: the rows of the jobs, the best first.
        finished: the rows that have an objective.
        objective: the spread of the objective over these, or None if there are none.
        rank: 1 is the best setting.
    """

    asked: dict[str, str]
    rows: list[Row]
    finished: list[Row]
    objective: Spread | None
    rank: int = 0

    @property
    def complete(self) -> bool:
        """Whether all jobs have an objective. The mean over some of the seeds may be lucky."""
        return len(self.finished) == len(self.rows)

    @property
    def first(self) -> Row:
        """The finished job that was launched first: a run that was not chosen by its score."""
        return min(self.finished, key=lambda row: row["job"])

    def over_seeds(self, column: str) -> Spread | None:
        """The spread of a column over the finished jobs."""
        return spread(row.get(column) for row in self.finished)
