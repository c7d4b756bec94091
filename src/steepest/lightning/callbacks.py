"""The callback that connects a Trainer to a run's `Tracker`, and the plugin that writes checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import Tensor

from steepest.data.faults import counted
from steepest.data.windows import Windows
from steepest.evaluate.blocks import outputs_at
from steepest.evaluate.scoring import PartScorer
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.events import listeners_of, sink_of
from steepest.lightning.internals import loops_at, out_of_time
from steepest.lightning.manual import ManualPredictor, choose_engine
from steepest.lightning.predictors import Predictor
from steepest.lightning.protocol import Model, plain
from steepest.lightning.rows import UpdateRows
from steepest.observe.instrument import Instrument, View
from steepest.runs.checkpoints import CONFIG, LAST, PREFIX, TRACKER, load, save, save_best
from steepest.runs.process import interrupts
from steepest.runs.pruning import Trial
from steepest.runs.stops import Diverged, Epochs
from steepest.runs.tracker import Tracker

RANDOM = "steepest_random"  # the key of the state of the random numbers in a checkpoint
PAUSE = 1.0  # minimum seconds between two checkpoints: an epoch can take a millisecond, a checkpoint takes several


class NotLogged(ValueError):
    """A callback reads a number that nothing logs. The run is refused, although its first epoch has ended."""


class CheckpointFiles(TorchCheckpointIO):
    """Makes Lightning write a checkpoint next to its target, flush it to the disk, and then rename it.

    (Lightning itself writes to the folder for temporary files, which may be on another file system.)
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint."""
        save(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Load a checkpoint as plain data and compare its checksum."""
        return load(Path(path))


