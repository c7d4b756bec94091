"""Trains a config in memory with a Trainer, for the look-ahead audit of models that the engine cannot train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.pytorch import Callback, Trainer, seed_everything

from steepest.data.windows import Windows
from steepest.evaluate.scoring import part_scorers
from steepest.lightning.build import build_model
from steepest.lightning.callbacks import CheckpointFiles, Tracking
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.manual import ManualPredictor
from steepest.lightning.quiet import tame_lightning
from steepest.lightning.run import fit
from steepest.observe.instrument import Instrument
from steepest.runs.build import dtype_of
from steepest.runs.config import Checked
from steepest.runs.lookahead.training import Fit, History, fit_of
from steepest.runs.process import processes
from steepest.runs.stops import Epochs


def fit_with_trainer(checked: Checked, windows: Windows) -> Fit:
    """Train a config with a Trainer, as `fit_with_kernel` does without one.

    Raises:
        ValueError: if the data do not fit the config, the config does not train in one process on the CPU, or the
            training fails.
    """
    options = checked.groups["trainer"].arguments
    if options.get("accelerator") != "cpu" or processes(options) > 1:
        raise ValueError(
            f"trainer.accelerator={options.get('accelerator')} trainer.devices={options.get('devices')}: the audit "
            "compares trainings bit for bit, in one process on the CPU: use trainer=cpu"
        )
    tame_lightning()
    seed_everything(checked.run.seed, verbose=False)
    data = WindowDataModule(checked.groups["data"](), checked.run.seed, windows=windows)
    model = build_model(checked, data)
    stop = checked.groups["stop"]()
    built = {name: callback() for name, callback in checked.groups["callbacks"].items()}
    callbacks = [callback for callback in built.values() if isinstance(callback, Callback)]
    instruments = {name: one for name, one in built.items() if isinstance(one, Instrument)}
    rule = stop if isinstance(stop, Epochs) else Epochs(options.get("max_epochs") or 1000)
    callbacks += [] if rule is stop else [stop]
    history = History()
    given: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
    if isinstance(model, ManualPredictor):
        given |= {"gradient_clip_val": None, "gradient_clip_algorithm": None}
    if options.get("max_epochs") is None:
        given["max_epochs"] = -1
    with TemporaryDirectory() as folder:  # for checkpoints, which are discarded
        tracking = Tracking(
            checked.run.objective, rule, instruments | {"history": history},
            scorers=lambda: part_scorers(data.placed("cpu", dtype_of(checked))), references=dict, data=data,
            folder=Path(folder), config={},
        )  # fmt: skip
        trainer: Trainer = replace(checked.groups["trainer"], arguments=options | given)(
            logger=False, callbacks=[tracking, *callbacks], enable_checkpointing=False, plugins=[CheckpointFiles()],
            default_root_dir=folder,
        )  # fmt: skip
        status, reason = fit(trainer, model, data, None)
    if status != "finished" or tracking.tracker is None:
        raise ValueError(f"the training failed, so there is nothing to audit: {reason}")
    return fit_of(tracking.tracker, history)
