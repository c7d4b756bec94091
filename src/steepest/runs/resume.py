"""What a resumed run may change: nothing that the numbers so far depend on. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAY_CHANGE = ("stop", "trainer", "callbacks", "threads", "trust")  # keys and groups
ELSEWHERE = ("resume", "sweep", "logger")  # not about the numbers
NUMBERS = (
    "precision",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "accumulate_grad_batches",
)
COMPUTE = ("steepest", "torch", "numpy", "numba", "lightning")  # packages that compute a run's numbers


def fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved config that the numbers depend on. Checkpoints keep it."""
    kept = {key: value for key, value in config.items() if key not in MAY_CHANGE + ELSEWHERE}
    # The record compares the data's checksum: the file may have moved.
    kept["data"] = {key: value for key, value in config["data"].items() if key != "path"}
    return kept | {"trainer": {key: value for key, value in config["trainer"].items() if key in NUMBERS}}


def check_config(folder: Path, before: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise `ValueError` if the numbers of a resumed run depend on a key that has changed.

    Args:
        folder: the run's.
        before: the `fixed` config of its checkpoint.
        config: its resolved config.
    """
    now = fixed(config)
    if changed := changed_keys(before, now):
        pairs = [f"{key}={_value(now, key)} (it was {_value(before, key)})" for key in changed[:5]]
        raise ValueError(
            f"resume={folder}: the config has changed since the checkpoint was written, and the numbers depend on it: "
            f"{', '.join(pairs)}. Restore config.yaml, or start a new run"
        )


def changed_versions(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """A note for each package that computes numbers and has another version than at the start of the run."""
    return [
        f"the run began with {name} {before[name]} and continues with {now[name]}: the last digits of its numbers can "
        "differ from those of an uninterrupted run"
        for name in COMPUTE
        if name in before and before[name] != now[name]
    ]


def changed_keys(before: Any, now: Any, at: str = "") -> list[str]:
    """The keys whose values differ between two plain configs."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = dict.fromkeys([*before, *now])
        return [c for k in keys for c in changed_keys(before.get(k), now.get(k), f"{at}.{k}" if at else str(k))]
    return [] if before == now else [at]


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
