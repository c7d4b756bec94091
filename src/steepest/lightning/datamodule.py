"""Lightning glue only: the data module that hands `batches.py` to a Trainer."""

from __future__ import annotations

import math

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from steepest.data.batches import Batches, PreparedData
from steepest.data.sources import RowData, SeriesData
from steepest.data.windows import Windows


class WindowDataModule(PreparedData, LightningDataModule):
    """Reads a data set, standardises and splits it, and serves its batches from the training device.

    Args:
        dataset: what to read and how to cut it (`sources.py`).
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
    """How many updates the model may do at once from this batch of the epoch on.

    As many as it says (`updates_per_step`), but nothing that the trainer does between two batches may fall among them:
    its last update, the end of a shortened epoch, a validation.
    """
    limits = [int(getattr(trainer.lightning_module, "updates_per_step", 1))]
    if trainer.max_steps > 0:
        limits.append(trainer.max_steps - trainer.global_step)
    if math.isfinite(trainer.num_training_batches):
        limits.append(int(trainer.num_training_batches) - position)
    if trainer.enable_validation and trainer.val_check_batch:
        every = trainer.val_check_batch if trainer.check_val_every_n_epoch else 1  # None: counted across epochs
        limits.append(int(every - position % every) if math.isfinite(every) else 1)
    return min(limits)


def windows_in_training(trainer: Trainer, module: LightningModule) -> Windows:
    """The windows a `Trainer` trains on, where its module is and in its precision: what callbacks look at."""
    datamodule = getattr(trainer, "datamodule", None)
    if not isinstance(datamodule, WindowDataModule):
        raise ValueError("this callback looks at the windows of a WindowDataModule: trainer.fit(model, datamodule=...)")
    return datamodule.placed(module.device, next(module.parameters()).dtype)
