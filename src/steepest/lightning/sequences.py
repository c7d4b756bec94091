"""Three models of windows with PyTorch's own layers. They are examples of the protocol of `protocol.py`.

Shapes: N samples, L rows of a window, F features, D = L F inputs, C channels, H hidden units, O outputs.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from steepest.data.ranges import Count
from steepest.nets.losses import loss_of
from steepest.runs.specs import LossName


class SequenceModel(LightningModule):
    """The common part: a loss, and windows in place of rows of numbers."""

    def __init__(self, window: int, loss: LossName) -> None:
        super().__init__()
        self.window, self.loss = window, loss_of(loss)

    def rows(self, x_ND: Tensor) -> Float[Tensor, "N L F"]:
        """Windows of L rows, oldest first."""
        return x_ND.unflatten(1, (self.window, -1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss of a batch (x, y)."""
        x_ND, y_NH = batch
        return self.loss(self(x_ND), y_NH)


class Recurrent(SequenceModel):
    """A recurrent net (Cho et al. 2014, Hochreiter & Schmidhuber 1997): a linear map of its last hidden state.

    Args:
        inputs, outputs, window: D, O and L.
        cell: ``gru`` or ``lstm``.
        hidden: H, units of each layer.
        layers: number of layers.
        dropout: share of units that are dropped between two layers during training.
        loss: a name in `LOSSES`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        window: int,
        cell: Literal["gru", "lstm"] = "gru",
        hidden: Count = 32,
        layers: Count = 1,
        dropout: float = 0.0,
        loss: LossName = "mse",
    ) -> None:
        super().__init__(window, loss)
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.cell = kind(inputs // window, hidden, layers, batch_first=True, dropout=dropout)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N O"]:
        """Predictions (N, O)."""
        states_NLH, _ = self.cell(self.rows(x_ND))
        return self.head(states_NLH[:, -1])


class ConvolutionNet(SequenceModel):
    """A temporal convolutional net (Bai et al. 2018): causal, dilated convolutions with skip connections.

    Block b looks back (kernel - 1) 2^b rows further; the last row's channels give the prediction.

    Args:
        inputs, outputs, window: D, O and L.
        channels: C, of each block.
        blocks: number of blocks.
        kernel: rows that a convolution sees.
        dropout: share of channels that are dropped during training.
        loss: a name in `LOSSES`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        window: int,
        channels: Count = 16,
        blocks: Count = 3,
        kernel: Count = 3,
        dropout: float = 0.0,
        loss: LossName = "mse",
    ) -> None:
        super().__init__(window, loss)
        self.lift = nn.Conv1d(inputs // window, channels, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ConstantPad1d(((kernel - 1) * 2**b, 0), 0.0),  # on the left: no row sees a later one
                nn.Conv1d(channels, channels, kernel, dilation=2**b),
                nn.ReLU(),
                nn.Dropout1d(dropout),
            )
            for b in range(blocks)
        )
        self.head = nn.Linear(channels, outputs)

    def forward(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N O"]:
        """Predictions (N, O)."""
        a_NCL = self.lift(self.rows(x_ND).mT)
        for block in self.blocks:
            a_NCL = torch.relu(a_NCL + block(a_NCL))
        return self.head(a_NCL[..., -1])
