"""The training loop without Lightning: the compiled engine does the updates, and the tracker does the rest."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steepest.data.batches import Batches
from steepest.data.windows import Windows
from steepest.engine.descent import Descent
from steepest.evaluate.scoring import PartScorer
from steepest.runs.build import Parts
from steepest.runs.record import Status
from steepest.runs.stops import Diverged
from steepest.runs.tracker import Tracker


class Kernel:
    """The engine. The tracker reads outputs from it, and tells it before training whether logs need parameters."""

    descent: Descent

    def __init__(self, parts: Parts, windows: Windows) -> None:
        self.parts, self.windows = parts, windows

    def make(self, *, entries: bool) -> None:
        """Begin a descent. `entries`: whether the logs of its updates hold all parameters."""
        parts = self.parts
        self.descent = Descent(parts.network, parts.loss, parts.optimizer, self.windows, parts.clip, entries=entries)

    def outputs(self, scorer: PartScorer) -> Tensor:
        """The outputs (N, O) for a part's samples, at the current parameters."""
        return self.descent.predict(scorer.origin_N.numpy())


def train(
    tracker: Tracker,
    parts: Parts,
    descent: Descent,
    batches: Batches,
    save: Callable[..., None],
    interrupted: Callable[[], bool],
) -> tuple[Status, str]:
    """Train until a stop rule ends the run. Return the status, and the reason if it is not ``finished``."""
    view, size, count = tracker.view, batches.size, len(batches)
    batches.epoch = lambda: view.epochs
    tracker.begin()
    while not tracker.reason:
        order_N, place = batches.order(), 0
        while place < count and tracker.updates_left() > 0:
            if interrupted():
                save()
                return "stopped", "interrupted"
            updates = min(count - place, parts.spec.updates_per_step, tracker.updates_left())
            origin_N = order_N[place * size :]
            if (ahead := tracker.updates_ahead()) == 0:
                batch_N = origin_N[:size]
                batch = view.windows.gather(batch_N)
                tracker.look(batch.x_ND, batch.y_NH, *descent.gradient(batch_N.numpy()))
            update_log = descent.advance(origin_N.numpy(), size, max(1, min(updates, ahead)), view.updates)
            tracker.log(update_log)
            place += len(update_log)
            if update_log.refused:
                save()
                return "failed", f"diverged: {Diverged.at(update_log.refused, view.updates + 1, view.epochs + 1)}"
        complete = place == count
        if not complete:
            save()  # before the epoch is counted: a resumed run finishes it
        _end_of_epoch(tracker, parts, complete=complete)
    tracker.end()
    save(last=complete)
    return "finished", ""


def _end_of_epoch(tracker: Tracker, parts: Parts, *, complete: bool) -> None:
    plateau = isinstance(parts.scheduler, ReduceLROnPlateau)
    if complete and parts.scheduler is not None and not plateau:
        parts.scheduler.step()
    scores = tracker.epoch_end()
    if complete and isinstance(parts.scheduler, ReduceLROnPlateau) and tracker.objective in scores:
        parts.scheduler.step(scores[tracker.objective])
