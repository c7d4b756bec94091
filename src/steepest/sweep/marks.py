"""Marks in a config and in its YAML, where the values of each job are filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import yaml
from omegaconf import OmegaConf

Scalar = str | int | float | bool | None
MARKED = "steepest_value_{}_here"
MARK = re.compile(MARKED.format(r"(\d+)"))


def filled(marked: Any, values: Sequence[Scalar]) -> Any:
    """A copy of plain data with values in place of the marks."""
    if isinstance(marked, dict):
        return {key: filled(value, values) for key, value in marked.items()}
    if isinstance(marked, list):
        return [filled(value, values) for value in marked]
    if isinstance(marked, str) and "steepest_value_" in marked:
        mark = MARK.fullmatch(marked)
        if mark:
            return values[int(mark[1])]
        return MARK.sub(lambda m: str(values[int(m[1])]), marked)
    return marked


def filled_text(marked: str, values: Sequence[Scalar], written: Callable[[Scalar], str]) -> str:
    """A text with values, formatted by `written`, in place of the marks."""
    return MARK.sub(lambda mark: written(values[int(mark[1])]), marked)


def asked_scalar(value: Scalar) -> str:
    """A value as Hydra writes it."""
    return _asked_scalar(value, type(value).__name__)


@lru_cache(maxsize=65536)
def _asked_scalar(value: Scalar, kind: str) -> str:  # 1, 1.0 and True are equal, but not written alike
    return OmegaConf.to_yaml(OmegaConf.create({"k": value}))[3:-1]


def plain_scalar(value: Scalar) -> str:
    """A value as `yaml.safe_dump` writes it."""
    return _plain_scalar(value, type(value).__name__)


@lru_cache(maxsize=65536)
def _plain_scalar(value: Scalar, kind: str) -> str:
    return yaml.safe_dump({"k": value}, sort_keys=False)[3:-1]
