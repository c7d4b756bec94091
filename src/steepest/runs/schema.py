"""JSON schemas of the config groups, with which an editor completes and checks the files of ``conf/``.

The keys and types are those that `config.py` checks: the arguments of each class that a file can name in `_target_`.
Checks that need several keys or the data are only in `config.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from yaml import YAMLError

from steepest.runs.approved import approved
from steepest.runs.conf import config_files
from steepest.runs.config import GIVEN, GROUPS, PARTIAL, Run, Sweep
from steepest.runs.files import write_text
from steepest.runs.specs import SPECS
from steepest.runs.trust import locate
from steepest.runs.values import adapter, signature

Schema = dict[str, Any]

PRESETS = ("experiment", "debug", "sweep")  # groups whose files set keys of other groups
DRAFT = "http://json-schema.org/draft-07/schema#"
# Hydra and OmegaConf replace these texts by a value of any type.
REFERENCE = {"type": "string", "pattern": r"\$\{|^\?\?\?$"}
OF_HYDRA: Schema = {"defaults": {"type": "array"}}


def write_schemas(folder: Path) -> dict[str, str]:
    """Write a schema for each config group into a folder.

    Returns:
        The path of each schema and the files of ``conf/`` that it describes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for group in (*GROUPS, *PRESETS):
        path = folder / f"{group}.json"
        write_text(path, json.dumps(schema(group), indent=2) + "\n")
        written[path.as_posix()] = f"conf/{group}/**/*.yaml"
    return written


def schema(group: str) -> Schema:
    """Return the schema of the files of a group."""
    definitions: Schema = {}
    if group in PRESETS:
        body = _preset(definitions)
    elif group == "callbacks":
        one = {"anyOf": [node(group, definitions), REFERENCE, {"type": "null"}]}
        body = {"type": ["object", "null"], "properties": OF_HYDRA, "additionalProperties": one}
    else:
        body = node(group, definitions)
    title = f"conf/{group} of steepest"
    return {"$schema": DRAFT, "title": title, **body, **({"definitions": definitions} if definitions else {})}


def node(group: str, definitions: Schema) -> Schema:
    """Return the schema of a node, which builds an object. The keys depend on its `_target_`."""
    found, cases = targets(group), []
    for path, target in found.items():
        keys = OF_HYDRA | {"_target_": {"const": path}, "_partial_": {"const": group in PARTIAL}}
        keys |= _keys(target, GIVEN.get(group, ()), definitions)
        cases.append(
            {
                "if": {"properties": {"_target_": {"const": path}}, "required": ["_target_"]},
                "then": {"properties": keys, "additionalProperties": _is_open(target)},
            }
        )
    named = {"anyOf": [{"enum": list(found)}, {"type": "string"}]}
    return {"type": ["object", "null"], "properties": {**OF_HYDRA, "_target_": named}, "allOf": cases}


def targets(group: str) -> dict[str, Callable[..., Any]]:
    """Return the classes that a file of a group can name: the approved ones, and the trusted ones of the project."""
    paths = dict.fromkeys(sorted(approved(group)))
    for file in config_files(f"{group}/*.yaml").values():
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, YAMLError):  # the file's own check reports it
            continue
        if isinstance(content, dict) and isinstance(content.get("_target_"), str):
            paths[content["_target_"]] = None
    found: dict[str, Callable[..., Any]] = {}
    for path in paths:
        try:
            found[path] = SPECS[path] if path in SPECS and path in approved(group) else locate(path, group)
        except ValueError:  # not trusted, or an extra is not installed
            continue
    return found


def _keys(target: Callable[..., Any], given: tuple[str, ...], definitions: Schema) -> Schema:
    """Return the schemas of a constructor's arguments."""
    parameters, hints = signature(target)
    keys: Schema = {}
    for name, parameter in parameters.items():
        if name in ("self", *given) or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        keys[name] = {"anyOf": [_type(target, name, definitions), REFERENCE]} if name in hints else {}
    return keys


def _type(target: Callable[..., Any], name: str, definitions: Schema) -> Schema:
    try:
        found = adapter(target, name).json_schema(ref_template="#/definitions/{model}")
    except (PydanticInvalidForJsonSchema, PydanticUserError):  # such as a class: any value
        return {}
    definitions |= found.pop("$defs", {})
    return found


def _is_open(target: Callable[..., Any]) -> bool:
    """Return whether a constructor accepts other keys."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature(target)[0].values())


def _preset(definitions: Schema) -> Schema:
    """Return the schema of an experiment: keys of conf/train.yaml, and of the groups without checking their keys."""
    groups: Schema = {group: {"type": ["object", "null"]} for group in GROUPS}
    sweep = {"type": ["object", "null"], "properties": _keys(Sweep, (), definitions), "additionalProperties": False}
    keys = OF_HYDRA | _keys(Run, (), definitions) | groups | {"sweep": sweep, "hydra": {"type": "object"}}
    keys |= _keys(Sweep, (), definitions)  # conf/sweep/none.yaml has these keys without `sweep`
    return {"type": ["object", "null"], "properties": keys, "additionalProperties": False}
