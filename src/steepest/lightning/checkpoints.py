"""`checkpoints/best.ckpt` and `checkpoints/last.ckpt`: plain data, written whole, in a folder that may be moved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from steepest.observe.events import Bulk
from steepest.lightning.stops import ends_here


class BestCheckpoint(ModelCheckpoint):
    """Keeps the epoch with the best objective.

    Args:
        folder: where best.ckpt goes.
        objective: the metric that chooses.
        mode: which way it is better.
    """

    def __init__(self, folder: Path, objective: str, mode: Literal["min", "max"]) -> None:
        super().__init__(
            folder, "best", monitor=objective, mode=mode, save_on_train_epoch_end=True, enable_version_counter=False
        )  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score so far, wherever the run's folder lies by now."""
        here = Path(str(self.dirpath))
        paths = {
            k: str(here / Path(state_dict[k]).name)
            for k in ("best_model_path", "kth_best_model_path")
            if state_dict.get(k)
        }
        models = {str(here / Path(path).name): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"best_k_models": models, "dirpath": self.dirpath})


class LastCheckpoint(Checkpoint):
    """Keeps the newest epoch, to resume from: at the end, and before it at most once in `pause` seconds.

    An epoch can take a millisecond, a checkpoint takes several.
    """

    def __init__(self, folder: Path, pause: float = 1.0) -> None:
        self.path, self.pause = folder / "last.ckpt", pause
        self.saved = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the last epoch, or if the last time is long enough ago."""
        # Not in on_train_end: a checkpoint taken there resumes a run that ended inside an epoch at the wrong batch.
        # Saving is a meeting of all processes, whose clocks differ: the first one decides.
        if trainer.strategy.broadcast(ends_here(trainer) or time.monotonic() - self.saved >= self.pause):
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Bulk):
                    callback.catch_up(trainer)
            trainer.save_checkpoint(self.path)
            self.saved = time.monotonic()
