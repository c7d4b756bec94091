"""The callback that remembers the way the parameters went, for the pictures that are drawn of it at the end."""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.observe.settings import PicturesSettings


class Pictures(PicturesSettings, Callback):
    """Keeps the parameters at the end of epochs, evenly spaced over the run; `gallery.py` draws them.

    Args:
        most: snapshots kept; every second one is dropped when there are more.
        in_sweeps: whether jobs of a sweep get more pictures than their predictions and losses.
        samples: most training samples that losses in the pictures are taken over.

    Attributes:
        updates: the update each snapshot was taken after.
        snapshots: all parameters then, (P,) arrays; the first are the initial ones, the last the final ones.
    """

    def __init__(self, most: int = 100, in_sweeps: bool = False, samples: int = 8192) -> None:
        super().__init__(most, in_sweeps, samples)
        self.updates: list[int] = []
        self.snapshots: list[np.ndarray] = []
        self.every = 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep where the descent begins."""
        self._keep(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep where it is now, if it is one's turn."""
        if (trainer.current_epoch + 1) % self.every == 0:
            self._keep(trainer, pl_module)
        if len(self.snapshots) > self.most:
            # The first one stays; the others stay at equal distances.
            self.updates, self.snapshots = self.updates[::2], self.snapshots[::2]
            self.every *= 2

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep where it ended."""
        self._keep(trainer, pl_module)

    def _keep(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.updates and self.updates[-1] == trainer.global_step:
            return
        network = pl_module.network
        assert isinstance(network, torch.nn.Module)
        flat = getattr(pl_module, "flat", None)
        theta_P = flat.theta.clone() if flat else torch.cat([p.detach().flatten() for p in network.parameters()])
        self.snapshots.append(theta_P.cpu().numpy())
        self.updates.append(trainer.global_step)
