"""Trains a config in memory with a Trainer, without a run's folder, for models that the engine cannot train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from steepest.data.windows import Windows
from steepest.evaluate.blocks import outputs_at
from steepest.evaluate.scoring import PartScorer
from steepest.lightning.build import build_model
from steepest.lightning.callbacks import CheckpointFiles, Tracking
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.fitting import fit
from steepest.lightning.manual import ManualPredictor
from steepest.lightning.quiet import tame_lightning
from steepest.observe.instrument import Instrument
from steepest.runs.build import dtype_of
from steepest.runs.config import Checked
from steepest.runs.finish import put
from steepest.runs.record import Status
from steepest.runs.stops import Epochs
from steepest.runs.tracker import Tracker
from steepest.runs.walk_forward import Fitted, best_of, fold_scorers

Scorers = Callable[[Windows], Mapping[str, PartScorer]]


def train_in_memory(
    checked: Checked,
    windows: Windows,
    scorers: Scorers,
    *,
    instruments: Mapping[str, Instrument] | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> tuple[LightningModule, Tracker | None, Status, str]:
    """Train in this process.

    Args:
        checked: the config.
        windows: the data, on the CPU.
        scorers: makes the scorers of the parts that are scored at every epoch, for windows on the training device.
        instruments: more instruments than the config has.
        weights: the initial weights; None: the seed's.

    Returns:
        The module, the tracker (None: nothing was trained), the status, and the reason if it is not ``finished``.
    """
    tame_lightning()
    seed_everything(checked.run.seed, verbose=False)
    data = WindowDataModule(checked.groups["data"](), checked.run.seed, windows=windows)
    model = build_model(checked, data)
    if weights is not None:
        put(model.network, weights)
    module = model.module
    options, stop = checked.groups["trainer"].arguments, checked.groups["stop"]()
    built = {name: callback() for name, callback in checked.groups["callbacks"].items()}
    callbacks = [callback for callback in built.values() if isinstance(callback, Callback)]
    own = {name: one for name, one in built.items() if isinstance(one, Instrument)} | dict(instruments or {})
    rule = stop if isinstance(stop, Epochs) else Epochs(options.get("max_epochs") or 1000)
    callbacks += [] if rule is stop else [stop]
    given: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
    if isinstance(module, ManualPredictor):
        given |= {"gradient_clip_val": None, "gradient_clip_algorithm": None}
    if options.get("max_epochs") is None:
        given["max_epochs"] = -1
    with TemporaryDirectory() as folder:  # for checkpoints, which are discarded
        tracking = Tracking(
            checked.run.objective, rule, own,
            scorers=lambda: scorers(data.placed(module.device, dtype_of(checked))), references=dict, model=model,
            data=data, folder=Path(folder), config={},
        )  # fmt: skip
        trainer: Trainer = replace(checked.groups["trainer"], arguments=options | given)(
            logger=False, callbacks=[tracking, *callbacks], enable_checkpointing=False, plugins=[CheckpointFiles()],
            default_root_dir=folder,
        )  # fmt: skip
        status, reason = fit(trainer, module, data, None)
    return module, tracking.tracker, status, reason


def fit_fold_in_memory(
    checked: Checked, windows: Windows, weights: Mapping[str, Tensor] | None, interrupted: Callable[[], bool]
) -> Fitted:
    """Train a fold's model with a Trainer, as `runs.walk_forward.fit_fold` does with the kernel.

    `interrupted` is not used: Lightning itself ends the training on Ctrl-C.
    """
    module, tracker, status, reason = train_in_memory(
        checked, windows, lambda placed: fold_scorers(checked, placed), weights=weights
    )
    assert tracker is not None, "the run itself has trained on data of this kind"
    best_of(tracker, status, reason)
    module.cpu().eval()
    return Fitted(tracker, lambda origin_M: outputs_at(module, windows, origin_M))
