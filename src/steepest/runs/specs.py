"""Defines dataclasses with the keys of the config groups whose constructors need Lightning.

This module does not import torch.

Configs are checked against them without importing Lightning, which takes seconds. Both drivers build models from them,
and checkpoints keep their fields as hyper-parameters. The other groups (`data`, `stop`, `callbacks`, `optimizer`) are
checked against the signatures of their classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt
from pydantic import StringConstraints

from steepest.data.ranges import Count, NotNegative, Positive, Seed

Own = Annotated[str, StringConstraints(pattern=r"^\w+(\.\w+)+$")]  # an object of the user's: see `runs/own.py`
LossName = Literal["mse", "mae", "huber", "cross_entropy", "quantile"] | Own
ActivationName = Literal["sigmoid", "relu", "tanh", "hard_sigmoid", "identity", "gelu", "silu"] | Own
Engine = Literal["auto", "kernel", "textbook"]


@dataclass
class LinearModel:
    """p = W x + b.

    Attributes:
        inputs: D.
        outputs: O.
        loss: ``mse``, ``mae``, ``huber``, ``quantile`` for intervals, ``cross_entropy`` for directions, or the dotted
            name of a `Loss`.
        seed: the seed of the initial weights.
        init_scale: multiplies the initial weights.
    """

    inputs: int
    outputs: int
    loss: LossName = "mse"
    seed: Seed = 0
    init_scale: NotNegative = 1.0

    def __post_init__(self) -> None:
        _check_init_scale(self.init_scale)


@dataclass
class NetModel:
    """A fully connected net; with one hidden layer it is the two-layer net.

    Attributes:
        inputs: D.
        outputs: O.
        hidden: units of each hidden layer; an empty list is the linear model.
        activation: ``sigmoid``, ``relu``, ``tanh``, ``hard_sigmoid``, ``gelu``, ``silu``, ``identity``, or the dotted
            name of an `Activation`.
        loss, seed, init_scale: as for `LinearModel`.
    """

    inputs: int
    outputs: int
    hidden: Sequence[int] = (64,)
    activation: ActivationName = "sigmoid"
    loss: LossName = "mse"
    seed: Seed = 0
    init_scale: NotNegative = 1.0

    def __post_init__(self) -> None:
        self.hidden = list(self.hidden)
        if any(units < 1 for units in self.hidden):
            raise ValueError(f"model.hidden={self.hidden}: a layer needs 1 unit or more; [] is the linear model")
        _check_init_scale(self.init_scale)


@dataclass
class MLPModel(NetModel):
    """`NetModel` by autograd.

    Attributes:
        dropout: the share of hidden units that are dropped in each update.
        weight_norm: train length and direction of each unit's weights separately.
    """

    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    weight_norm: bool = False


@dataclass
class WindowModel:
    """A linear model of windows that are first shifted, scaled or split: DLinear, NLinear or RLinear.

    Attributes:
        inputs: D.
        outputs: O.
        window: rows of a window.
        normalise: ``none``, ``last`` (NLinear) or ``standard`` (RLinear); see `nets.window_linear`.
        trend: number of rows of DLinear's moving average, an odd number, or None.
        loss, seed, init_scale: as for `LinearModel`.
    """

    inputs: int
    outputs: int
    window: int
    normalise: Literal["none", "last", "standard"] = "none"
    trend: Count | None = None
    loss: LossName = "mse"
    seed: Seed = 0
    init_scale: NotNegative = 1.0

    def __post_init__(self) -> None:
        _check_init_scale(self.init_scale)


@dataclass
class ManualModel(NetModel):
    """`NetModel` with hand-derived gradients.

    Attributes:
        updates_per_step: the maximum number of updates per Trainer step. It does not change the trajectory.
        gradient_clip_val: bound on the gradient's Euclidean norm, or on each of its numbers, or None for no bound.
        gradient_clip_algorithm: ``norm`` (default) or ``value``.
        engine: ``kernel`` (compiled, on the CPU), ``textbook`` (the formulas of `nets/`, one update per step), or
            ``auto``: the kernel if it can train the run.
    """

    updates_per_step: Count = 256
    gradient_clip_val: Positive | None = None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    engine: Engine = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.updates_per_step < 1:
            raise ValueError(f"model.updates_per_step={self.updates_per_step} must be 1 or more")


@dataclass
class TrainerOptions:
    """The options of Lightning's `Trainer` in conf/trainer/base/lightning.yaml."""

    accelerator: str = "auto"
    devices: list[int] | str | int = "auto"
    strategy: str = "auto"
    precision: Literal["32-true", "64-true"] = "32-true"
    max_epochs: int | None = None
    limit_train_batches: int | float | None = None
    gradient_clip_val: Positive | None = None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    limit_val_batches: int | float | None = None
    num_sanity_val_steps: int | None = None
    log_every_n_steps: int | None = None
    enable_progress_bar: bool | None = None
    enable_model_summary: bool | None = None
    use_distributed_sampler: bool = True
    num_nodes: int = 1
    fast_dev_run: int | bool = False
    min_epochs: int | None = None
    max_steps: int = -1
    min_steps: int | None = None
    max_time: str | dict[str, int] | None = None
    limit_test_batches: int | float | None = None
    limit_predict_batches: int | float | None = None
    overfit_batches: int | float = 0.0
    val_check_interval: int | float | str | dict[str, int] | None = None
    check_val_every_n_epoch: int | None = 1
    accumulate_grad_batches: Count = 1
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    inference_mode: bool = True
    profiler: Literal["simple", "advanced", "pytorch"] | None = None
    detect_anomaly: bool = False
    barebones: bool = False
    sync_batchnorm: bool = False
    reload_dataloaders_every_n_epochs: int = 0
    enable_autolog_hparams: bool = True
    model_registry: str | None = None


