"""Which jobs of a sweep can be trained as one: those that differ only in what one tensor program can vary. No torch."""

from __future__ import annotations

import json
from copy import deepcopy

from steepest.data.sources import RowData
from steepest.runs.config import Checked, Node

MODELS = (
    "steepest.lightning.predictors.LinearPredictor",
    "steepest.lightning.predictors.MLPPredictor",
    "steepest.lightning.manual.ManualPredictor",
)
OPTIMIZERS = ("torch.optim.sgd.SGD", "torch.optim.adam.Adam", "torch.optim.adamw.AdamW")
# Options that a step's formula hangs on, so that runs which differ in them are no one group.
ALIKE = ("nesterov", "maximize", "amsgrad")
RULES = tuple(f"steepest.lightning.stops.{name}" for name in ("Epochs", "Threshold", "Stationary", "EarlyStop"))
CALLBACKS = (
    "steepest.observe.recorder.Recorder",
    "steepest.observe.vitals.Vitals",
    "steepest.observe.curvature.Curvature",
    "steepest.observe.pictures.Pictures",
    "steepest.observe.progress.RunProgress",
)
LOGGER, TRAINER = "steepest.observe.events.EventLogger", "lightning.pytorch.trainer.trainer.Trainer"
# What a Trainer may be told beside its defaults: nothing of it changes what a run computes, or it is done here too.
OPTIONS = {
    "accelerator", "devices", "strategy", "precision", "max_epochs", "max_steps", "gradient_clip_val",
    "gradient_clip_algorithm", "limit_val_batches", "num_sanity_val_steps", "log_every_n_steps",
    "enable_progress_bar", "enable_model_summary", "use_distributed_sampler", "logger", "enable_checkpointing",
}  # fmt: skip


def reason_against(checked: Checked) -> str | None:
    """Why a job has to be run by itself; None if it need not."""
    groups = checked.groups
    model, optimizer, trainer = groups["model"], groups["optimizer"], groups["trainer"]
    if checked.run.resume:
        return "resume= goes on with one run"
    if model.path not in MODELS:
        return f"model {model.name} has no hand-derived gradients here"
    if optimizer.path not in OPTIMIZERS:
        return f"optimizer {optimizer.name} is none of {', '.join(path.rsplit('.', 1)[-1] for path in OPTIMIZERS)}"
    if optimizer.arguments.get("amsgrad") or optimizer.arguments.get("differentiable"):
        return "optimizer.amsgrad and optimizer.differentiable are PyTorch's own"
    if groups["stop"].path not in RULES:
        return f"stop rule {groups['stop'].name} is not one of the built-in ones"
    scheduler = groups.get("scheduler")
    if scheduler and not _is_pytorchs(scheduler):
        return f"scheduler {scheduler.name} is none of PyTorch's"
    for name, callback in groups["callbacks"].items():
        if callback.path not in CALLBACKS:
            return f"callbacks.{name} looks at one run's updates"
    if groups["logger"] and groups["logger"].path != LOGGER:
        return f"logger {groups['logger'].name} is not TensorBoard's"
    return _against_trainer(trainer)


def _is_pytorchs(scheduler: Node) -> bool:
    from torch.optim.lr_scheduler import LRScheduler

    return isinstance(scheduler.target, type) and issubclass(scheduler.target, LRScheduler)


def _against_trainer(trainer: Node) -> str | None:
    arguments = trainer.arguments
    if trainer.path != TRAINER:
        return f"trainer {trainer.name} is not Lightning's"
    for key, value in arguments.items():
        if key not in OPTIONS and value is not None:
            return f"trainer.{key}={value} is Lightning's own"
    if arguments.get("devices", 1) not in (1, "1", "auto", [0]) or arguments.get("strategy", "auto") != "auto":
        return "a run on several devices has them to itself"
    if arguments.get("precision", "32-true") not in ("32-true", "64-true"):
        return f"trainer.precision={arguments['precision']} mixes precisions"
    if arguments.get("gradient_clip_val") and arguments.get("gradient_clip_algorithm") == "value":
        return "trainer.gradient_clip_algorithm=value is done run by run"
    return None


def of_rows(checked: Checked) -> bool:
    """Whether a job's data are plain rows, which the seed splits."""
    target = checked.groups["data"].target
    return isinstance(target, type) and issubclass(target, RowData)


def kind_of(checked: Checked) -> str:
    """A text that is the same for jobs that can be trained together."""
    plain = deepcopy({k: v for k, v in checked.plain.items() if k not in ("threads", "trust", "resume", "sweep")})
    model = checked.groups["model"]
    if not of_rows(checked):
        del plain["seed"]  # of plain rows it is the split's, too
    for key in ("seed", "init_scale", "updates_per_step", "gradient_clip_val", "gradient_clip_algorithm"):
        plain["model"].pop(key, None)
    plain["model"]["hidden"] = len(model.arguments.get("hidden", ()))  # widths are padded
    optimizer = checked.groups["optimizer"].arguments
    plain["optimizer"] = [plain["optimizer"]["_target_"], [bool(optimizer.get(key)) for key in ALIKE]]
    plain["scheduler"] = None
    plain["stop"] = None
    for key in ("max_epochs", "max_steps", "gradient_clip_val"):
        plain["trainer"].pop(key, None)
    return json.dumps(plain, sort_keys=True)
