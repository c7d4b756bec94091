"""The training loop without Lightning: the compiled engine does the updates, and the tracker everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steepest.data.batches import Batches
from steepest.data.sources import RowData, SeriesData
from steepest.data.windows import Windows
from steepest.engine.descent import Descent, UpdateLog
from steepest.evaluate.scoring import PartScorer
from steepest.observe.eventfile import EventFile
from steepest.observe.instrument import View
from steepest.runs.build import Parts
from steepest.runs.config import Checked
from steepest.runs.pruning import Trial
from steepest.runs.record import Status
from steepest.runs.stops import Diverged
from steepest.runs.tracker import Tracker


class KernelTraining:
    """One training by the engine.

    Args:
        checked: a config that the kernel can train.
        dataset: how the samples are cut into batches.
        parts: what `build` returns for the config.
        windows: the data, in the precision of training.
        scorers: the scorers of the parts that are scored at every epoch.
        sink: the event file, or None.
        references: losses of the baselines, written with every epoch's scores.
        trial: the trial of a study whose pruner may end the training.
    """

    def __init__(
        self,
        checked: Checked,
        dataset: SeriesData | RowData,
        parts: Parts,
        windows: Windows,
        scorers: Mapping[str, PartScorer],
        *,
        sink: EventFile | None = None,
        references: Mapping[str, float] | None = None,
        trial: Trial | None = None,
    ) -> None:
        self.parts = parts
        seed = checked.run.seed if dataset.shuffle else None
        self.batches = Batches(windows, "train", dataset.batch_size, seed=seed, one_batch=dataset.one_batch)
        view = View(
            parts.network, parts.loss, parts.optimizer, windows, len(self.batches), parts.rule.epochs,
            parts.rule.updates_limit, "kernel", sink, clip=parts.clip,
            only_batch=self.batches.order() if dataset.one_batch else None,
        )  # fmt: skip
        self.tracker = Tracker(
            view, checked.run.objective, parts.rule, parts.instruments, scorers, self.outputs, references, trial
        )
        self.descent = Descent(
            parts.network, parts.loss, parts.optimizer, windows, parts.clip, entries=self.tracker.wants_entries
        )

    def outputs(self, origin_M: Tensor) -> Tensor:
        """The outputs (M, O) for samples with these origins, at the current parameters."""
        return self.descent.predict(origin_M.numpy())

    def train(
        self, save: Callable[..., None] = lambda **_: None, interrupted: Callable[[], bool] = lambda: False
    ) -> tuple[Status, str]:
        """Train until a stop rule ends the run. Return the status, and the reason if it is not ``finished``.

        Args:
            save: writes the checkpoints; ``last=False`` leaves out last.ckpt.
            interrupted: returns True when the training should stop; called several times a second.
        """
        tracker, batches = self.tracker, self.batches
        view, size, count = tracker.view, batches.size, len(batches)
        batches.epoch = lambda: view.epochs
        tracker.begin()
        while not tracker.reason:
            order_N, place = batches.order(), 0
            while place < count and tracker.updates_left() > 0:
                if interrupted():
                    save()
                    return "stopped", "interrupted"
                log = self._advance(order_N[place * size :], count - place)
                place += len(log)
                if log.refused:
                    save()
                    return "failed", f"diverged: {Diverged.at(log.refused, view.updates + 1, view.epochs + 1)}"
            complete = place == count
            if not complete:
                save()  # before the epoch is counted: a resumed run finishes it
            _end_of_epoch(tracker, self.parts, complete=complete)
        tracker.end()
        save(last=complete)
        return "finished", ""

    def _advance(self, origin_N: Tensor, batches: int) -> UpdateLog:
        """Do updates until an instrument must observe one, at most as many as there are batches."""
        tracker, size = self.tracker, self.batches.size
        updates = min(batches, self.parts.spec.updates_per_step, tracker.updates_left())
        if (ahead := tracker.updates_ahead()) == 0:
            batch_N = origin_N[:size]
            batch = tracker.view.windows.gather(batch_N)
            tracker.look(batch.x_ND, batch.y_NH, *self.descent.gradient(batch_N.numpy()))
        log = self.descent.advance(origin_N.numpy(), size, max(1, min(updates, ahead)), tracker.view.updates)
        tracker.log(log)
        return log


def _end_of_epoch(tracker: Tracker, parts: Parts, *, complete: bool) -> None:
    plateau = isinstance(parts.scheduler, ReduceLROnPlateau)
    if complete and parts.scheduler is not None and not plateau:
        parts.scheduler.step()
    scores = tracker.epoch_end()
    if complete and isinstance(parts.scheduler, ReduceLROnPlateau) and tracker.objective in scores:
        parts.scheduler.step(scores[tracker.objective])