class Tracking(Callback):
    """Passes updates and epochs to a run's tracker, ends the run when the tracker asks, and saves checkpoints.

    Args:
        objective, rule, instruments, trial: as for `Tracker`.
        scorers, references: functions that return the arguments of `Tracker`. They are called when training starts.
        model: what is trained.
        data: the data set, for the checkpoints.
        folder: the folder of best.ckpt and last.ckpt.
        config: the part of the config on which the results depend. last.ckpt contains it.

    Attributes:
        state_key: the name of the tracker's state in a checkpoint. Both drivers use the same name.
        tracker: None until training starts.
    """

    state_key = TRACKER

    def __init__(
        self,
        objective: str,
        rule: Epochs,
        instruments: Mapping[str, Instrument],
        scorers: Callable[[], Mapping[str, PartScorer]],
        references: Callable[[], Mapping[str, float]],
        model: Model,
        data: WindowDataModule,
        folder: Path,
        config: Mapping[str, Any],
        trial: Trial | None = None,
    ) -> None:
        self.objective, self.rule, self.instruments, self.trial = objective, rule, instruments, trial
        self.scorers, self.references, self.data, self.folder = scorers, references, data, folder
        self.config, self.model = config, model
        self._current: tuple[Tensor, Tensor, float] | None = None  # inputs, targets and loss of a user's own module
        self.tracker: Tracker | None = None
        self.rows: UpdateRows | None = None  # None while the kernel trains
        self._restored: dict[str, Any] | None = None
        self._random: list[Tensor] | None = None
        self._saved = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the tracker and restore its state; stop if the run has already ended."""
        if not trainer.optimizers:
            raise ValueError(f"model={type(pl_module).__name__}: configure_optimizers returns no optimizer")
        optimizer, engine, clip = trainer.optimizers[0], "autograd", None  # Lightning itself clips for autograd
        if isinstance(pl_module, ManualPredictor):
            engine, clip = choose_engine(pl_module, trainer, optimizer)[0], pl_module.clip
        view = View(
            network=self.model.network,
            loss=self.model.loss,
            optimizer=optimizer,
            windows=self.data.placed(pl_module.device, next(pl_module.parameters()).dtype),
            batches=int(trainer.num_training_batches),
            epochs_limit=self.rule.epochs,
            updates_limit=self.rule.updates_limit,
            engine=engine,
            sink=sink_of(trainer),
            listeners=listeners_of(trainer),
            world=trainer.world_size,
            only_batch=self.data.only_batch(),
            of_user=self.model.network is pl_module,
            clip=clip,
        )
        instruments = self.instruments if trainer.is_global_zero else {}
        outputs = partial(_outputs, pl_module, view.windows)
        references = self.references() if view.recorded else {}
        self.tracker = tracker = Tracker(
            view, self.objective, self.rule, instruments, self.scorers(), outputs, references, self.trial
        )
        if self._restored is not None:
            tracker.load_state_dict(self._restored)
        if isinstance(pl_module, ManualPredictor):
            pl_module.tracker = tracker
        if engine != "kernel":
            self.rows = UpdateRows(tracker)
        tracker.begin()
        if self._random is not None:  # the next dropout is the one that followed the checkpoint
            set_random_states(self._random)
        trainer.should_stop = trainer.should_stop or bool(tracker.reason)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Record the update before it is done, unless the kernel does it."""
        if self.rows is not None:
            current = pl_module.current_batch if isinstance(pl_module, Predictor) else self._current
            if current is None or math.isnan(current[2]):
                raise ValueError(
                    f"model={type(pl_module).__name__}: training_step gave no loss for this update: return the loss, "
                    "or, with manual optimization, call self.manual_backward(loss)"
                )
            self.rows.before(current)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the batch of a module that does not do it."""
        if not isinstance(pl_module, Predictor):
            self._current = (*batch, math.nan)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Keep the loss of a module that does not do it.

        Raises:
            Diverged: if the loss is not finite; the update is not applied.
        """
        if isinstance(pl_module, Predictor) or self._current is None:
            return
        number = loss.item() * trainer.accumulate_grad_batches  # Lightning has divided it
        if not math.isfinite(number):
            raise Diverged.at(f"the training loss is {number}", trainer.global_step + 1, trainer.current_epoch + 1)
        self._current = (*self._current[:2], number)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the update. End the run at its limit, or if Python dropped an interrupt."""
        if interrupts:
            raise KeyboardInterrupt
        tracker = self._tracker()
        if self.rows is not None:
            self.rows.after()
        if tracker.updates_left() <= 0:
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if the last checkpoint is old enough; the schedulers have finished the previous epoch by now."""
        # All processes save together, but their clocks differ: the first process decides.
        due = time.monotonic() - self._saved >= PAUSE and trainer.global_step > 0
        if trainer.strategy.broadcast(due):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the epoch, and end the run if it is the last one."""
        tracker = self._tracker()
        if self.rows is not None:
            self.rows.deliver()
        if tracker.view.updates % tracker.view.batches:
            self._save(trainer)  # before the scores: a run resumed in the middle of an epoch has not ended that epoch
        scores = tracker.epoch_end()
        # Lightning stores logged numbers in the default precision, and single precision would hide late progress.
        # (Every device has scored the whole part, so the reduction is a mean of equal numbers.)
        before, watched = torch.get_default_dtype(), self._watched(trainer, scores)
        torch.set_default_dtype(torch.float64)
        for name in watched:
            pl_module.log(name, scores[name], logger=False, sync_dist=True)
        torch.set_default_dtype(before)
        tracker.reason = trainer.strategy.broadcast(tracker.reason)
        trainer.should_stop = trainer.should_stop or bool(tracker.reason)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the instruments finish, and save both checkpoints."""
        tracker = self._tracker()
        if tracker.view.updates % tracker.view.batches == 0:
            self._save(trainer)
        elif not tracker.history or tracker.history[-1]["updates"] != tracker.view.updates:
            tracker.epoch_end()  # the run was resumed within an epoch, but has already reached its limit
        if not trainer.interrupted:
            if any(isinstance(one, StochasticWeightAveraging) for one in trainer.callbacks):  # type: ignore[attr-defined]
                tracker.view.epochs -= 1  # the same epoch again, with the averaged weights
                tracker.epoch_end()
            tracker.reason = tracker.reason or _other_reason(trainer)
            tracker.end()
            if tracker.view.updates % tracker.view.batches == 0:
                self._save(trainer)  # with the instruments' last results
        self._save_best(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what the run recorded before the error, unless the config is refused."""
        if self.tracker is not None and not isinstance(exception, NotLogged):
            if self.rows is not None:
                self.rows.deliver()
            self.tracker.flush()
            if isinstance(exception, Diverged):
                self._save(trainer)  # the update was refused, so the parameters are finite
            self._save_best(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the config, which a resumed run compares with its own; keep only plain data of a user's own module."""
        checkpoint[CONFIG] = dict(self.config)
        if not isinstance(pl_module, ManualPredictor):  # it has no dropout
            checkpoint[RANDOM] = random_states()
        if not isinstance(pl_module, Predictor):
            checkpoint["batches"] = int(trainer.num_training_batches)
            checkpoint["hyper_parameters"] = plain(dict(pl_module.hparams).items())

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Resume a user's own module between two updates, as a `Predictor` does itself."""
        self._random = checkpoint.get(RANDOM)
        if not isinstance(pl_module, Predictor):
            checkpoint["loops"] = loops_at(trainer, checkpoint["global_step"], checkpoint["batches"])

    def state_dict(self) -> dict[str, Any]:
        """The tracker's state."""
        return self._tracker().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until the tracker exists."""
        self._restored = state_dict

    def _watched(self, trainer: Trainer, scores: Mapping[str, float]) -> set[str]:
        """The scores that the Trainer's callbacks and schedulers read.

        Raises:
            NotLogged: if a callback reads a number that neither the run nor its module logs.
        """
        watched = {self.objective}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # a connector sets it
            name = getattr(callback, "monitor", None)
            if isinstance(name, str) and name not in scores and name not in trainer.callback_metrics:
                raise NotLogged(
                    f"{type(callback).__name__} monitors {name}, which this run does not log: use one of "
                    f"{', '.join(sorted(scores))}"
                )
            watched |= {name} if isinstance(name, str) else set()
        return watched & scores.keys()

    def _save(self, trainer: Trainer) -> None:
        self._tracker().flush()
        trainer.save_checkpoint(self.folder / LAST)
        self._saved = time.monotonic()

    def _save_best(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and (best := self._tracker().best) is not None:
            prefix = "" if self.model.network is trainer.lightning_module else PREFIX
            save_best(best, self.model.options, self.data, self.folder / "best.ckpt", prefix)

    def _tracker(self) -> Tracker:
        assert self.tracker is not None, "on_train_start sets the tracker"
        return self.tracker


def random_states() -> list[Tensor]:
    """The state of PyTorch's random numbers on the CPU, and on each GPU that is in use."""
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *on_gpus]


