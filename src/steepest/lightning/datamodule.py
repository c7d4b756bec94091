"""Lightning glue only: the data module that hands `data/batches.py` to a Trainer."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer

from steepest.data.batches import Batches, PreparedData
from steepest.data.sources import RowData, SeriesData
from steepest.data.windows import Windows
from steepest.lightning.internals import updates_until_checkpoint


class WindowDataModule(PreparedData, LightningDataModule):
    """Reads a data set, standardises and splits it, and serves its batches from the training device.

    Args:
        dataset: what to read and how to cut it (`data/sources.py`).
        seed: of the order of the batches, and of the split of plain rows.

    Attributes:
        windows: the tensors, after `setup`.

    Raises:
        ValueError: in `setup`, with every fault of the data.
    """

    def __init__(self, dataset: SeriesData | RowData, seed: int = 0) -> None:
        LightningDataModule.__init__(self)
        PreparedData.__init__(self, dataset, seed)

    def train_dataloader(self) -> Batches:
        """The training batches in the order of (seed, epoch)."""
        trainer, windows = self._trainer(), self._windows_in_training()
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

    def val_dataloader(self) -> Batches | list:
        """The whole val part in order, on every device alike, in batches as large as is cheap."""
        return self._whole("val")

    def test_dataloader(self) -> Batches | list:
        """The whole test part in order."""
        return self._whole("test")

    def _whole(self, part: str) -> Batches | list:
        windows = self._windows_in_training()
        return Batches(windows, part, windows.at_once) if len(windows.parts[part]) else []

    def _trainer(self) -> Trainer:
        if self.trainer is None:
            raise ValueError("a WindowDataModule serves batches to a Trainer: call trainer.fit(model, datamodule)")
        return self.trainer

    def _windows_in_training(self) -> Windows:
        trainer = self._trainer()
        dtype = torch.float64 if trainer.precision == "64-true" else torch.float32
        return self.placed(trainer.strategy.root_device, dtype)


def updates_ahead(trainer: Trainer, position: int) -> int:
    """How many updates the kernel may make from this batch of the epoch on; 0 where it does not train the run.

    As many as the model says (`updates_per_step`), but nothing that somebody does between two updates may fall among
    them: a look, the run's last update, a checkpoint, a validation, the end of a shortened epoch.
    """
    module: Any = trainer.lightning_module
    if getattr(module, "descent", None) is None:
        return 0
    limits: list[int] = [module.updates_per_step]
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
