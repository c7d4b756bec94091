"""Python values and bare keys as overrides of `train.py`. This module does not import torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from omegaconf import OmegaConf

from steepest.runs.choices import suggestion
from steepest.runs.composed import composed
from steepest.runs.conf import conf_folder
from steepest.runs.quoting import hydra_quoted

# The groups whose keys can be given without the group's name.
SEARCHED = ("data", "model", "optimizer", "scheduler", "stop", "evaluation", "trainer", "logger")


def typed_overrides(given: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Return overrides with the full keys of the options.

    Args:
        given: overrides of the command, such as ``model=mlp``. They choose the groups in which keys are found.
        options: key -> value. A key is a group, a key of ``conf/train.yaml``, a full key with ``__`` or ``.`` between
            its parts (``data__window``), or the last part of a full key (``window``).

    Raises:
        ValueError: for a key that no group has, or that several have.
    """
    return [*given, *(f"{key}={written(value)}" for key, value in full_keys(given, options).items())]


def varied_overrides(given: Sequence[str], varied: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a sweep over the values of each key: ``{"seed": range(2)}`` is ``seed=0,1``.

    Raises:
        ValueError: for a key as in `typed_overrides`, and for a key without values.
    """
    lists = {key: [values] if _is_single(values) else list(values) for key, values in varied.items()}
    for key, values in lists.items():
        if not values:
            raise ValueError(f"{key} has no values: give a list with at least one, or leave it out")
    first = {key: values[0] for key, values in lists.items()}
    names = dict(zip(lists, full_keys(given, first), strict=True))
    return [f"{names[key]}={','.join(map(written, values))}" for key, values in lists.items()]


def full_keys(given: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options by their full keys, in the same order."""
    groups = {path.name for path in conf_folder().iterdir() if path.is_dir()}
    top = {str(key) for key in OmegaConf.load(conf_folder() / "train.yaml")} - {"defaults", "hydra"}
    dotted = {key: key.replace("__", ".") for key in options}
    full = {key: name for key, name in dotted.items() if "." in name or "/" in name or name in groups | top}
    bare = [key for key in options if key not in full]
    if bare:
        chosen = [f"{name}={written(options[key])}" for key, name in full.items() if name in groups]
        plain: Any = OmegaConf.to_container(composed([*given, *chosen]), resolve=False)
        full |= {key: _found(key, plain) for key in bare}
    return {full[key]: value for key, value in options.items()}


def written(value: Any) -> str:
    """Return a Python value in the grammar of overrides."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of NumPy or torch
        value = value.item()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{hydra_quoted(str(key))}:{written(one)}" for key, one in value.items()) + "}"
    if _is_single(value):
        return hydra_quoted(str(value))
    return f"[{','.join(map(written, value))}]"


def _is_single(value: Any) -> bool:
    """Return whether a value is not a collection."""
    return isinstance(value, str | bytes | PurePath | Mapping) or not isinstance(value, Iterable)


def _found(key: str, plain: dict[str, Any]) -> str:
    """Return the full key of a bare one."""
    values = {group: plain.get(group) for group in SEARCHED}
    places = [f"{group}.{key}" for group, node in values.items() if isinstance(node, dict) and key in node]
    if len(places) == 1:
        return places[0]
    if places:
        written_out = " or ".join(place.replace(".", "__") for place in places)
        raise ValueError(f"{key} is a key of several groups, {' and '.join(places)}: write {written_out}")
    raise ValueError(f"unknown key '{key}'{suggestion(key, plain) or ''}; a full key is written as data__window")
