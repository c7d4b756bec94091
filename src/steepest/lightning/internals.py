"""All uses of Lightning's private interfaces.

Each function says why it needs them. `tests/lightning/test_internals.py` tests each one, and fails with a clear message
if an upgrade of Lightning breaks it.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.loops.progress import _ProcessedTracker
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher


def count_updates(trainer: Trainer, updates: int) -> None:
    """Tell the Trainer that one `training_step` did this many updates, each from one batch.

    Lightning counts one batch per step, and one update each time a `LightningOptimizer` steps; the kernel does many in
    one call. After this function, epochs end, `global_step` counts, validation runs and checkpoints resume as if
    Lightning had fetched every batch.
    """
    loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    assert fetcher is not None
    assert fetcher.length is not None, "the loader of orders has a length"
    steps = loop.manual_optimization.optim_step_progress
    for counts in (steps.current, steps.total):
        counts.ready += updates
        counts.completed += updates
    more = updates - 1  # Lightning itself counts one
    for batches in (loop.batch_progress.current, loop.batch_progress.total):
        assert isinstance(batches, _ProcessedTracker)
        batches.ready += more
        batches.started += more
        batches.processed += more
        batches.completed += more
    fetcher.fetched += more
    fetcher.done = loop.batch_progress.is_last_batch = fetcher.fetched >= fetcher.length
    loop._batches_that_stepped += more


def is_last_batch(trainer: Trainer) -> bool:
    """Whether the current batch is the last of the epoch, at whose end a manual module steps its schedulers."""
    return trainer.fit_loop.epoch_loop._num_ready_batches_reached()


def loops_at(trainer: Trainer, updates: int, batches: int) -> dict[str, Any]:
    """The state of a Trainer's loops after this many updates, as a checkpoint holds it.

    The threads launcher's checkpoints have no such state, and without it Lightning starts at step 0. Lightning's own
    state depends on the hook that saved it, and resumes wrongly after some hooks; so this state replaces it, too.

    Args:
        trainer: the Trainer.
        updates: done so far.
        batches: the number of batches in an epoch.
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
    """Make checkpoints keep these options as the constructor's keyword arguments.

    `save_hyperparameters()` would read them from the constructor's frame, which has only `*sizes` and `**more`.
    """
    module._set_hparams(options)
    module._hparams_name = "kwargs"  # type: ignore[assignment]


def updates_until_checkpoint(trainer: Trainer) -> int | None:
    """Return the number of updates until a `ModelCheckpoint(every_n_train_steps=...)` saves, or None without one."""
    periods = [c._every_n_train_steps for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    return min((n - trainer.global_step % n for n in periods if n > 0), default=None)


def out_of_time(trainer: Trainer) -> str | None:
    """Return why `trainer.max_time` or a `Timer` ends the run, or None if it does not."""
    for callback in _callbacks(trainer):
        if isinstance(callback, Timer) and callback._duration is not None and (callback.time_remaining() or 0) <= 0:
            return f"max_time: {callback._duration:g} seconds have passed"
    return None


def trains_elsewhere(trainer: Trainer) -> bool:
    """Whether the Trainer trains in processes that return only weights, so that the callbacks' results are lost."""
    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def overriding(trainer: Trainer, *hooks: str) -> list[Callback]:
    """The callbacks that override one of these hooks."""
    return [
        callback
        for callback in _callbacks(trainer)
        if any(_function(getattr(callback, hook)) is not getattr(Callback, hook) for hook in hooks)
    ]


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # type: ignore[attr-defined]  # a connector sets it


def _function(hook: Any) -> Any:
    """A method's function; the hooks of a `LambdaCallback` are plain functions already."""
    return getattr(hook, "__func__", hook)
