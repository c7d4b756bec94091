"""The same training done in several ways: a two-layer net 28-64-1, sigmoid, batch 64, gradient descent, 5,000 rows.

Each contender is prepared outside the clock and trains for a number of epochs inside it, on the same numbers from the
same initial weights, and keeps the loss of every update.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import torch
from conftest import QUIET, composed
from lightning.pytorch import Callback, LightningModule, Trainer
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import steepest.nets.activations
import steepest.lightning.manual
from steepest import MLP, ManualPredictor, RandomWalk, WindowDataModule
from steepest.data.windows import Windows
from steepest.nets.losses import LOSSES, Loss
from steepest.observe.recorder import Recorder
from steepest.lightning.run import run

ROWS, INPUTS, HIDDEN, BATCH, RATE = 5_000, 28, 64, 64, 0.01
OFF = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}

Contender = Callable[[], int]  # trains and returns the number of updates


def data() -> WindowDataModule:
    """A random walk with 5,000 training windows of 28 days."""
    module = WindowDataModule(
        RandomWalk(rows=ROWS + INPUTS, window=INPUTS, batch_size=BATCH, transform="log_return", split=[1, 0, 0])
    )
    module.setup()
    return module


def tensors() -> tuple[torch.Tensor, torch.Tensor]:
    """Its windows and targets, gathered."""
    windows: Windows = data().placed("cpu", torch.float32)
    (_, batch), *_ = windows.walk("train")
    parts = [b for _, b in windows.walk("train")]
    return torch.cat([b.x_ND for b in parts]), torch.cat([b.y_NH for b in parts])


class Losses(Callback):
    """Keeps the loss of every update of a manual module, as the plain loop does."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.losses: list[torch.Tensor] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: object) -> None:
        self.losses.append(pl_module.at_hand[2])


def manual(epochs: int, watch: Callback, updates_per_step: int = 256) -> Contender:
    """Ours: hand-derived gradients in a LightningModule, in a Trainer."""
    module = data()
    model = ManualPredictor(
        INPUTS, 1, [HIDDEN], updates_per_step=updates_per_step, optimizer=lambda p: torch.optim.SGD(p, RATE)
    )
    trainer = Trainer(max_epochs=epochs, callbacks=[watch], limit_val_batches=0, **OFF)

    def train() -> int:
        trainer.fit(model, datamodule=module)
        return trainer.global_step

    return train


def manual_watched(epochs: int) -> Contender:
    """Ours, with the norms of every gradient and parameter tensor of every update kept as well."""
    return manual(epochs, Recorder(scalars=0))


def manual_with_losses(epochs: int) -> Contender:
    """Ours, with the loss of every update kept."""
    return manual(epochs, Losses())


def manual_without(epochs: int, *steps: str) -> Contender:
    """Ours without some of the steps that made it fast, as they are named in `STEPS`."""
    train = manual(epochs, Losses(), updates_per_step=1 if "several updates a step" in steps else 256)

    def slow() -> int:
        with ExitStack() as patches:
            for step in steps:
                for target, name, value in STEPS[step]:
                    patches.enter_context(mock.patch.object(target, name, value))
            return train()

    return slow


def watched(callbacks: str, epochs: int, *, alone: bool = False) -> tuple[float, float]:
    """A run as `train.py` does it, with these instruments: seconds of an update, and seconds before and after them.

    The pictures at its end are drawn if it is `alone`, no job of a sweep.
    """
    options = [
        "model=mlp_manual", f"model.hidden=[{HIDDEN}]", "data=random_walk", f"data.rows={ROWS + 1000 + INPUTS}",
        "data.transform=log_return", f"data.window={INPUTS}", "data.split=[0.84,0.08,0.08]", f"data.batch_size={BATCH}",
        f"stop.epochs={epochs}", f"callbacks={callbacks}", "threads=1",
    ]  # fmt: skip
    bar = [QUIET] if callbacks == "default" else []  # a bar on the screen is no instrument
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        metrics = run(composed(*options, *bar), Path(folder), options, alone=alone).metrics
    return metrics["seconds"] / metrics["updates"], time.perf_counter() - start - metrics["seconds"]


MSE = LOSSES["mse"]
STEPS: dict[str, list] = {
    "several updates a step": [],
    "Steps: only callbacks that watch are asked": [(steepest.lightning.manual, "go_directly", lambda *_: None)],
    "lighten: gradient descent in one foreach kernel": [(steepest.lightning.manual, "lighten", lambda *_: None)],
    "the loss and its slope from one residual": [
        (Loss, "with_slope", lambda self, p, y: (MSE(p, y), MSE.backward(p, y)))
    ],
    "fused kernels for the slope of the sigmoid": [
        (steepest.nets.activations, "_sigmoid_backward_", lambda g, a, grad_input: g.mul_(a).mul_(1 - a))
    ],
}


class UsualModule(LightningModule):
    """What a tutorial would write."""

    def __init__(self) -> None:
        super().__init__()
        self.network = MLP(INPUTS, [HIDDEN], 1)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        x, y = batch
        loss = nn.functional.mse_loss(self.network(x), y)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), RATE)


def usual_lightning(epochs: int) -> Contender:
    """The usual automatic module: a shuffled DataLoader, `self.log` in each step."""
    loader = DataLoader(TensorDataset(*tensors()), batch_size=BATCH, shuffle=True)
    trainer = Trainer(max_epochs=epochs, **OFF)
    model = UsualModule()

    def train() -> int:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            trainer.fit(model, loader)
        return trainer.global_step

    return train


def plain_loop(epochs: int) -> Contender:
    """PyTorch's autograd in a plain loop over data in memory."""
    x, y = tensors()
    network = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.Sigmoid(), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.SGD(network.parameters(), RATE)

    def train() -> int:
        losses = []
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(BATCH):
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(network(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
        return len(losses)

    return train


def scikit_learn(epochs: int) -> Contender:
    """scikit-learn's MLPRegressor with the same net and steps."""
    x, y = (t.numpy() for t in tensors())
    model = MLPRegressor(
        hidden_layer_sizes=[HIDDEN], activation="logistic", solver="sgd", alpha=0, batch_size=BATCH, learning_rate_init=RATE,
        max_iter=epochs, momentum=0, tol=0, n_iter_no_change=epochs + 1, random_state=0,
    )  # fmt: skip

    def train() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y.ravel())
        return -(-len(x) // BATCH) * epochs

    return train
