"""Which jobs of a sweep can be trained as one: those that differ only in what one tensor program can vary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from lightning.pytorch import Trainer
from torch.optim.lr_scheduler import LRScheduler

from steepest.data.sources import RowData
from steepest.models.descents import ALIKE, KINDS
from steepest.models.manual import ManualPredictor
from steepest.models.predictors import LinearPredictor, MLPPredictor
from steepest.observe.curvature import Curvature
from steepest.observe.events import EventLogger
from steepest.observe.pictures import Pictures
from steepest.observe.progress import RunProgress
from steepest.observe.recorder import Recorder
from steepest.observe.vitals import Vitals
from steepest.training.config import Checked
from steepest.training.stops import EarlyStop, Epochs, Stationary, Threshold

MODELS = (LinearPredictor, MLPPredictor, ManualPredictor)
RULES = (Epochs, Threshold, Stationary, EarlyStop)
CALLBACKS = (Recorder, Vitals, Curvature, Pictures, RunProgress)
# What a Trainer may be told beside its defaults: nothing of it changes what a run computes, or it is done here too.
TRAINER = {
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
    if model.target not in MODELS:
        return f"model {model.target.__name__} has no hand-derived gradients here"
    if optimizer.target not in KINDS:
        return f"optimizer {optimizer.target.__name__} is none of {', '.join(kind.__name__ for kind in KINDS)}"
    if optimizer.arguments.get("amsgrad") or optimizer.arguments.get("differentiable"):
        return "optimizer.amsgrad and optimizer.differentiable are PyTorch's own"
    if groups["stop"].target not in RULES:
        return f"stop rule {groups['stop'].target.__name__} is not one of the built-in ones"
    scheduler = groups.get("scheduler")
    if scheduler and not (isinstance(scheduler.target, type) and issubclass(scheduler.target, LRScheduler)):
        return f"scheduler {scheduler.target.__name__} is none of PyTorch's"
    for name, callback in groups["callbacks"].items():
        if callback.target not in CALLBACKS:
            return f"callbacks.{name} looks at one run's updates"
    if groups["logger"] and groups["logger"].target is not EventLogger:
        return f"logger {groups['logger'].target.__name__} is not TensorBoard's"
    return _against_trainer(trainer.target, trainer.arguments)


def _against_trainer(target: Any, arguments: Mapping[str, Any]) -> str | None:
    if target is not Trainer:
        return f"trainer {target.__name__} is not Lightning's"
    for key, value in arguments.items():
        if key not in TRAINER and value is not None:
            return f"trainer.{key}={value} is Lightning's own"
    if arguments.get("devices", 1) not in (1, "1", "auto", [0]) or arguments.get("strategy", "auto") != "auto":
        return "a run on several devices has them to itself"
    if arguments.get("precision", "32-true") not in ("32-true", "64-true"):
        return f"trainer.precision={arguments['precision']} mixes precisions"
    if arguments.get("gradient_clip_val") and arguments.get("gradient_clip_algorithm") == "value":
        return "trainer.gradient_clip_algorithm=value is done run by run"
    return None


def kind_of(checked: Checked) -> str:
    """A text that is the same for jobs that can be trained together."""
    plain = deepcopy({k: v for k, v in checked.plain.items() if k not in ("threads", "trust", "resume", "sweep")})
    model = checked.groups["model"]
    if not (isinstance(checked.groups["data"].target, type) and issubclass(checked.groups["data"].target, RowData)):
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
