"""Writes and reads checkpoints: `checkpoints/best.ckpt`, `last.ckpt` and `previous.ckpt`.

`previous.ckpt` is the last.ckpt before the current one. A run continues from it if last.ckpt is damaged. Checkpoints
are plain data that Lightning can load. They do not contain the counters of Lightning's loops, because
`lightning/internals.py` computes these when Lightning resumes a run.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import logging
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from torch import Tensor
from typing_extensions import TypedDict

from steepest.data.batches import PreparedData
from steepest.engine.pythonlock import released
from steepest.runs.environment import masked_data
from steepest.runs.files import unfinished
from steepest.runs.tracker import Best, Tracker

log = logging.getLogger(__name__)

LIGHTNING = importlib.metadata.version("lightning")  # checkpoints name the version that wrote them
DATA = "WindowDataModule"  # the key of the data set's scaler and options
TRACKER = "steepest"  # the key of the tracker's state among a checkpoint's callbacks
CONFIG = "steepest_config"  # the key of the options that the results depend on
ZIP, MARK, NO_COMMENT = b"PK", b"steepest sha256 ", b"\0\0"  # start of a zip file, and parts of the comment at its end
PREFIX = "network."  # of the parameters of a `Predictor`
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


def save(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint to a temporary file, flush it to the disk, and then rename it.

    A crash therefore never leaves an incomplete checkpoint. The old last.ckpt becomes previous.ckpt.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = unfinished(path)
    buffer = io.BytesIO()
    shown = {key: masked_data(value) if key == DATA else value for key, value in content.items()}
    torch.save(shown, buffer)  # torch.save to a file hides the error of a full disk
    try:
        with part.open("wb") as file:
            file.write(_with_checksum(buffer.getvalue()))
            file.flush()
            with released():
                os.fsync(file.fileno())
        if path.name == LAST and path.exists():
            path.replace(path.with_name(PREVIOUS))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Load a checkpoint as plain data. Pickled objects are refused.

    Raises:
        ValueError: if the file is not a complete checkpoint, or has changed since it was written.
    """
    try:
        content = torch.load(io.BytesIO(_checked(path.read_bytes())), weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for damaged files
        raise ValueError(f"{path} is not a complete checkpoint ({type(error).__name__}: {str(error)[:200]})") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"{path} is not a checkpoint: it has no state_dict")
    return content


def _with_checksum(archive: bytes) -> bytes:
    """Add a checksum of the content as the comment at the end of a zip file that `torch.save` wrote.

    torch does not compare checksums, and the checksums of a zip file do not cover the positions of its entries.
    """
    body = archive[: -len(NO_COMMENT)]
    assert archive.endswith(NO_COMMENT), "torch.save writes no comment"
    comment = MARK + hashlib.sha256(body).digest()
    return body + struct.pack("<H", len(comment)) + comment


def _checked(archive: bytes) -> bytes:
    """Return a checkpoint's bytes if their checksum is correct, else raise `ValueError`."""
    length = len(NO_COMMENT) + len(MARK) + hashlib.sha256().digest_size
    if archive.endswith(NO_COMMENT) and archive.startswith(ZIP):
        raise ValueError("it has no checksum: an earlier version of steepest, or another program, wrote it")
    body, end = archive[:-length], archive[-length:]
    if _with_checksum(body + NO_COMMENT)[-length:] != end:
        raise ValueError("it is incomplete or damaged: its checksum differs")
    return archive


def newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest complete checkpoint of a run and its content, or None if the run has not written one.

    Args:
        folder: the run's `checkpoints/`.

    Raises:
        ValueError: if there are checkpoints, but none is complete.
    """
    faults: list[str] = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            content = load(path)
            _check_content(path, content)
        except ValueError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            log.warning("%s; the run continues from %s, update %d", fault, path.name, content["global_step"])
        return path, content
    if faults:
        raise ValueError(
            f"{'; '.join(faults)}. Restore a copy of {LAST}; or move {folder} away: the run then starts again"
        )
    return None


class _Progress(TypedDict):
    """The tracker's state."""

    updates: int
    gradients: dict[str, Tensor]
    samples: int
    batch: int
    batches: int
    engine: str
    world: int
    history: list[dict[str, float]]
    best: dict[str, Any] | None
    rule: dict[str, Any]
    reason: str
    first_loss: float | None
    instruments: dict[str, dict[str, Any]]
    events: int


class _Fixed(TypedDict):
    """The part of `resume.fixed` that every run has."""

    sha256: str
    variables: dict[str, str]


class _Callbacks(TypedDict):
    steepest: _Progress  # TRACKER


@with_config(ConfigDict(arbitrary_types_allowed=True))
class _Checkpoint(TypedDict):
    """The content of last.ckpt."""

    epoch: int
    global_step: int
    batches: int
    state_dict: dict[str, Tensor]
    WindowDataModule: dict[str, Any]  # DATA
    steepest_config: _Fixed  # CONFIG
    callbacks: _Callbacks
    optimizer_states: list[dict[str, Any]]
    lr_schedulers: list[dict[str, Any]]


def _check_content(path: Path, content: dict[str, Any]) -> None:
    """Raise `ValueError` if an entry of a checkpoint is missing or has the wrong type."""
    try:
        TypeAdapter(_Checkpoint).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} is not a checkpoint of a run of train.py ({where}: {first['msg']})") from None


def check_shapes(path: Path, content: Mapping[str, Any], model: Mapping[str, Tensor]) -> None:
    """Raise `ValueError` if a checkpoint's parameters do not have the names and shapes of the model's."""
    found, wanted = ({name: tuple(p.shape) for name, p in of.items()} for of in (content["state_dict"], model))
    if found != wanted:
        raise ValueError(f"{path} has parameters {found}, but the model has {wanted}: restore a copy of the checkpoint")


def weights(
    state: Mapping[str, Tensor],
    updates: int,
    epochs: int,
    options: Mapping[str, Any],
    data: PreparedData,
    prefix: str = PREFIX,
) -> dict[str, Any]:
    """The part of a checkpoint from which a model is loaded.

    Args:
        state: the network's state, by name.
        updates, epochs: how many are done.
        options: the model's constructor arguments.
        data: the data set; predictions need its scaler and its spec.
        prefix: the network's name in the module; "" if it is the module itself.
    """
    return {
        "epoch": epochs,
        "global_step": updates,
        "pytorch-lightning_version": LIGHTNING,
        "state_dict": {f"{prefix}{name}": value.detach().clone() for name, value in state.items()},
        "hparams_name": "kwargs",
        "hyper_parameters": dict(options),
        DATA: data.state_dict(),
    }


def save_best(best: Best, options: Mapping[str, Any], data: PreparedData, path: Path, prefix: str = PREFIX) -> None:
    """Write best.ckpt."""
    save(weights(best.weights, best.updates, best.epochs, options, data, prefix), path)


def save_last(
    tracker: Tracker,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None,
    options: Mapping[str, Any],
    data: PreparedData,
    config: Mapping[str, Any],
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
        CONFIG: dict(config),
        "callbacks": {TRACKER: tracker.state_dict()},
        "optimizer_states": [optimizer],
        "lr_schedulers": [] if scheduler is None else [scheduler.state_dict()],
    }
    save(content, path)
