"""A progress bar over the whole run, drawn by rich in a terminal or a notebook.

Lightning's bar restarts with each epoch, so with epochs of a few milliseconds it only flickers.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from steepest.engine.descent import UpdateLog
from steepest.evaluate.terminal import terminal
from steepest.observe.instrument import Instrument, View


@dataclass
class RunProgress(Instrument):
    """Shows the updates done, their total, the epoch, and the last objective.

    Attributes:
        objective: the metric shown.
        per_second: how often rich redraws the bar.
    """

    objective: str
    per_second: float = 5.0

    def __post_init__(self) -> None:
        if not self.per_second > 0:
            raise ValueError(f"callbacks.progress.per_second={self.per_second} must be a number above 0")
        console, self.score = terminal(), ""
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("updates"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}"),
            console=console,
            refresh_per_second=self.per_second,
            disable=not (console.is_terminal or console.is_jupyter),
        )

    def begin(self, view: View) -> None:
        """Show the bar."""
        by_epochs = None if view.epochs_limit is None else view.epochs_limit * view.batches
        total = min((limit for limit in (by_epochs, view.updates_limit) if limit is not None), default=None)
        self.task = self.progress.add_task("train", total=total, completed=view.updates, epoch=view.epochs, score="")
        self.progress.start()

    def log(self, view: View, log: UpdateLog) -> None:
        """Count the updates."""
        self.progress.update(self.task, completed=view.updates)

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Count the epoch, and show the last objective."""
        value = scores.get(self.objective)
        self.score = "" if value is None else f"{self.objective} {value:.4g}"
        self.progress.update(self.task, completed=view.updates, epoch=view.epochs, score=self.score)

    def say(self, what: str) -> None:
        """Show what the process is doing after the last update."""
        self.progress.update(self.task, score=what, refresh=True)

    def close(self) -> None:
        """Draw the bar one last time and release the terminal, if training has started."""
        if self.progress.live.is_started:
            self.progress.update(self.task, score=self.score)
            self.progress.stop()
