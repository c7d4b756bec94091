"""Builds a run's network, optimizer, stop rule and instruments from a checked config, without Lightning."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from steepest.data.sources import RowData
from steepest.data.windows import Windows
from steepest.engine.descent import OPTIMIZERS, Clip
from steepest.nets.losses import Loss, loss_of
from steepest.nets.networks import MLP
from steepest.nets.regularised import RegularisedMLP
from steepest.nets.window_linear import WindowLinear
from steepest.observe.instrument import Instrument
from steepest.observe.pictures import Pictures
from steepest.observe.progress import RunProgress
from steepest.runs.checks import check_choices, sizes_of
from steepest.runs.choices import choice_of
from steepest.runs.config import Checked
from steepest.runs.own import KEYS
from steepest.runs.specs import (
    LOGGER,
    MANUAL,
    TRAINER,
    LinearModel,
    ManualModel,
    MLPModel,
    NetModel,
    TrainerOptions,
    WindowModel,
)
from steepest.runs.stops import Epochs

PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64}
# Trainer options for plain training on one CPU; the options in FREE may have any value.
PLAIN = asdict(TrainerOptions()) | {
    "accelerator": "cpu", "devices": 1, "strategy": "auto", "limit_train_batches": None, "limit_val_batches": 0,
    "num_sanity_val_steps": 0, "log_every_n_steps": 1, "enable_progress_bar": False, "enable_model_summary": False,
    "use_distributed_sampler": False,
}  # fmt: skip
# Options of PLAIN that the kernel itself does not require: they concern what Lightning shows and validates.
NOT_FOR_KERNEL = (
    "limit_val_batches", "num_sanity_val_steps", "log_every_n_steps", "enable_progress_bar", "enable_model_summary",
    "use_distributed_sampler",
)  # fmt: skip
FREE = {"precision", "max_epochs", "gradient_clip_val", "gradient_clip_algorithm"}


@dataclass(frozen=True)
class Parts:
    """The parts of a run."""

    spec: ManualModel
    network: MLP
    loss: Loss
    optimizer: Optimizer
    scheduler: LRScheduler | None
    clip: Clip | None
    rule: Epochs
    instruments: dict[str, Instrument]


def network_of(spec: LinearModel | NetModel | WindowModel) -> MLP | WindowLinear | RegularisedMLP:
    """The network that these options describe, with its initial weights."""
    if isinstance(spec, WindowModel):
        return WindowLinear(
            spec.inputs, spec.outputs, spec.window, spec.normalise, spec.trend,
            undo=spec.loss != "cross_entropy", seed=spec.seed, init_scale=spec.init_scale,
        )  # fmt: skip
    if isinstance(spec, MLPModel) and (spec.dropout or spec.weight_norm):
        return RegularisedMLP(mlp_of(spec), spec.dropout, normed=spec.weight_norm)
    return mlp_of(spec)


def mlp_of(spec: LinearModel | NetModel) -> MLP:
    """The fully connected net that these options describe, with its initial weights."""
    hidden, activation = (spec.hidden, spec.activation) if isinstance(spec, NetModel) else ((), "identity")
    return MLP(spec.inputs, hidden, spec.outputs, activation, spec.seed, spec.init_scale)


def clip_of(spec: ManualModel) -> Clip | None:
    """The bound on gradients, or None."""
    return Clip(spec.gradient_clip_val, spec.gradient_clip_algorithm or "norm") if spec.gradient_clip_val else None


def dtype_of(checked: Checked) -> torch.dtype:
    """The precision in which a config trains."""
    return PRECISIONS[checked.groups["trainer"].arguments.get("precision", "32-true")]


def build(checked: Checked, windows: Windows) -> Parts:
    """Build a run from a config for which `reason_against` returns None.

    Raises:
        ValueError: for a loss, an optimizer or a stop rule that does not fit the data.
    """
    check_choices(checked, windows)
    groups = checked.groups
    values = groups["model"].values(**sizes_of(checked, windows))
    spec = ManualModel(**values)
    network = mlp_of(spec).to(dtype_of(checked))
    scheduler = groups.get("scheduler")
    try:
        optimizer = groups["optimizer"]()(network.parameters())
        stepping = scheduler()(optimizer) if scheduler else None
    except ValueError as error:
        raise ValueError(f"optimizer: {error}") from error
    built = {name: node() for name, node in groups["callbacks"].items()}
    instruments = {k: v for k, v in built.items() if not isinstance(v, RunProgress)}  # a sweep has its own bar
    return Parts(spec, network, loss_of(spec.loss), optimizer, stepping, clip_of(spec), groups["stop"](), instruments)


def reason_against(checked: Checked, threads: int) -> str | None:
    """Return why only a Trainer can run this job, or None if a thread can.

    Args:
        checked: the job's config.
        threads: the number of threads for matrix products in this process, the same for all jobs.
    """
    groups = checked.groups
    if checked.run.resume:
        return "resume= continues one run"
    if checked.run.threads != threads:
        return f"threads={checked.run.threads}, but this process uses {threads}"
    if why := reason_against_kernel(checked):
        return why
    for name, callback in groups["callbacks"].items():
        if not (isinstance(callback.target, type) and issubclass(callback.target, Instrument)):
            return f"callbacks.{name} is a Lightning callback"
        if issubclass(callback.target, Pictures) and callback.arguments.get("in_sweeps"):
            return f"callbacks.{name}.in_sweeps=true: pictures are drawn by one thread at a time"
    for name, logger in groups["logger"].items():
        if logger.path != LOGGER:
            return f"logger.{name} is not TensorBoard's"
    return _against_trainer(checked)


def reason_against_kernel(checked: Checked) -> str | None:
    """Return why the kernel cannot train this config, or None if it can."""
    groups = checked.groups
    model, optimizer, stop, scheduler = groups["model"], groups["optimizer"], groups["stop"], groups.get("scheduler")
    trainer, precision = groups["trainer"], groups["trainer"].arguments.get("precision", "32-true")
    if model.path != MANUAL:
        choice = choice_of("model", model.path, model.arguments)
        return f"{choice} trains by autograd: use model=mlp_manual or model=linear_manual"
    for key in KEYS:
        if "." in str(model.arguments.get(key)):
            return f"model.{key}={model.arguments[key]} is not compiled"
    if model.arguments.get("engine") == "textbook":
        return "model.engine=textbook"
    if optimizer.target not in OPTIMIZERS:
        return f"{choice_of('optimizer', optimizer.path)} is not one of optimizer=sgd, momentum, adam and adamw"
    for option in ("amsgrad", "differentiable", "capturable"):
        if optimizer.arguments.get(option):
            return f"optimizer.{option} works only with PyTorch's optimizers"
    if not (isinstance(stop.target, type) and issubclass(stop.target, Epochs)):
        return f"stop rule {stop.name} is not one of steepest's"
    if scheduler and not (isinstance(scheduler.target, type) and issubclass(scheduler.target, LRScheduler)):
        return f"scheduler {scheduler.name} is not one of PyTorch's"
    for key, value in trainer.arguments.items():
        if key not in FREE and (key not in PLAIN or (key not in NOT_FOR_KERNEL and value != PLAIN[key])):
            return f"trainer.{key}={value} needs Lightning's Trainer"
    limit = trainer.arguments.get("max_epochs")
    if limit not in (None, -1, stop.arguments.get("epochs")):
        return f"trainer.max_epochs={limit} differs from stop.epochs"
    return None if precision in PRECISIONS else f"trainer.precision={precision} is mixed precision"


def _against_trainer(checked: Checked) -> str | None:
    node = checked.groups["trainer"]
    if node.path != TRAINER:
        return f"trainer {node.name} is not Lightning's"
    for key, value in node.arguments.items():
        if key not in FREE and (key not in PLAIN or value != PLAIN[key]):
            return f"trainer.{key}={value} needs Lightning's Trainer"
    return None


def of_rows(checked: Checked) -> bool:
    """Whether a config's data are plain rows, which are split at random by the seed."""
    target = checked.groups["data"].target
    return isinstance(target, type) and issubclass(target, RowData)
