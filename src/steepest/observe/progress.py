"""A progress bar over the whole run. rich draws it; this only feeds it, a few times a second.

Lightning's own bar restarts with each epoch, which for epochs of a few milliseconds shows nothing but flicker.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from steepest.engine.descent import UpdateLog
from steepest.observe.instrument import Instrument, View


@dataclass
class RunProgress(Instrument):
    """Updates made of all updates, the epoch, and the objective so far.

    Attributes:
        objective: the metric shown.
        per_second: how often the bar is redrawn, at most.
    """

    objective: str
    per_second: float = 5.0

    def __post_init__(self) -> None:
        if not self.per_second > 0:
            raise ValueError(f"callbacks.progress.per_second={self.per_second} must be a number above 0")
        self.progress: Progress | None = None
        self.drawn, self.score = 0.0, ""

    def begin(self, view: View) -> None:
        """Show the bar."""
        by_epochs = None if view.epochs_limit is None else view.epochs_limit * view.batches
        total = min((limit for limit in (by_epochs, view.updates_limit) if limit is not None), default=None)
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("updates"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}"),
            auto_refresh=False,
        )
        self.task = self.progress.add_task("train", total=total, completed=view.updates, epoch=view.epochs, score="")
        self.progress.start()

    def log(self, view: View, log: UpdateLog) -> None:
        """Redraw if the last time is long enough ago."""
        if time.monotonic() - self.drawn > 1 / self.per_second:
            self._draw(view)

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Remember the objective."""
        value = scores.get(self.objective)
        self.score = "" if value is None else f"{self.objective} {value:.4g}"

    def say(self, what: str) -> None:
        """Show what the process does after the last update."""
        if self.progress is not None:
            self.progress.update(self.task, score=what)
            self.progress.refresh()

    def end(self, view: View) -> None:
        """Show the bar as it ended."""
        if self.progress is not None:
            self._draw(view)

    def close(self) -> None:
        """Give the terminal back."""
        if self.progress is not None:
            self.progress.refresh()
            self.progress.stop()
            self.progress = None

    def _draw(self, view: View) -> None:
        assert self.progress is not None
        self.progress.update(self.task, completed=view.updates, epoch=view.epochs, score=self.score)
        self.progress.refresh()
        self.drawn = time.monotonic()
