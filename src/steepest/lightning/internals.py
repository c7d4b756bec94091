"""What this project needs of Lightning's private parts: here, and nowhere else.

Each use says why; `tests/lightning/test_internals.py` is their contract, and fails with a clear message where an
upgrade of Lightning breaks one.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.loops.progress import _ProcessedTracker
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher


def count_updates(trainer: Trainer, updates: int) -> None:
    """Let the Trainer know that one `training_step` made so many updates, of as many batches.

    Lightning counts a batch a step, and an update each time a `LightningOptimizer` steps; the kernel makes many of both
    in one call. With this, epochs end, `global_step` counts, validation comes and checkpoints resume as if it had
    handed out every batch.
    """
    loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    assert fetcher is not None
    assert fetcher.length is not None, "orders come from a loader with a length"
    steps = loop.manual_optimization.optim_step_progress
    for made in (steps.current, steps.total):
        made.ready += updates
        made.completed += updates
    further = updates - 1  # Lightning counts this batch itself
    for batches in (loop.batch_progress.current, loop.batch_progress.total):
        assert isinstance(batches, _ProcessedTracker)
        batches.ready += further
        batches.started += further
        batches.processed += further
        batches.completed += further
    fetcher.fetched += further
    fetcher.done = loop.batch_progress.is_last_batch = fetcher.fetched >= fetcher.length
    loop._batches_that_stepped += further


def is_last_batch(trainer: Trainer) -> bool:
    """Whether the batch at hand is the epoch's last; a manual module has to step its schedulers itself then."""
    return trainer.fit_loop.epoch_loop._num_ready_batches_reached()


def loops_at(trainer: Trainer, updates: int, batches: int) -> dict[str, Any]:
    """The state of a Trainer's loops after so many updates, as a checkpoint holds it.

    A checkpoint that the threads launcher wrote has none, and without one Lightning starts at step 0. One that
    Lightning wrote says where in its hooks it was saved, and resumes wrongly from some; so that is replaced, too.

    Args:
        trainer: whose loops they are.
        updates: done.
        batches: of a whole epoch.
    """
    loops = {"fit_loop": trainer.fit_loop.state_dict()}
    for name in ("validate_loop", "test_loop", "predict_loop"):
        loops[name] = getattr(trainer, name).state_dict()
    fit = loops["fit_loop"]
    epochs, position = divmod(updates, batches)
    started = epochs + (position > 0)
    for when, done in (("current", position or batches), ("total", updates)):
        counts = dict.fromkeys(("ready", "started", "processed", "completed"), done)
        fit["epoch_loop.batch_progress"][when].update(counts)
        counts = {"ready": started, "started": started, "processed": epochs, "completed": epochs}
        fit["epoch_progress"][when].update(counts)
        steps = {"ready": updates, "completed": updates}
        fit["epoch_loop.manual_optimization.optim_step_progress"][when].update(steps)
        fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"][when].update(steps)
    fit["epoch_loop.batch_progress"]["is_last_batch"] = position == 0
    fit["epoch_loop.state_dict"]["_batches_that_stepped"] = updates
    fit["state_dict"]["combined_loader"] = [{"position": position}]
    return loops


def name_hyperparameters(module: LightningModule, options: dict[str, Any]) -> None:
    """Have checkpoints keep these as the constructor's keyword arguments.

    `save_hyperparameters()` reads them off the constructor's frame; ours takes the fields of a dataclass.
    """
    module._set_hparams(options)
    module._hparams_name = "kwargs"  # type: ignore[assignment]


def updates_until_checkpoint(trainer: Trainer) -> int | None:
    """Updates until a `ModelCheckpoint(every_n_train_steps=...)` wants to look; None where there is none."""
    periods = [c._every_n_train_steps for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    return min((n - trainer.global_step % n for n in periods if n > 0), default=None)


def out_of_time(trainer: Trainer) -> str | None:
    """What `trainer.max_time`, or a `Timer`, says of the end of a run; None where time is left."""
    for callback in _callbacks(trainer):
        if isinstance(callback, Timer) and callback._duration is not None and (callback.time_remaining() or 0) <= 0:
            return f"max_time: {callback._duration:g} seconds are over"
    return None


def trains_elsewhere(trainer: Trainer) -> bool:
    """Whether a fit runs in processes of its own that hand back weights only: what callbacks saw there is lost."""
    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def overriding(trainer: Trainer, *hooks: str) -> list[Callback]:
    """The callbacks that do something at one of these hooks."""
    return [
        callback
        for callback in _callbacks(trainer)
        if any(_function(getattr(callback, hook)) is not getattr(Callback, hook) for hook in hooks)
    ]


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # type: ignore[attr-defined]  # a connector sets it


def _function(hook: Any) -> Any:
    """A method's function; a `LambdaCallback`'s hooks are functions that the object itself has."""
    return getattr(hook, "__func__", hook)
