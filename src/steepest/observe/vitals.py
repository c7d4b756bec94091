"""The callback that asks how units and machine are: dead relus, saturated sigmoids, updates a second, memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from steepest.data.datamodule import windows_in_training
from steepest.models.activations import ACTIVATIONS, Activation
from steepest.models.networks import Layer, forward
from steepest.models.predictors import Predictor
from steepest.observe.events import Bulk, write_rows, writer_of
from steepest.observe.looks import turn

# How far from its middle an output that ends at both sides has less than a twentieth of the greatest slope, and that
# middle: sigmoid's slope is a (1 - a) = 1/4 - (a - 1/2)^2, tanh's is 1 - a^2; the ramp's is 0 at its ends.
SATURATED = {"sigmoid": ((0.95 / 4) ** 0.5, 0.5), "tanh": (0.95**0.5, 0.0), "hard_sigmoid": (0.5, 0.5)}


@torch.no_grad()
def unit_health(
    layers: Sequence[Layer], activations: Sequence[Activation], x_ND: Tensor, units: Sequence[Tensor] | None = None
) -> dict[str, Tensor]:
    """For each hidden layer the share of dead relu units, or of saturated outputs, over these samples.

    Args:
        layers, activations: of a network, or of R networks at once.
        x_ND: the samples.
        units: of each hidden layer those that count (R,), where networks are padded with units that say nothing.

    Returns:
        ``dead/layer1``, ... or ``saturated/layer1``, ...: a number, or one for each of R networks.
    """
    found = {}
    trace = forward(x_ND, layers, activations)
    for number, (sigma, a_NH) in enumerate(zip(activations[:-1], trace.a[1:], strict=False), start=1):
        name = _name(sigma)
        count = a_NH.shape[-1] if units is None else units[number - 1]
        if name == "relu":
            found[f"dead/layer{number}"] = 1 - a_NH.any(-2).sum(-1) / count
        elif name in SATURATED:
            distance, middle = SATURATED[name]
            far_NH = (a_NH - middle).abs_() >= distance
            found[f"saturated/layer{number}"] = far_NH.sum((-2, -1)) / (count * a_NH.shape[-2])
    return found


class Vitals(Bulk):
    """Writes, at the end of epochs, what share of units learns nothing any more, and how fast training goes.

    Args:
        looks: how many times in a run, about; at the end of every epoch of a shorter one.
        samples: evenly spaced training samples that units are looked at with.
    """

    def __init__(self, looks: int = 20, samples: int = 128) -> None:
        for key, value in (("looks", looks), ("samples", samples)):
            if value < 1:
                raise ValueError(f"callbacks.vitals.{key}={value} must be 1 or more")
        self.looks, self.samples = looks, samples
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


def memory(device: torch.device) -> float | None:
    """MiB in use at the peak: by tensors on a GPU, by the process on a CPU; None on Windows, which does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _name(sigma: Activation) -> str:
    return next(name for name, entry in ACTIVATIONS.items() if entry is sigma)
