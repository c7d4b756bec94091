"""A net that learns the pieces of a curve one after the other, plainly or with elastic weight consolidation.

Shapes: N samples, P parameters.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.utils import parameters_to_vector

from steepest.course.runs import network_by
from steepest.data.ranges import Count, NotNegative

RANGE = 1.7321  # standard deviations from the middle of a uniform variable to its end


class Lifelong(LightningModule):
    """A net that sees one piece of the range of x after the other.

    Elastic weight consolidation (Kirkpatrick et al. 2017) adds strength / 2 sum_i F_i (theta_i - theta*_i)^2 to the
    loss: theta* are the parameters after the last task, and F_i, the sum over earlier tasks of the mean of
    (dp / dtheta_i)^2, says how much the predictions p depend on parameter i.
    """

    fisher_P: Tensor
    anchor_P: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        method: Literal["plain", "ewc", "joint"] = "plain",
        tasks: Count = 3,
        epochs_per_task: Count = 80,
        hidden: Count = 40,
        strength: NotNegative = 100.0,
    ) -> None:
        super().__init__()
        self.method, self.tasks, self.epochs_per_task, self.strength = method, tasks, epochs_per_task, strength
        self.net = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )
        size = parameters_to_vector(self.net.parameters()).numel()
        self.register_buffer("fisher_P", torch.zeros(size))
        self.register_buffer("anchor_P", torch.zeros(size))

    def forward(self, x_ND: Tensor) -> Tensor:
        """Predictions (N, O)."""
        return self.net(x_ND)

    def task_of(self, x_ND: Tensor) -> Tensor:
        """The number of the piece in which each x lies (N,)."""
        share_N = (x_ND[:, 0] / RANGE + 1) / 2
        return (share_N * self.tasks).long().clamp(0, self.tasks - 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of the samples of the current task, with the penalty."""
        x_ND, y_NO = batch
        mine_N = self.task_of(x_ND) == min(self.current_epoch // self.epochs_per_task, self.tasks - 1)
        if self.method == "joint":
            mine_N[:] = True
        loss = mse_loss(self(x_ND[mine_N]), y_NO[mine_N])
        if self.method == "ewc":
            moved_P = parameters_to_vector(self.net.parameters()) - self.anchor_P
            loss = loss + self.strength / 2 * (self.fisher_P * moved_P.square()).sum()
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the loss of each task; after the last epoch of a task, note what to keep."""
        loader: Any = self.trainer.train_dataloader
        batches = list(loader)
        x_ND, y_NO = torch.cat([batch.x_ND for batch in batches]), torch.cat([batch.y_NH for batch in batches])
        task_N = self.task_of(x_ND)
        with torch.no_grad():
            error_N = (self(x_ND) - y_NO).square().mean(1)
        self.log_dict({f"task_{task}/loss": error_N[task_N == task].mean() for task in range(self.tasks)})
        task, left = divmod(self.current_epoch + 1, self.epochs_per_task)
        if left == 0:
            self.trainer.optimizers[0].state.clear()  # Adam's averages are those of the last task
        if left == 0 and self.method == "ewc":
            theta_P = parameters_to_vector(self.net.parameters()).detach()
            self.fisher_P += sensitivity(self.net, theta_P, x_ND[task_N == task - 1])
            self.anchor_P.copy_(theta_P)


def sensitivity(net: nn.Module, theta_P: Tensor, x_ND: Tensor) -> Tensor:
    """The mean over the samples of (dp / dtheta_i)^2 (P,): the Fisher information of a normal error of variance 1."""

    def output(theta_P: Tensor, x_D: Tensor) -> Tensor:
        return network_by(net, theta_P, x_D[None])[0, 0]

    return torch.vmap(torch.func.grad(output), (None, 0))(theta_P, x_ND).square().mean(0)
