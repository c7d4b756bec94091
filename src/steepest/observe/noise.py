"""The callback that looks at how much the samples of a batch disagree."""

from __future__ import annotations

import math

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.nets.noise import Noise, noise
from steepest.lightning.predictors import Predictor
from steepest.observe.eventfile import write_event
from steepest.observe.events import writer_of


class GradientNoise(Callback):
    """Writes per-sample gradient norms, the gradient noise scale and what the norm test says of the batch size.

    Args:
        every_n_updates: how often; the first update is always looked at.
        theta: of the norm test: how large the noise of a batch may be beside its gradient.

    Attributes:
        last: the last look.
    """

    def __init__(self, every_n_updates: int = 50, theta: float = 1.0) -> None:
        if every_n_updates < 1:
            raise ValueError(f"callbacks.noise.every_n_updates={every_n_updates} must be 1 or more")
        if not 0 < theta < math.inf:
            raise ValueError(f"callbacks.noise.theta={theta} must be a number above 0")
        self.every, self.theta = every_n_updates, theta
        self.last: Noise | None = None

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look at the update at hand, if it is one's turn."""
        assert isinstance(pl_module, Predictor)
        if trainer.global_step % self.every:
            return
        x_ND, y_NH, _ = pl_module.at_hand
        network = pl_module.network
        self.last = found = noise(network.layers(), network.activations, pl_module.loss, x_ND, y_NH)
        writer = writer_of(trainer)
        if writer is None:
            return
        norm_N = found.norm_N
        values = {
            "noise/batch_size": float(len(x_ND)),
            "noise/scale": found.scale,
            "noise/norm_test": found.wanted(self.theta),
            "noise/sample_norm_least": norm_N.min().item(),
            "noise/sample_norm_median": norm_N.median().item(),
            "noise/sample_norm_greatest": norm_N.max().item(),
        }
        seen = {tag: value for tag, value in values.items() if math.isfinite(value)}
        write_event(writer, list(seen), list(seen.values()), trainer.global_step + 1)
