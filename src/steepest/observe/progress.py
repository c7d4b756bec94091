"""A progress bar over the whole run. rich draws it; this only feeds it, a few times a second.

Lightning's own bar restarts with each epoch, which for epochs of a few milliseconds shows nothing but flicker.
"""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from steepest.observe.settings import ProgressSettings


class RunProgress(ProgressSettings, Callback):
    """Updates done of all updates, the epoch, and the objective so far.

    Args:
        objective: the metric shown.
        per_second: how often the bar is redrawn, at most.
    """

    def __init__(self, objective: str, per_second: float = 5.0) -> None:
        super().__init__(objective, per_second)
        self.progress: Progress | None = None
        self.drawn = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar, on the first process."""
        if not trainer.is_global_zero:
            return
        per_epoch = int(trainer.num_training_batches)
        epochs, updates = trainer.max_epochs or -1, trainer.max_steps
        limits = ([epochs * per_epoch] if epochs > 0 else []) + ([updates] if updates > 0 else [])
        total = min(limits, default=None)
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
        self.task = self.progress.add_task(
            "train", total=total, completed=trainer.global_step, epoch=trainer.current_epoch, score=""
        )
        self.progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw if the last time is long enough ago."""
        if self.progress is not None and time.monotonic() - self.drawn > self.pause:
            self._draw(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the bar as it ended."""
        self._stop(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self._stop(trainer)

    def _draw(self, trainer: Trainer) -> None:
        assert self.progress is not None
        value = trainer.callback_metrics.get(self.objective)
        score = "" if value is None else f"{self.objective} {float(value):.4g}"
        self.progress.update(self.task, completed=trainer.global_step, epoch=trainer.current_epoch, score=score)
        self.progress.refresh()
        self.drawn = time.monotonic()

    def _stop(self, trainer: Trainer) -> None:
        if self.progress is not None:
            self._draw(trainer)
            self.progress.stop()
            self.progress = None
