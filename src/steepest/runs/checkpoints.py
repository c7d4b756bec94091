"""`checkpoints/best.ckpt` and `last.ckpt`: plain data that Lightning can load, written by a Trainer or by a thread.

The counters of Lightning's loops are left out: `lightning/internals.py` derives them from the counts here when
Lightning resumes a run.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steepest.data.batches import PreparedData
from steepest.engine.pythonlock import released
from steepest.runs.environment import masked_data
from steepest.runs.tracker import Best, Tracker

LIGHTNING = importlib.metadata.version("lightning")  # checkpoints name the version that wrote them
DATA = "WindowDataModule"  # the key of the data set's scaler and spec
TRACKER = "steepest"  # the key of the tracker's state among a checkpoint's callbacks


def save(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint atomically: even after a crash, readers find the complete old file or the complete new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            torch.save({key: masked_data(v) if key == DATA else v for key, v in content.items()}, file)
            file.flush()
            with released():
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Load a checkpoint as plain data: pickled objects are refused.

    Raises:
        ValueError: for a file that is not a complete checkpoint.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for damaged files
        raise ValueError(f"{path} is not a complete checkpoint ({type(error).__name__}: {str(error)[:200]})") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"{path} is not a checkpoint: it has no state_dict")
    return content


def weights(
    state: Mapping[str, Tensor], updates: int, epochs: int, options: Mapping[str, Any], data: PreparedData
) -> dict[str, Any]:
    """The part of a checkpoint from which a model is loaded.

    Args:
        state: the network's parameters, by name.
        updates, epochs: how many are done.
        options: the model's constructor arguments.
        data: the data set; predictions need its scaler and its spec.
    """
    return {
        "epoch": epochs,
        "global_step": updates,
        "pytorch-lightning_version": LIGHTNING,
        "state_dict": {f"network.{name}": value.detach().clone() for name, value in state.items()},
        "hparams_name": "kwargs",
        "hyper_parameters": dict(options),
        DATA: data.state_dict(),
    }


def save_best(best: Best, options: Mapping[str, Any], data: PreparedData, path: Path) -> None:
    """Write best.ckpt."""
    save(weights(best.weights, best.updates, best.epochs, options, data), path)


def save_last(
    tracker: Tracker,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None,
    options: Mapping[str, Any],
    data: PreparedData,
    path: Path,
) -> None:
    """Write last.ckpt: everything that resuming the run needs."""
    view = tracker.view
    content = weights(dict(view.network.named_parameters()), view.updates, view.updates // view.batches, options, data)
    optimizer = view.optimizer.state_dict()
    optimizer["state"] = {
        number: {name: value.clone() if isinstance(value, Tensor) else value for name, value in kept.items()}
        for number, kept in optimizer["state"].items()
    }
    content |= {
        "batches": view.batches,
        "callbacks": {TRACKER: tracker.state_dict()},
        "optimizer_states": [optimizer],
        "lr_schedulers": [] if scheduler is None else [scheduler.state_dict()],
    }
    save(content, path)
