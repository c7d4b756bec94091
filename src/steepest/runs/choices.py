"""Suggests config keys and choices of conf/, for error messages about unknown ones.

This module does not import torch.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import yaml
from yaml import YAMLError

from steepest.data.faults import did_you_mean
from steepest.runs.conf import config_files

OTHER_NAMES = {"learning_rate": "lr", "max_epochs": "epochs", "n_epochs": "epochs", "num_epochs": "epochs"}
NEAR_SIBLING, NEAR = 0.6, 0.75  # minimum similarity to a key of the same group, and to any key of the config


def suggestion(full_key: str, parent: Mapping[str, Any]) -> str:
    """Return a hint such as ``"; did you mean 'stop.epochs'?"`` for a key that a config does not have, or "".

    Args:
        full_key: the unknown key with its groups, such as ``stop.epoch``.
        parent: the part of the config without the key, as plain data.
    """
    group, _, typed = full_key.rpartition(".")
    prefix, key = f"{group}." if group else "", OTHER_NAMES.get(typed, typed)
    keys = {path: path.rpartition(".")[-1] for path in _keys(parent)}
    if found := [path for path, name in keys.items() if name == key]:
        return f"; did you mean '{prefix}{min(found, key=lambda path: path.count('.'))}'?"
    siblings = [str(name) for name in parent if not str(name).startswith("_")]
    if near := did_you_mean(key, siblings, NEAR_SIBLING if group else NEAR, prefix):
        return near
    if not group and (names := difflib.get_close_matches(key[:100], keys.values(), n=1, cutoff=NEAR)):
        return f"; did you mean '{next(path for path, name in keys.items() if name == names[0])}'?"
    return _of_other_choices(group, key)


def _keys(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of all groups, such as ``stop.epochs``. Groups themselves are not keys."""
    for name, value in config.items():
        if str(name).startswith("_") or name == "hydra":
            continue
        if isinstance(value, Mapping):
            yield from (f"{name}.{key}" for key in _keys(value))
        else:
            yield str(name)


def _of_other_choices(group: str, key: str) -> str:
    """Return a hint such as ``"; 'model.hidden' is a key of model=mlp"``, for a key with a similar name, or ""."""
    if group and not re.fullmatch(r"\w+", group):
        return ""
    having: dict[str, dict[str, Any]] = {}
    for choice, content in _choices(group or "*"):
        for name, value in content.items():
            if not isinstance(value, dict) and not str(name).startswith("_"):
                having.setdefault(f"{choice.partition('=')[0]}.{name}", {})[choice] = value
    # A choice with an empty list fixes it, if others do not: model=linear_manual has no hidden layers.
    choices = {path: [c for c, value in found.items() if value != []] or list(found) for path, found in having.items()}
    names = {path: path.rpartition(".")[-1] for path in having}
    near = difflib.get_close_matches(key[:100], names.values(), n=1, cutoff=NEAR_SIBLING if group else NEAR)
    found = [f"'{path}' is a key of {', '.join(choices[path][:4])}" for path in names if names[path] in near]
    return f"; {'; '.join(found)}" if found else ""


def choice_of(group: str, target: str, arguments: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return the choice of a group that builds a class, such as ``model=linear``, or the name of a custom class.

    If several choices build it, such as ``model=dlinear`` and ``model=nlinear``, return the one whose values are most
    often equal to `arguments`.
    """
    found = {choice: content for choice, content in _choices(group) if _same(str(content.get("_target_")), target)}
    if not found:
        return target.rpartition(".")[-1]
    return max(found, key=lambda choice: sum(found[choice].get(name) == value for name, value in arguments.items()))


def _same(path: str, other: str) -> bool:
    """Return whether two paths name a class of the same package: torch.optim.SGD is defined in torch.optim.sgd."""
    parts, others = path.split("."), other.split(".")
    return (parts[0], parts[-1]) == (others[0], others[-1])


def _choices(group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each choice of a group, such as ``model=mlp``, and the content of its file. ``*`` means all groups."""
    try:
        files = config_files(f"{group}/*.yaml").values()
    except ValueError:  # an error message must not fail because conf/ is missing
        return
    for file in files:
        try:
            content = yaml.safe_load(file.read_text())
        except (OSError, ValueError, YAMLError):
            continue
        if isinstance(content, dict):
            yield f"{file.parent.name}={file.stem}", content
