"""Several implementations of the same training: a two-layer net 28-64-1, sigmoid, batch 64, gradient descent, 5,000 rows.

The preparation of a contender is not timed; its training for a number of epochs is. All contenders train on the same
data from the same initial weights, and keep the loss of every update.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from conftest import QUIET, composed
from lightning.pytorch import LightningModule, Trainer
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from steepest import MLP, ManualPredictor, RandomWalk, WindowDataModule
from steepest.data.windows import Windows
from steepest.engine.descent import Descent
from steepest.lightning.run import run
from steepest.nets.losses import LOSSES

ROWS, INPUTS, HIDDEN, BATCH, RATE = 5_000, 28, (64,), 64, 0.01
OFF = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}

# For commands in their own processes: all libraries have their default settings, with as many threads as they choose.
AS_INSTALLED = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_"))}

Contender = Callable[[], int]  # trains and returns the number of updates


def data(inputs: int = INPUTS, batch: int = BATCH) -> WindowDataModule:
    """A random walk with 5,000 training windows."""
    module = WindowDataModule(
        RandomWalk(rows=ROWS + inputs, window=inputs, batch_size=batch, transform="log_return", split=[1, 0, 0])
    )
    module.setup()
    return module


def tensors(inputs: int = INPUTS) -> tuple[torch.Tensor, torch.Tensor]:
    """All windows and targets, gathered."""
    windows: Windows = data(inputs).placed("cpu", torch.float32)
    parts = [b for _, b in windows.walk("train")]
    return torch.cat([b.x_ND for b in parts]), torch.cat([b.y_NH for b in parts])


def manual(epochs: int, inputs: int = INPUTS, hidden: Sequence[int] = HIDDEN, batch: int = BATCH) -> Contender:
    """Ours: hand-derived gradients in a LightningModule, in a Trainer; keeps every update's loss and norms."""
    module = data(inputs, batch)
    model = ManualPredictor(inputs, 1, list(hidden), optimizer=lambda p: torch.optim.SGD(p, RATE))
    trainer = Trainer(max_epochs=epochs, limit_val_batches=0, **OFF)

    def train() -> int:
        model.logs = []
        trainer.fit(model, datamodule=module)
        assert sum(len(log) for log in model.logs) == trainer.global_step
        return trainer.global_step

    return train


def kernel(epochs: int) -> Contender:
    """Ours without the Trainer: the compiled descent alone."""
    windows = data().placed("cpu", torch.float32)
    network = MLP(INPUTS, HIDDEN, 1)
    descent = Descent(network, LOSSES["mse"], torch.optim.SGD(network.parameters(), RATE), windows)
    part = windows.parts["train"]

    def train() -> int:
        done, losses = 0, []
        for _ in range(epochs):
            order_N = part.origins(torch.randperm(len(part))).numpy()
            place = 0
            while place < len(order_N):
                log = descent.advance(order_N[place:], BATCH, 256, done)
                losses.append(log.losses_K)
                done, place = done + len(log), place + BATCH * len(log)
        return len(np.concatenate(losses))

    return train


def watched(
    callbacks: str, epochs: int, *, alone: bool = False, model: str = "mlp_manual", more: Sequence[str] = ()
) -> tuple[float, float]:
    """A run of `train.py` with these instruments: seconds per update, and seconds before and after the updates.

    If `alone`, it is not a job of a sweep, and it draws its pictures at the end. `more` are additional overrides.
    """
    hidden = f"[{','.join(map(str, HIDDEN))}]"
    options = [
        f"model={model}", f"model.hidden={hidden}", "data=random_walk", f"data.rows={ROWS + 1000 + INPUTS}",
        "data.transform=log_return", f"data.window={INPUTS}", "data.split=[0.84,0.08,0.08]", f"data.batch_size={BATCH}",
        f"stop.epochs={epochs}", f"callbacks={callbacks}", "threads=1", *more,
    ]  # fmt: skip
    bar = [QUIET] if callbacks == "default" else []  # the progress bar is not an instrument
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        metrics = run(composed(*options, *bar), Path(folder), options, alone=alone).metrics
    return metrics["seconds"] / metrics["updates"], time.perf_counter() - start - metrics["seconds"]


