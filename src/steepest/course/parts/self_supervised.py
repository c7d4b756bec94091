"""A net that fills in hidden inputs before it learns classes from few labels.

Shapes: N samples, D inputs, P parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils import parameters_to_vector

from steepest.data.ranges import Count, NotNegative, Positive


class SelfSupervised(LightningModule):
    """A net with two tasks: fill in hidden inputs, which needs no labels; and the classes.

    Its first epochs hide a share of the inputs (set to 0, the mean) and train the hidden layers and `fill` on
    their squared error. Later epochs train the hidden layers and `classify` on the samples with a label.
    (The principle of BERT, Devlin et al. 2019, on numbers.) Without `pretext`, the first epochs change nothing.
    """

    pretrained_P: Tensor  # all parameters at the end of the first task

    def __init__(
        self,
        inputs: int,
        outputs: int,
        labels: NotNegative = 0.01,
        pretext: bool = True,
        pretraining: Count = 40,
        hidden: Count = 64,
        masked: Positive = 0.5,
    ) -> None:
        super().__init__()
        self.labels, self.pretext, self.pretraining, self.masked = labels, pretext, pretraining, masked
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.fill, self.classify = nn.Linear(hidden, inputs), nn.Linear(hidden, outputs)
        self.register_buffer("pretrained_P", parameters_to_vector(self.parameters()).detach().clone())

    def forward(self, x_ND: Tensor) -> Tensor:
        """The scores of the classes (N, 2)."""
        return self.classify(self.layers(x_ND))

    def labelled(self, x_ND: Tensor) -> Tensor:
        """Whether a sample keeps its label (N,): the digits of its sum decide, not its class."""
        return (1e4 * x_ND.double().sum(1)) % 1 < self.labels

    def filled(self, x_ND: Tensor, hidden_ND: Tensor) -> Tensor:
        """All inputs (N, D), predicted from those that are not hidden."""
        return self.fill(self.layers(x_ND.masked_fill(hidden_ND, 0)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of the current task; 0 in the first epochs without `pretext`."""
        x_ND, y_N1 = batch
        if self.current_epoch < self.pretraining:
            hidden_ND = torch.rand_like(x_ND) < self.masked
            return self.pretext * mse_loss(self.filled(x_ND, hidden_ND)[hidden_ND], x_ND[hidden_ND])
        known_N = self.labelled(x_ND)
        return cross_entropy(self(x_ND[known_N]), y_N1[known_N, 0], reduction="sum") / known_N.sum().clamp(min=1)

    def on_train_epoch_start(self) -> None:
        """Start the second task with a fresh optimizer."""
        if self.current_epoch == self.pretraining:
            self.trainer.optimizers[0].state.clear()
            self.pretrained_P.copy_(parameters_to_vector(self.parameters()).detach())
