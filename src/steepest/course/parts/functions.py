"""A net that learns whatever the data ask for: a number, a class or a structure.

Shapes: N samples, D inputs, O outputs.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from steepest.data.ranges import Count


class Function(LightningModule):
    """A two-layer net. The loss is the cross-entropy for classes, otherwise the mean squared error."""

    def __init__(self, inputs: int, outputs: int, hidden: Count = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x_ND: Tensor) -> Tensor:
        """Predictions (N, O): one or more numbers, or the scores of the classes."""
        return self.layers(x_ND)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        x_ND, y_NH = batch
        p_NO = self(x_ND)
        return mse_loss(p_NO, y_NH) if y_NH.is_floating_point() else cross_entropy(p_NO, y_NH[:, 0])
