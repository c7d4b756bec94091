"""What the constructors of shipped targets take, without importing them: that would import Lightning, for seconds.

A stub only lets pass. What it does not let pass, `config.py` holds against the class itself, which says what is wrong.
`tests/training/test_stubs.py` holds every stub against its constructor. No torch, no Lightning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from steepest.nets.names import ActivationName, LossName
from steepest.observe import settings
from steepest.runs import rules

Precision = (
    Literal[64, 32, 16]
    | Literal[
        "transformer-engine", "transformer-engine-float16", "16-true", "16-mixed", "bf16-true", "bf16-mixed",
        "32-true", "64-true",
    ]
    | Literal["64", "32", "16", "bf16"]
    | None
)  # fmt: skip


def linear_predictor(
    inputs: int,
    outputs: int,
    loss: LossName = "mse",
    seed: int = 0,
    init_scale: float = 1.0,
    optimizer: Any = None,
    scheduler: Any = None,
) -> None:
    """As `LinearPredictor`."""


def mlp_predictor(
    inputs: int,
    outputs: int,
    hidden: Sequence[int] = (64,),
    activation: ActivationName = "sigmoid",
    loss: LossName = "mse",
    seed: int = 0,
    init_scale: float = 1.0,
    optimizer: Any = None,
    scheduler: Any = None,
) -> None:
    """As `MLPPredictor`."""


def manual_predictor(
    inputs: int,
    outputs: int,
    hidden: Sequence[int] = (64,),
    activation: ActivationName = "sigmoid",
    loss: LossName = "mse",
    seed: int = 0,
    init_scale: float = 1.0,
    updates_per_step: int = 256,
    gradient_clip_val: float | None = None,
    gradient_clip_algorithm: Literal["norm", "value"] | None = None,
    optimizer: Any = None,
    scheduler: Any = None,
) -> None:
    """As `ManualPredictor`."""


def early_stop(
    monitor: str, patience: int = 20, min_delta: float = 0.0, epochs: int | None = 500, updates: int = -1
) -> None:
    """As `EarlyStop`."""


def event_logger(
    name: str | None = "lightning_logs",
    version: int | str | None = None,
    default_hp_metric: bool = True,
) -> None:
    """As `EventLogger`, the keys of conf/logger/tensorboard.yaml."""


def trainer(
    *,
    accelerator: str = "auto",
    devices: list[int] | str | int = "auto",
    strategy: str = "auto",
    precision: Precision = None,
    max_epochs: int | None = None,
    max_steps: int = -1,
    limit_train_batches: int | float | None = None,
    gradient_clip_val: int | float | None = None,
    gradient_clip_algorithm: str | None = None,
    limit_val_batches: int | float | None = None,
    num_sanity_val_steps: int | None = None,
    log_every_n_steps: int | None = None,
    enable_progress_bar: bool | None = None,
    enable_model_summary: bool | None = None,
    use_distributed_sampler: bool = True,
) -> None:
    """As Lightning's `Trainer`, the keys of conf/trainer/base/lightning.yaml."""


def sgd(
    params: Any,
    lr: float = 1e-3,
    momentum: float = 0,
    dampening: float = 0,
    weight_decay: float = 0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    fused: bool | None = None,
) -> None:
    """As `torch.optim.SGD`."""


def adam(
    params: Any,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    amsgrad: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
) -> None:
    """As `torch.optim.Adam`."""


def adamw(
    params: Any,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
) -> None:
    """As `torch.optim.AdamW`."""


STUBS: dict[str, Callable[..., Any]] = {
    "steepest.lightning.predictors.LinearPredictor": linear_predictor,
    "steepest.lightning.predictors.MLPPredictor": mlp_predictor,
    "steepest.lightning.manual.ManualPredictor": manual_predictor,
    "steepest.lightning.stops.Epochs": rules.Epochs,
    "steepest.lightning.stops.Threshold": rules.Threshold,
    "steepest.lightning.stops.Stationary": rules.Stationary,
    "steepest.lightning.stops.EarlyStop": early_stop,
    "steepest.observe.recorder.Recorder": settings.RecorderSettings,
    "steepest.observe.vitals.Vitals": settings.VitalsSettings,
    "steepest.observe.curvature.Curvature": settings.CurvatureSettings,
    "steepest.observe.pictures.Pictures": settings.PicturesSettings,
    "steepest.observe.progress.RunProgress": settings.ProgressSettings,
    "steepest.observe.events.EventLogger": event_logger,
    "lightning.pytorch.trainer.trainer.Trainer": trainer,
    "torch.optim.sgd.SGD": sgd,
    "torch.optim.adam.Adam": adam,
    "torch.optim.adamw.AdamW": adamw,
}
OTHERWISE = {  # paths that shipped configs write, and what they name
    "torch.optim.SGD": "torch.optim.sgd.SGD",
    "torch.optim.Adam": "torch.optim.adam.Adam",
    "torch.optim.AdamW": "torch.optim.adamw.AdamW",
}
