"""Fits a module with a Trainer, and says how that ended."""

from __future__ import annotations

import gc
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from steepest.lightning.datamodule import WindowDataModule
from steepest.nets.agreement import Disagreement
from steepest.runs.record import Status
from steepest.runs.stops import Diverged


def fit(
    trainer: Trainer, model: LightningModule, datamodule: WindowDataModule, checkpoint: Path | None
) -> tuple[Status, str]:
    """Fit; the status, and the reason if it is not ``finished``."""
    gc.freeze()  # the garbage collector need not search what exists by now
    try:
        trainer.fit(model, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    except RuntimeError as error:
        if "multiple optimizers" not in str(error):
            raise
        raise ValueError(
            f"model={type(model).__name__}: several optimizers need manual optimization: set "
            "self.automatic_optimization = False, and step each one in training_step"
        ) from error
    except Diverged as error:
        return "failed", f"diverged: {error}"
    except Disagreement as error:
        return "failed", f"audit: {error}"
    except SystemExit:  # Lightning raises it on Ctrl-C
        if not trainer.interrupted:
            raise
        return "stopped", "interrupted"
    finally:
        gc.unfreeze()
    return "finished", ""
