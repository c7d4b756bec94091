"""The callback that asks how units and machine are: dead relus, saturated sigmoids, updates a second, memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from steepest.lightning.datamodule import windows_in_training
from steepest.lightning.predictors import Predictor
from steepest.observe.eventfile import write_rows
from steepest.observe.events import Bulk, writer_of
from steepest.observe.health import memory, unit_health
from steepest.observe.looks import turn
from steepest.observe.settings import VitalsSettings


class Vitals(VitalsSettings, Bulk):
    """Writes, at the end of epochs, what share of units learns nothing any more, and how fast training goes.

    Args:
        looks: how many times in a run, about; at the end of every epoch of a shorter one.
        samples: evenly spaced training samples that units are looked at with.
    """

    def __init__(self, looks: int = 20, samples: int = 128) -> None:
        super().__init__(looks, samples)
        self.kept: list[tuple[int, float, dict[str, float]]] = []  # update, moment, values

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the samples and the time."""
        self.x_ND = windows_in_training(trainer, pl_module).spread("train", self.samples).x_ND
        self.updates, self.seen, self.since = trainer.global_step, 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count samples."""
        self.seen += len(batch[0])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write."""
        assert isinstance(pl_module, Predictor), "units are a Predictor's"
        if not turn(trainer, self.looks):
            return
        now = time.perf_counter()
        seconds = max(now - self.since, 1e-9)
        network = pl_module.network
        shares = unit_health(network.layers(), network.activations, self.x_ND)
        values = {name: float(share) for name, share in shares.items()} | {
            "speed/updates_per_second": (trainer.global_step - self.updates) / seconds,
            "speed/samples_per_second": self.seen * trainer.world_size / seconds,
        }
        used = memory(pl_module.device)
        if used is not None:
            values["speed/memory"] = used
        self.kept.append((trainer.global_step, time.time(), values))
        self.updates, self.seen, self.since = trainer.global_step, 0, time.perf_counter()

    def catch_up(self, trainer: Trainer) -> None:
        """As of any `Bulk`."""
        writer, kept = writer_of(trainer), self.kept
        self.kept = []
        if kept and writer is not None:
            steps, moments, values = zip(*kept, strict=True)
            write_rows(writer, list(values[0]), np.array([list(row.values()) for row in values]), steps, moments)
