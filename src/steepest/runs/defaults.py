"""Sets the defaults of `data.window`, `data.relative_to_last` and `data.history`.

The first two depend on the model and the sweep, the last on the evaluation. This module does not import torch.

A single run of a linear model is the line y = a x + b on today's price. Everything else gets inputs from which it can
predict prices that it has never seen: a net cannot extrapolate a price level. All jobs of a sweep get the same inputs,
so that their scores can be compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from steepest.runs.jobs import SWEEP, typed
from steepest.runs.specs import LINEAR, MANUAL, MLP, WINDOW

LONG, SHORT = 28, 1  # days
LONGEST = "data.longest_window"
READ_BY_DEFAULTS = ("data.transform",)  # a default depends on the values of these keys


def window(model: Mapping[str, Any] | None) -> int:
    """The default of `data.window`."""
    return SHORT if _is_linear(model) and not _in_sweep() else LONG


def relative_to_last(model: Mapping[str, Any] | None, transform: str) -> bool:
    """Return the default of `data.relative_to_last`.

    It is false for returns, which are already differences, and for models that shift or split windows themselves.
    """
    own = _name(str((model or {}).get("_target_"))) == _name(WINDOW)
    return transform == "level" and window(model) == LONG and not own


def history(evaluation: Mapping[str, Any] | None) -> str:
    """The default of `data.history`. Walk-forward models are trained on all rows before a fold."""
    return "borrow" if _name(str((evaluation or {}).get("_target_"))) == "WalkForward" else "own"


def same_days(config: DictConfig) -> str | None:
    """Return the override that makes a sweep over `data.window` score all jobs on the same days.

    Returns None if the sweep does not need it, or already has it.
    """
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    texts = [*(f"{key}={value}" for key, value in params.items()), *typed(config, "task")]
    texts = [text for text in texts if text.lstrip("+").startswith(("data.window=", f"{LONGEST}="))]
    parsed = [*OverridesParser.create().parse_overrides(texts)]
    windows = [override for override in parsed if override.key_or_group == "data.window"]
    if OmegaConf.select(config, "data.longest_window") or any(o.key_or_group == LONGEST for o in parsed):
        return None
    if not windows or not windows[-1].is_sweep_override():
        return None
    over = windows[-1].value()
    tried = [over.end] if isinstance(over, IntervalSweep) else [*windows[-1].sweep_iterator()]
    lengths = [int(length) for length in tried if isinstance(length, int | float)]
    return f"{LONGEST}={max(lengths)}" if lengths else None


def as_single_run(overrides: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """A job's overrides, with those that a single run needs to get the job's inputs, and without the folder's name.

    Args:
        overrides: the job's.
        config: the job's, resolved; may be empty if it is not known.
    """
    data = config.get("data") or {}
    overrides = [override for override in overrides if not override.lstrip("+").startswith("name=")]  # it is taken
    given = {override.split("=", 1)[0].lstrip("+~") for override in overrides}
    if not _is_linear(config.get("model")):
        return overrides
    single = {"data.window": SHORT, "data.relative_to_last": False}
    needed = {key: data.get(key.removeprefix("data."), default) for key, default in single.items()}
    return overrides + [
        f"{key}={str(value).lower()}" for key, value in needed.items() if key not in given and value != single[key]
    ]


def _is_linear(model: Mapping[str, Any] | None) -> bool:
    """Return whether a model node names a linear model of this package by one of its import paths."""
    path = str((model or {}).get("_target_"))
    name = _name(path)
    if not path.startswith("steepest."):
        return False
    return name == _name(LINEAR) or (name in (_name(MLP), _name(MANUAL)) and not (model or {}).get("hidden", True))


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _in_sweep() -> bool:
    """Return whether this process runs a sweep or is part of one of its jobs (DDP starts several processes)."""
    sweep = os.environ.get(SWEEP)
    if sweep is not None and (int(sweep) in (os.getpid(), os.getppid()) or "LOCAL_RANK" in os.environ):
        return True
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


OmegaConf.register_new_resolver("default_window", window, replace=True)
OmegaConf.register_new_resolver("default_history", history, replace=True)
OmegaConf.register_new_resolver("default_relative_to_last", relative_to_last, replace=True)
