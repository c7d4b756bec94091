"""Defaults of `data.window` and `data.relative_to_last`: they depend on the model and on a sweep. No torch.

A single run of a linear model is the line y = a x + b on today's price. Everything else gets inputs from which it can
predict prices that it has never seen: a net cannot extrapolate a price level. All jobs of a sweep get the same inputs,
so that their scores can be compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from steepest.runs.jobs import SWEEP
from steepest.runs.marks import MARK
from steepest.runs.specs import LINEAR, MANUAL, MLP

LONG, SHORT = 28, 1  # days


def window(model: Mapping[str, Any] | None) -> int:
    """The default of `data.window`."""
    return SHORT if _is_linear(model) and not _in_sweep() else LONG


def relative_to_last(model: Mapping[str, Any] | None, transform: str) -> bool:
    """The default of `data.relative_to_last`: returns are relative to the day before already."""
    if MARK.search(str(transform)):
        raise ValueError("the transform is not known yet")
    return transform == "level" and window(model) == LONG


def as_single_run(overrides: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """A job's overrides, with those that a single run needs to get the job's inputs.

    Args:
        overrides: the job's.
        config: the job's, resolved; may be empty if it is not known.
    """
    overrides, data = list(overrides), config.get("data") or {}
    given = {override.split("=", 1)[0].lstrip("+~") for override in overrides}
    if not _is_linear(config.get("model")):
        return overrides
    single = {"data.window": SHORT, "data.relative_to_last": False}
    needed = {key: data.get(key.removeprefix("data."), default) for key, default in single.items()}
    return overrides + [
        f"{key}={str(value).lower()}" for key, value in needed.items() if key not in given and value != single[key]
    ]


def _is_linear(model: Mapping[str, Any] | None) -> bool:
    target = (model or {}).get("_target_")
    return target == LINEAR or (target in (MANUAL, MLP) and not (model or {}).get("hidden", True))


def _in_sweep() -> bool:
    """Whether this process runs a sweep or one of its jobs."""
    return SWEEP in os.environ or (HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN)


OmegaConf.register_new_resolver("default_window", window, replace=True)
OmegaConf.register_new_resolver("default_relative_to_last", relative_to_last, replace=True)
