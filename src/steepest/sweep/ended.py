"""A sweep that has ended, for Python: its results and its best run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import pandas as pd

from steepest.runs.trained import Run
from steepest.sweep.results import read_results


class Sweep:
    """A sweep in its folder.

    Args:
        folder: the sweep's folder.
        trust: packages of the user's own whose model the runs may have trained.
    """

    def __init__(self, folder: str | Path, trust: Iterable[str] = ()) -> None:
        self.folder, self.trust = Path(folder), list(trust)

    def __repr__(self) -> str:
        return f"Sweep({str(self.folder)!r})"

    @cached_property
    def results(self) -> pd.DataFrame:
        """The content of results.csv: one row per job, with the varied keys, the status and the scores.

        If seeds were varied, the jobs of the best setting come first; `setting` is the rank of a job's setting.
        """
        return pd.read_csv(self.folder / "results.csv")

    @cached_property
    def best(self) -> Run:
        """The winner: the run with the best objective, which is a score of the validation part.

        If seeds were varied, the winner is the best setting by its mean objective, and this is its first finished job.

        Raises:
            ValueError: if no job has finished with a finite objective.
        """
        _, results = read_results(self.folder)
        if results.best is None:
            raise ValueError(f"{self.folder}: no job has a finite {results.objective}; results.csv has the reasons")
        return Run(self.folder / str(results.best["folder"]), self.trust)
