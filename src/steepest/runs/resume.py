"""Checks that a resumed run has the options on which its earlier results depend. This module does not import torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from steepest.runs.environment import changed_variables, digests

MAY_CHANGE = ("stop", "trainer", "callbacks", "threads", "trust")  # options and groups
ELSEWHERE = ("resume", "sweep", "logger", "name")  # results do not depend on these
NUMBERS = (
    "precision",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "accumulate_grad_batches",
)
SHA256, VARIABLES = "sha256", "variables"  # keys of `fixed` besides those of the config
COMPUTE = ("steepest", "torch", "numpy", "numba", "lightning")  # packages whose version can change the results


def fixed(config: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    """Return the options and the data on which the results depend. Checkpoints contain them.

    Args:
        config: a resolved config, in which `${oc.env:NAME}` stands for the value of an environment variable.
        sha256: the checksum of the data.
    """
    kept = {key: value for key, value in config.items() if key not in MAY_CHANGE + ELSEWHERE}
    # The data's path may change, because their checksum is compared.
    kept["data"] = {key: value for key, value in config["data"].items() if key != "path"}
    kept["trainer"] = {key: value for key, value in config["trainer"].items() if key in NUMBERS}
    return kept | {SHA256: sha256, VARIABLES: digests(json.dumps(kept))}


def check_fixed(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `ValueError` if the data or an option has changed on which the results of a resumed run depend.

    Args:
        folder: the run's folder.
        before: what `fixed` returned for the checkpoint.
        now: what `fixed` returns for the resumed run.
    """
    if before[SHA256] != now[SHA256]:
        raise ValueError(
            f"resume={folder}: the data have changed since the run started (sha256 {before[SHA256][:12]}, now "
            f"{now[SHA256][:12]}): restore them, or start a new run"
        )
    if other := changed_variables(before[VARIABLES]):
        raise ValueError(
            f"resume={folder}: the results depend on these environment variables, which have changed since the "
            f"checkpoint was written: {', '.join(other)}. Restore their values, or start a new run"
        )
    without = {SHA256, VARIABLES}
    if changed := [key for key in changed_keys(before, now) if key.split(".")[0] not in without]:
        pairs = [f"{key}={_value(now, key)} (it was {_value(before, key)})" for key in changed[:5]]
        raise ValueError(
            f"resume={folder}: the config has changed since the checkpoint was written, and the results depend on it: "
            f"{', '.join(pairs)}. Restore config.yaml, or start a new run"
        )


def check_continues(folder: Path, before: Mapping[str, Any], engine: str, world: int) -> None:
    """Raise `ValueError` if another engine, or another number of processes, would continue a run."""
    if before["engine"] != engine:
        raise ValueError(
            f"resume={folder}: engine '{before['engine']}' trained the run so far, but engine '{engine}' would "
            "continue it, and their last digits differ: resume it with its original options, or start a new run"
        )
    if before["world"] != world:
        raise ValueError(
            f"resume={folder}: trainer.devices starts {world} processes, but {before['world']} trained the run so far, "
            "and the last digits depend on their number: restore trainer.devices and trainer.strategy, or start a new "
            "run"
        )


def check_overrides(overrides: Sequence[Override]) -> None:
    """Raise `ValueError` if a command line resumes a run and would change the results of its earlier part."""
    if any(override.key_or_group == "resume" and override.value() for override in overrides):
        for override in overrides:
            if override.key_or_group != "resume" and not override.key_or_group.startswith(("hydra.", "hydra/")):
                check_override(override)


def check_override(override: Override) -> None:
    """Raise `ValueError` if an override would change the results of the earlier part of a resumed run."""
    key = override.key_or_group
    if key.split(".")[0] not in MAY_CHANGE or (key in MAY_CHANGE and key not in ("threads", "trust")):
        raise ValueError(
            f"{override.input_line} cannot be combined with resume=, because it would change the earlier results: you "
            "may change threads, and the keys of "
            f"{', '.join(MAY_CHANGE[:3])}, such as stop.epochs=200"
        )


def changed_versions(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return a note for each package in `COMPUTE` whose version has changed since the run started."""
    return [
        f"the run started with {name} {before[name]} and continues with {now[name]}: the last digits of its results "
        "can differ from those of an uninterrupted run"
        for name in COMPUTE
        if name in before and before[name] != now[name]
    ]


def changed_keys(before: Any, now: Any, at: str = "") -> list[str]:
    """Return the keys whose values differ between two plain configs."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = dict.fromkeys([*before, *now])
        return [c for k in keys for c in changed_keys(before.get(k), now.get(k), f"{at}.{k}" if at else str(k))]
    return [] if before == now else [at]


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
