"""The LightningDataModule that serves the batches of `data/batches.py` to a Trainer."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from steepest.data.batches import Batches, PreparedData
from steepest.data.sources import RowData, SeriesData
from steepest.data.windows import Batch, Windows
from steepest.lightning.internals import updates_until_checkpoint


class Pair(NamedTuple):
    """A batch as any LightningModule expects it: inputs (N, D) and targets (N, H)."""

    x_ND: Tensor
    y_NH: Tensor


class WindowDataModule(PreparedData, LightningDataModule):
    """`PreparedData`, with its arguments and attributes, whose batches are on the training device."""

    def __init__(self, dataset: SeriesData | RowData, seed: int = 0, **options: Any) -> None:
        LightningDataModule.__init__(self)
        PreparedData.__init__(self, dataset, seed, **options)

    def train_dataloader(self) -> Batches:
        """The training batches in the order of (seed, epoch)."""
        trainer, windows = self._training()
        return Batches(
            windows,
            "train",
            self.dataset.batch_size,
            seed=self.seed if self.dataset.shuffle else None,
            one_batch=self.dataset.one_batch,
            epoch=lambda: trainer.current_epoch,
            ahead=lambda position: updates_ahead(trainer, position),
            rank=trainer.global_rank,
            world=trainer.world_size,
        )

    def only_batch(self) -> Tensor | None:
        """The origins of the batch that every update uses, or None if there are others."""
        return self.train_dataloader().order() if self.dataset.one_batch else None

    def val_dataloader(self) -> Batches | list:
        """The whole val part in order, the same on every device, in large batches."""
        return self._whole("val")

    def test_dataloader(self) -> Batches | list:
        """The whole test part in order."""
        return self._whole("test")

    def predict_dataloader(self) -> Batches | list:
        """The whole test part in order."""
        return self._whole("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch, which is already on the device; a module that is not a `Predictor` gets its pair (x, y)."""
        weighted = getattr(self.trainer and self.trainer.lightning_module, "takes_share", False)
        return Pair(*batch[:2]) if isinstance(batch, Batch) and not weighted else batch

    def _whole(self, part: str) -> Batches | list:
        _, windows = self._training()
        return Batches(windows, part, windows.chunk) if len(windows.parts[part]) else []

    def _training(self) -> tuple[Trainer, Windows]:
        """The Trainer, and the windows on its device in its precision."""
        if self.trainer is None:
            raise ValueError("a WindowDataModule serves batches to a Trainer: call trainer.fit(model, datamodule)")
        dtype = torch.float64 if self.trainer.precision == "64-true" else torch.float32
        return self.trainer, self.placed(self.trainer.strategy.root_device, dtype)


def updates_ahead(trainer: Trainer, position: int) -> int:
    """How many updates the kernel may do from this batch of the epoch on; 0 if the kernel does not train the run.

    At most `updates_per_step`, and only up to the next event between two updates: an update that an instrument needs,
    the run's last update, a checkpoint, a validation, the end of a shortened epoch.
    """
    module: Any = trainer.lightning_module
    if getattr(module, "descent", None) is None:
        return 0
    limits: list[int] = [module.spec.updates_per_step]
    if module.tracker is not None:
        limits += [module.tracker.updates_ahead(), module.tracker.updates_left()]
    if trainer.max_steps > 0:
        limits.append(trainer.max_steps - trainer.global_step)
    if (until := updates_until_checkpoint(trainer)) is not None:
        limits.append(until)
    if math.isfinite(trainer.num_training_batches):
        limits.append(int(trainer.num_training_batches) - position)
    if any(config.interval == "step" for config in trainer.lr_scheduler_configs):
        limits.append(1)
    if trainer.enable_validation and trainer.val_check_batch:
        every = trainer.val_check_batch if trainer.check_val_every_n_epoch else 1  # None: counted across epochs
        limits.append(int(every - position % every) if math.isfinite(every) else 1)
    return max(1, min(limits))
