"""The record of a run: config.yaml, run.json, metrics.json, predictions.csv. Each file is complete or absent."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import shlex
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
import yaml

from steepest.data.batches import PreparedData
from steepest.data.files import files_of
from steepest.data.windows import Windows
from steepest.evaluate.evaluation import Evaluation
from steepest.evaluate.folds import Predictions
from steepest.evaluate.predictions import CSV_ROWS, NAMES, write_table
from steepest.runs.claim import CONFIG_FILE
from steepest.runs.defaults import as_single_run
from steepest.runs.environment import masked, masked_data
from steepest.runs.files import now, read_json, unfinished, unreadable, write_text
from steepest.runs.resume import changed_versions
from steepest.runs.revision import checkout

Status = Literal["running", "finished", "stopped", "failed"]
EXTRAS = ("statsmodels",)  # packages of extras that compute numbers, recorded if they are installed
VERSIONS = ("steepest", "torch", "lightning", "hydra-core", "omegaconf", "tensorboard", "pandas", "numpy", "numba")


@dataclass
class RunRecord:
    """The record of one run in its folder. `begin`, `metrics` and `end` write it.

    Attributes:
        folder: the run's folder.
        overrides: what the user typed after `train.py`.
        resumed: whether the folder holds an earlier part of this run.
        notes: decisions that the user should know about, such as a change of the objective.
    """

    folder: Path
    overrides: list[str] = field(default_factory=list)
    resumed: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        before = self._read("run.json") if self.resumed else {}
        self.written = False
        self.notes += changed_versions(before.get("versions", {}), _versions())
        self.seconds_before = float(self._read("metrics.json").get("seconds", 0.0)) if self.resumed else 0.0
        self.facts: dict[str, Any] = before | {
            "status": "running",
            "stop_reason": None,
            "command": shlex.join([Path(sys.executable).name, *sys.argv]),
            "overrides": before.get("overrides", self.overrides),
            "versions": _versions(),
            "git": checkout(),
            "started": before.get("started", now()),
            "resumed": [*before.get("resumed", []), now()] if self.resumed else [],
            "ended": None,
        }

    def begin(
        self,
        config: dict[str, Any],
        data: dict[str, Any],
        device: str,
        engine: str,
        why: str = "",
        text: str | None = None,
    ) -> None:
        """Write config.yaml, and a run.json with the status ``running``.

        Args:
            config: resolved.
            data: the `data_facts` of its data.
            device: the name of the device.
            engine: what computes the updates: ``kernel``, ``textbook`` or ``autograd``.
            why: the reason if a hand-derived model does not use the kernel.
            text: the text of config.yaml, if it is already known.
        """
        self.facts |= {
            "again": as_single_run(self.facts["overrides"], config),
            "seed": config["seed"],
            "objective": config["objective"],
            "data": data,
            "device": device,
            "engine": engine,
            "engine_reason": why or None,
            "notes": list(dict.fromkeys([*self.facts.get("notes", []), *self.notes])),
        }
        self._write_facts()
        # config.yaml is written last, because a folder with config.yaml contains a run that can be resumed.
        write_text(self.folder / CONFIG_FILE, text or yaml.safe_dump(config, sort_keys=False))
        self.written = True

    def metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json. The seconds of earlier parts of the run are added."""
        metrics["seconds"] = round(metrics["seconds"] + self.seconds_before, 3)
        write_text(self.folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")

    def end(self, metrics: dict[str, Any]) -> None:
        """Write the final run.json, after all other files of the run are complete."""
        self._end_facts(metrics["status"], metrics["stop_reason"])

    def stop(self) -> None:
        """Record that the user interrupted the run. The results of an earlier part are kept."""
        self._end_facts("stopped", "interrupted")

    def fail(self, reason: str) -> None:
        """Record that the run failed before it was scored. The results of an earlier part are kept.

        If the run could not be resumed, its record is unchanged.
        """
        if self.written or not self.resumed:
            self._end_facts("failed", reason)

    def predictions(self, evaluation: Evaluation, kept: Predictions) -> None:
        """Write predictions.csv, or predictions.parquet if it is large: one row per sample and day of the horizon.

        Args:
            evaluation: the run's evaluation.
            kept: the parts to write.
        """
        forecasts = evaluation.forecasts
        if kept != "all":
            last = list(forecasts)[-1:] if kept == "test" else []
            forecasts = {part: forecasts[part] for part in last}
        large = sum(len(evaluation.tables[part]) for part in forecasts) > CSV_ROWS
        for name, parquet in zip(NAMES, (False, True), strict=True):
            path = self.folder / name
            if forecasts and parquet == large:
                part = unfinished(path)
                write_table(evaluation.tables, forecasts, part, parquet=large)
                part.replace(path)
            else:
                path.unlink(missing_ok=True)  # from before the run was resumed

    def _end_facts(self, status: Status, reason: str) -> None:
        self.facts |= {"status": status, "stop_reason": masked(reason), "ended": now()}
        self._write_facts()

    def _write_facts(self) -> None:
        write_text(self.folder / "run.json", json.dumps(self.facts, indent=2, allow_nan=False) + "\n")

    def _read(self, name: str) -> dict[str, Any]:
        return read_json(self.folder / name)


def data_facts(data: PreparedData) -> dict[str, Any]:
    """Facts about the data: source, rows, samples, days, and a checksum of the file or of the generated numbers."""
    windows = data.windows
    targets = {part: _target_days(windows, part) for part in windows.parts}
    path = getattr(data.dataset, "path", None)
    if path is not None:
        digests = []
        for name in files_of(path):
            with name.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        checksum = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    else:
        checksum = hashlib.sha256(windows.price_T.numpy().tobytes()).hexdigest()
    empty = [p for p, part in windows.parts.items() if not len(part)]
    return {
        "source": masked(Path(path).name) if path else type(data.dataset).__name__,
        "sha256": checksum,
        "rows": len(windows.price_T),
        "series": windows.names,
        "samples": {p: len(part) for p, part in windows.parts.items()},
        "skipped_parts": empty,
        "targets": targets,
        "fitted_to": _last_fitted(windows),
        "gap": getattr(data.dataset, "rows_between", 0),
        "recognised": masked_data(windows.recognised),
    }


def last_validation_day(folder: Path) -> pd.Timestamp:
    """The last target day of the validation part of a recorded run.

    Raises:
        ValueError: if run.json cannot be read, or has no such day.
    """
    path = folder / "run.json"
    try:
        return pd.Timestamp(read_json(path)["data"]["targets"]["val"][1])
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(path, error) from None


def empty_parts(windows: Windows) -> list[str]:
    """Notes about parts without samples."""
    why = "data.split; days without a change are not targets" if windows.classes and windows.ordered else "data.split"
    return [
        f"the {part} part is empty ({why}) and is skipped" for part, found in windows.parts.items() if not len(found)
    ]


def _target_days(windows: Windows, name: str) -> list[str] | None:
    """The first and the last target day of a part, as text, or None if it has no samples or days."""
    part = windows.parts[name]
    if not windows.ordered or not len(part):
        return None
    origin_N, dates = part.origins(torch.arange(len(part))).numpy(), windows.index.get_level_values("date")
    return [str(dates[origin_N + 1].min()), str(dates[origin_N + windows.horizon].max())]


def _last_fitted(windows: Windows) -> str | None:
    """The last day of the training rows, on which scaler and baselines are fitted, or None for plain rows."""
    if not windows.ordered:
        return None
    return str(windows.index.get_level_values("date")[windows.train_stop_S.numpy() - 1].max())


def device_name(device: torch.device) -> str:
    """The name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


@cache
def _versions() -> dict[str, str]:
    installed = [name for name in EXTRAS if importlib.util.find_spec(name) is not None]
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in (*VERSIONS, *installed)
    }
