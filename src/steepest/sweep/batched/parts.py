"""What a run is made of, as its config has it: without Lightning, where a shipped part needs none of it.

Lightning takes seconds to import. So it is imported only where its own word is wanted: for another device than the CPU,
another trainer than the shipped one, its own stop rule.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from steepest.data.windows import Windows
from steepest.nets.plain import PlainModel
from steepest.observe import settings
from steepest.observe.hessian import Hessian
from steepest.sweep.batched.plan import Job
from steepest.sweep.batched.template import is_known, template
from steepest.runs import rules
from steepest.runs.checks import check_choices
from steepest.runs.config import Checked, Node
from steepest.entry import tame_lightning
from steepest.runs.stubs import STUBS

WITHOUT_LIGHTNING: dict[str, Callable[..., Any]] = {
    "steepest.lightning.stops.Epochs": rules.Epochs,
    "steepest.lightning.stops.Threshold": rules.Threshold,
    "steepest.lightning.stops.Stationary": rules.Stationary,
    "steepest.observe.recorder.Recorder": settings.RecorderSettings,
    "steepest.observe.vitals.Vitals": settings.VitalsSettings,
    "steepest.observe.curvature.Curvature": Hessian,
    "steepest.observe.pictures.Pictures": settings.PicturesSettings,
    "steepest.observe.progress.RunProgress": settings.ProgressSettings,
}
# A Trainer that is told so trains on the CPU, and has nothing to say against it.
SHIPPED = {
    "accelerator": "cpu", "devices": 1, "strategy": "auto", "limit_train_batches": None, "limit_val_batches": 0,
    "num_sanity_val_steps": 0, "log_every_n_steps": 1, "enable_progress_bar": False, "enable_model_summary": False,
    "use_distributed_sampler": False,
}  # fmt: skip
PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64}
ASKED = ("add_param_group", "state_dict")  # what is asked of an optimizer here


def part(node: Node) -> Any:
    """A stop rule, or what a callback can be told."""
    made = WITHOUT_LIGHTNING.get(node.path)
    if made is not None:
        return made(**node.values())
    import_lightning()
    return node()


def model(checked: Checked, windows: Windows) -> PlainModel:
    """The function to be trained, with its initial parameters.

    Raises:
        ValueError: as `training.run.build_model` does.
    """
    check_choices(checked, windows)
    node = checked.groups["model"]
    given = inspect.signature(STUBS[node.path]).bind(**node.values(inputs=windows.inputs, outputs=windows.outputs))
    given.apply_defaults()
    return PlainModel({k: v for k, v in given.arguments.items() if k not in ("optimizer", "scheduler")})


def descent(checked: Checked, model: PlainModel) -> tuple[Optimizer, LRScheduler | None]:
    """The optimizer of a model, and what changes its step after every epoch.

    Raises:
        ValueError: as `training.run.build_model` does.
    """
    scheduler = checked.groups.get("scheduler")
    try:
        optimizer = checked.groups["optimizer"]()(model.network.parameters())
        return optimizer, scheduler()(optimizer) if scheduler else None
    except ValueError as error:
        raise ValueError(f"optimizer: {error}") from error


def placement(checked: Checked) -> tuple[torch.device, torch.dtype]:
    """Where a run is trained, and in which precision."""
    node = checked.groups["trainer"]
    if _is_plain(node.arguments):
        return torch.device("cpu"), PRECISIONS[node.arguments["precision"]]
    import_lightning()
    trainer = node(logger=False, callbacks=[])
    return trainer.strategy.root_device, torch.float64 if trainer.precision == "64-true" else torch.float32


def _is_plain(arguments: Mapping[str, Any]) -> bool:
    own = {k: v for k, v in arguments.items() if k not in SHIPPED}
    epochs, updates = own.pop("max_epochs", None), own.pop("max_steps", -1)
    return (
        {k: arguments.get(k, "none") for k in SHIPPED} == SHIPPED
        and own.pop("precision", None) in PRECISIONS
        and own.pop("gradient_clip_algorithm", None) in (None, "norm", "value")
        and not own.keys() - {"gradient_clip_val"}
        and (epochs is None or epochs > 0)
        and (updates == -1 or updates > 0)
        and (epochs, updates) != (None, -1)
    )


def import_lightning() -> None:
    """Import it, as quiet as the rest of the training is."""
    known = "lightning.pytorch" in sys.modules
    tame_lightning()
    if not known:
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its import says INFO


def prepare(jobs: Sequence[Job]) -> None:
    """Import Lightning if any of these jobs needs it: once, before there are more processes."""
    if not is_known() or any(job.checked.groups["stop"].path not in WITHOUT_LIGHTNING for job in jobs):
        import_lightning()
        template()


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Let optimizers be made and asked without `torch._dynamo`, whose import takes a second.

    PyTorch has its compiler keep away from some of their methods: the first call imports it, only to tell it so. Here
    nothing is compiled, so the methods are called as they are. (`torch._compile._disable_dynamo` looks for this
    attribute. Where a later PyTorch does not, it imports the compiler, and all else is as before.)
    """
    methods = [getattr(getattr(Optimizer, name), "__wrapped__", None) for name in ASKED]
    bare = [m for m in methods if m is not None and not hasattr(m, "__dynamo_disable")]
    for method in bare:
        setattr(method, "__dynamo_disable", method)
    try:
        yield
    finally:
        for method in bare:
            delattr(method, "__dynamo_disable")
