"""Placeholders for the varied values, so that `compose.py` composes a config only once for all jobs.

This module does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import yaml
from omegaconf import OmegaConf

MARKED = "steepest_value_{}_here"
MARK = re.compile(MARKED.format(r"(\d+)"))

Scalar = str | int | float | bool | None


def filled(marked: Any, values: Sequence[Scalar]) -> Any:
    """Return a copy of plain data in which the marks are replaced by values."""
    if isinstance(marked, dict):
        return {key: filled(value, values) for key, value in marked.items()}
    if isinstance(marked, list):
        return [filled(value, values) for value in marked]
    if isinstance(marked, str) and "steepest_value_" in marked:
        mark = MARK.fullmatch(marked)
        return values[int(mark[1])] if mark else filled_text(marked, values, str)
    return marked


def filled_text(marked: str, values: Sequence[Scalar], written: Callable[[Scalar], str]) -> str:
    """Return a string in which the marks are replaced by values, formatted by `written`."""
    return MARK.sub(lambda mark: written(values[int(mark[1])]), marked)


@lru_cache(maxsize=65536, typed=True)  # 1, 1.0 and True are equal but written differently
def asked_scalar(value: Scalar) -> str:
    """Format a value as Hydra does."""
    return OmegaConf.to_yaml(OmegaConf.create({"k": value}))[3:-1]


@lru_cache(maxsize=65536, typed=True)
def plain_scalar(value: Scalar) -> str:
    """Format a value as `yaml.safe_dump` does."""
    return yaml.safe_dump({"k": value}, sort_keys=False)[3:-1]
