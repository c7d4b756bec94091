"""Checks that a resumed run has the options on which its earlier results depend. This module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAY_CHANGE = ("stop", "trainer", "callbacks", "threads", "trust")  # options and groups
ELSEWHERE = ("resume", "sweep", "logger")  # results do not depend on these
NUMBERS = (
    "precision",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "accumulate_grad_batches",
)
COMPUTE = ("steepest", "torch", "numpy", "numba", "lightning")  # packages whose version can change the results


def fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a resolved config on which the results depend. Checkpoints contain it."""
    kept = {key: value for key, value in config.items() if key not in MAY_CHANGE + ELSEWHERE}
    # The data's path may change, because the record compares the checksum of the data.
    kept["data"] = {key: value for key, value in config["data"].items() if key != "path"}
    return kept | {"trainer": {key: value for key, value in config["trainer"].items() if key in NUMBERS}}


def check_config(folder: Path, before: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise `ValueError` if an option has changed on which the results of a resumed run depend.

    Args:
        folder: the run's folder.
        before: the `fixed` config in the checkpoint.
        config: the resolved config of the resumed run.
    """
    now = fixed(config)
    if changed := changed_keys(before, now):
        pairs = [f"{key}={_value(now, key)} (it was {_value(before, key)})" for key in changed[:5]]
        raise ValueError(
            f"resume={folder}: the config has changed since the checkpoint was written, and the results depend on it: "
            f"{', '.join(pairs)}. Restore config.yaml, or start a new run"
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