# Options that a run of this program cannot use -> the reason and the fix.
NOT_USED = {
    "accumulate_grad_batches": "one batch of that many times the size has the same gradient: use data.batch_size",
    "overfit_batches": "the batches change with every epoch; to train on one batch only, use debug=overfit",
    "limit_test_batches": "a run scores the whole test part; to change the part, set data.split",
    "limit_predict_batches": "a run predicts the whole test part; to change the part, set data.split",
    "min_epochs": "the stop rule decides; use stop=epochs, or a longer stop.patience",
    "min_steps": "the stop rule decides; use stop=epochs, or a longer stop.patience",
    "barebones": "it leaves out what makes the record",
    "fast_dev_run": "it leaves no record; use debug=quick",
    "reload_dataloaders_every_n_epochs": "the data of a run do not change",
    "model_registry": "the run keeps its model in checkpoints/best.ckpt",
}


@dataclass
class EventOptions:
    """The keys of conf/logger/tensorboard.yaml."""

    name: str | None = "lightning_logs"
    version: int | str | None = None
    default_hp_metric: bool = True


@dataclass
class CsvOptions:
    """The keys of conf/logger/csv.yaml."""

    name: str = "csv"
    version: int | str | None = None


@dataclass
class WandbOptions:
    """The keys of conf/logger/wandb.yaml."""

    project: str = "steepest"
    name: str | None = None
    group: str | None = None
    tags: list[str] | None = None
    offline: bool = False


@dataclass
class MlflowOptions:
    """The keys of conf/logger/mlflow.yaml."""

    experiment_name: str = "steepest"
    run_name: str | None = None
    tracking_uri: str | None = None


def _check_init_scale(scale: float) -> None:
    if not 0 <= scale < math.inf:
        raise ValueError(f"model.init_scale={scale} must be 0 or more; the default is 1")


LINEAR = "steepest.lightning.predictors.LinearPredictor"
MLP = "steepest.lightning.predictors.MLPPredictor"
WINDOW = "steepest.lightning.predictors.WindowPredictor"
MANUAL = "steepest.lightning.manual.ManualPredictor"
TRAINER = "lightning.pytorch.trainer.trainer.Trainer"
LOGGER = "steepest.lightning.events.EventLogger"
CSV = "lightning.pytorch.loggers.csv_logs.CSVLogger"
WANDB = "lightning.pytorch.loggers.wandb.WandbLogger"
MLFLOW = "lightning.pytorch.loggers.mlflow.MLFlowLogger"
SPECS: dict[str, type[Any]] = {  # the path in a config -> its keys
    LINEAR: LinearModel,
    MLP: MLPModel,
    WINDOW: WindowModel,
    MANUAL: ManualModel,
    LOGGER: EventOptions,
    CSV: CsvOptions,
    WANDB: WandbOptions,
    MLFLOW: MlflowOptions,
    TRAINER: TrainerOptions,
}
