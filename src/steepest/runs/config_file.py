"""Reads a run's config.yaml, which may come from another person. This module does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from steepest.runs.claim import CONFIG_FILE
from steepest.runs.environment import resolved
from steepest.runs.files import unreadable


def resolved_config(folder: Path) -> dict[str, Any]:
    """Return the config with the values of the environment variables that it names.

    Raises:
        ValueError: if the file cannot be read.
    """
    path = folder / CONFIG_FILE
    try:
        plain, _ = resolved(DictConfig(OmegaConf.load(path)))
    except (OSError, ValueError, TypeError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise unreadable(path, error) from None
    return plain


def flat_config(folder: Path) -> dict[str, Any]:
    """Return the values of the config by their full keys, such as ``data.window``. References stay text.

    The key of a group has the path of its class: ``model`` is ``steepest.lightning.predictors.MLPPredictor``.

    Raises:
        ValueError: if the file cannot be read.
    """
    path = folder / CONFIG_FILE
    try:
        content = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if not isinstance(content, dict):
            raise ValueError("it is not a config")
        return _flat(content, "")
    except (OSError, ValueError, RecursionError, YAMLError) as error:
        raise unreadable(path, error) from None


def _flat(node: dict[Any, Any], at: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        full = f"{at}.{key}" if at else str(key)
        if key == "_target_":
            found[at] = str(value)
        elif isinstance(value, dict):
            found |= _flat(value, full)
        elif not str(key).startswith("_"):
            found[full] = value
    return found