class UsualModule(LightningModule):
    """A LightningModule as in a tutorial."""

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.network = MLP(inputs, hidden, 1)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        x, y = batch
        loss = nn.functional.mse_loss(self.network(x), y)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), RATE)


def usual_lightning(epochs: int, inputs: int = INPUTS, hidden: Sequence[int] = HIDDEN) -> Contender:
    """The usual automatic module: a shuffled DataLoader, `self.log` in each step."""
    loader = DataLoader(TensorDataset(*tensors(inputs)), batch_size=BATCH, shuffle=True)
    trainer = Trainer(max_epochs=epochs, **OFF)
    model = UsualModule(inputs, hidden)

    def train() -> int:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            trainer.fit(model, loader)
        return trainer.global_step

    return train


def plain_loop(epochs: int, inputs: int = INPUTS, hidden: Sequence[int] = HIDDEN, batch: int = BATCH) -> Contender:
    """PyTorch's autograd in a plain loop over data in memory."""
    x, y = tensors(inputs)
    sizes = [inputs, *hidden, 1]
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.Sigmoid())]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), RATE)

    def train() -> int:
        losses = []
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(batch):
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
        hidden_layer_sizes=HIDDEN, activation="logistic", solver="sgd", alpha=0, batch_size=BATCH, learning_rate_init=RATE,
        max_iter=epochs, momentum=0, tol=0, n_iter_no_change=epochs + 1, random_state=0,
    )  # fmt: skip

    def train() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y.ravel())
        return -(-len(x) // BATCH) * epochs

    return train


def jax_scan(epochs: int, runs: int | None = None) -> Contender:
    """`jax.jit` of `lax.scan` over `value_and_grad` and SGD, one epoch per call; for several runs, `vmap` of it.

    (`test_speed.py` sets XLA's options for one thread before it imports JAX.)
    """
    import jax
    import jax.numpy as jnp

    x, y = (jnp.asarray(t.numpy()) for t in tensors())
    whole = len(x) // BATCH * BATCH  # scan needs batches of equal size, so it leaves out the smaller last one
    numbers = [p.detach().numpy() for p in MLP(INPUTS, HIDDEN, 1).parameters()]

    def loss(parameters, rows):
        w1, b1, w2, b2 = parameters
        prediction = jax.nn.sigmoid(x[rows] @ w1.T + b1) @ w2.T + b2
        return jnp.mean((prediction - y[rows]) ** 2)

    def epoch(parameters, order):
        def step(parameters, rows):
            value, gradient = jax.value_and_grad(loss)(parameters, rows)
            return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradient), value

        return jax.lax.scan(step, parameters, order)

    trained = jax.jit(epoch if runs is None else jax.vmap(epoch))
    shape = () if runs is None else (runs,)
    start = [jnp.broadcast_to(jnp.asarray(p), (*shape, *p.shape)) for p in numbers]
    random = np.random.default_rng(0)

    def order() -> np.ndarray:
        orders = [random.permutation(len(x))[:whole].reshape(-1, BATCH) for _ in range(runs or 1)]
        return np.stack(orders) if runs else orders[0]

    jax.block_until_ready(trained(start, order()))  # compile before the timing starts

    def train() -> int:
        parameters, losses = start, []
        for _ in range(epochs):
            parameters, found = trained(parameters, order())
            losses.append(np.asarray(found))
        return sum(values.size for values in losses)

    return train


def many_kernels(epochs: int, runs: int) -> Contender:
    """Ours: the same number of runs, one after the other, each by the compiled descent."""
    trains = [kernel(epochs) for _ in range(runs)]
    return lambda: sum(train() for train in trains)