def set_random_states(states: list[Tensor]) -> None:
    """Restore these states, if this machine has as many devices."""
    torch.set_rng_state(states[0])
    if torch.cuda.is_initialized() and len(states) == 1 + torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states[1:])


def _outputs(module: LightningModule, windows: Windows, origin_M: Tensor) -> Tensor:
    """The outputs (M, O) for samples with these origins, computed by the engine that trains."""
    if isinstance(module, ManualPredictor) and module.descent is not None:
        return module.descent.predict(origin_M.numpy())
    return outputs_at(module, windows, origin_M)


def _other_reason(trainer: Trainer) -> str:
    """Why the Trainer ended a run before its stop rule did."""
    if (over := out_of_time(trainer)) is not None:
        return over
    if trainer.fast_dev_run:  # type: ignore[attr-defined]  # a connector sets it
        return "trainer.fast_dev_run: a test run of one batch"
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"trainer.max_steps: {trainer.global_step} updates done"
    if trainer.max_epochs not in (None, -1) and trainer.current_epoch >= (trainer.max_epochs or 0):
        return f"trainer.max_epochs: {counted(trainer.current_epoch, 'epoch')} done"
    stopped = [c for c in trainer.callbacks if getattr(c, "stopped_epoch", 0)]  # type: ignore[attr-defined]
    if stopped:
        return f"callback {type(stopped[0]).__name__} ended it"
    return "a callback ended it (trainer.should_stop)"
