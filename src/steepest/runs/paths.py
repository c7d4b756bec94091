"""Checks the paths and addresses in a config, which may be another person's. This module does not import torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steepest.data.faults import Faults
from steepest.runs.approved import PATHS, PATHS_OF_CALLBACKS
from steepest.runs.values import shown


def check_paths(plain: dict[str, Any], typed: Sequence[str], faults: Faults) -> None:
    """Check that each path in a config is below the current folder, unless the user typed it."""
    by_user = {override.split("=", 1)[0].lstrip("+") for override in typed}
    _check_servers(plain, by_user, faults)
    nodes: list[tuple[str, Any, tuple[str, ...]]] = [(group, plain.get(group), names) for group, names in PATHS.items()]
    callbacks = plain.get("callbacks")
    if isinstance(callbacks, dict):
        nodes += [(f"callbacks.{name}", node, PATHS_OF_CALLBACKS) for name, node in callbacks.items()]
    for place, values, names in nodes:
        if not isinstance(values, dict):
            continue
        for name in names:
            path, key = str(values.get(name) or ""), f"{place}.{name}"
            if key not in by_user and (Path(path).is_absolute() or ".." in re.split(r"[/\\]", path)):
                faults.add(
                    f"{key}={path} must be a relative path without '..': change it, or give it on the command line"
                )


def _check_servers(plain: dict[str, Any], typed: set[str], faults: Faults) -> None:
    """Check that the user typed every address to which results are sent."""
    loggers = plain.get("logger")
    for name, one in loggers.items() if isinstance(loggers, dict) else ():
        key = f"logger.{name}.tracking_uri"
        if isinstance(one, dict) and one.get("tracking_uri") and key not in typed:
            faults.add(f"{key}={shown(one['tracking_uri'])} must be given on the command line, or left out")
