"""Many small tasks, and a net that adapts to the points of a task by a few steps of gradient descent.

Shapes: N tasks, K points of a task, D = 2 K + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn.functional import mse_loss

from steepest.data.formulas import made_rows
from steepest.data.ranges import Count, Positive, Rows, Seed
from steepest.data.sources import RowData

Parameters = dict[str, Tensor]


@dataclass(kw_only=True)
class Waves(RowData):
    """A row is a task: K points of the wave y = A sin(x + phase), one more x, and its y, the target.

    A is uniform on [0.5, 2], the phase on [0, 2 pi], x on [-3, 3].

    Attributes:
        points: K, the points of a task.
        rows: the number of tasks.
        seed: the seed of the tasks, independent of the run's.
    """

    points: Count = 10
    rows: Rows = 3000
    seed: Seed = 0

    def read(self) -> pd.DataFrame:
        random = np.random.default_rng(self.seed)
        height, phase = random.uniform(0.5, 2, (self.rows, 1)), random.uniform(0, 2 * np.pi, (self.rows, 1))
        x = random.uniform(-3, 3, (self.rows, self.points + 1))
        y = height * np.sin(x + phase)
        names = [*(f"{axis}{k}" for axis in "xy" for k in range(1, self.points + 1)), "x"]
        return made_rows(np.concatenate([x[:, :-1], y[:, :-1], x[:, -1:]], 1), y[:, -1], names)


class Adapting(LightningModule):
    """A net that takes some steps of gradient descent on the K points of a task, then predicts one more point.

    Training differentiates through these steps, so it finds a start from which they help most: model-agnostic
    meta-learning (Finn et al. 2017). With 0 steps it is an ordinary net, trained on the points of all tasks.
    """

    def __init__(
        self, inputs: int, outputs: int, steps: Annotated[int, Ge(0)] = 2, rate: Positive = 0.1, hidden: Count = 20
    ) -> None:
        super().__init__()
        self.steps, self.rate = steps, rate
        self.net = nn.Sequential(
            nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
        )

    def forward(self, x_ND: Tensor) -> Tensor:
        """Predictions (N, O)."""
        return self.predicted(x_ND, self.steps, self.rate)

    def predicted(self, x_ND: Tensor, steps: int, rate: float) -> Tensor:
        """Predictions (N, O) after some steps on the points of each task."""

        def answer(x_D: Tensor) -> Tensor:
            x_K1, y_K1 = x_D[:-1].view(2, -1, 1)
            theta = adapted(self.net, dict(self.net.named_parameters()), x_K1, y_K1, steps, rate)
            return functional_call(self.net, theta, (x_D[None, -1:],))[0]

        with torch.inference_mode(False):  # a prediction needs gradients
            return torch.vmap(answer)(x_ND.clone())

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of the predictions, each by a net adapted to its task."""
        x_ND, y_NO = batch
        return mse_loss(self(x_ND), y_NO)


def adapted(net: nn.Module, theta: Parameters, x_K1: Tensor, y_K1: Tensor, steps: int, rate: float) -> Parameters:
    """The parameters after some steps of gradient descent on the mean squared error of K points."""

    def loss(theta: Parameters) -> Tensor:
        return mse_loss(functional_call(net, theta, (x_K1,)), y_K1)

    for _ in range(steps):
        slopes = grad(loss)(theta)
        theta = {name: value - rate * slopes[name] for name, value in theta.items()}
    return theta
