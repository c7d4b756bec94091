"""Limits the keys that a config file may set if it is not part of this program.

The program's config files (`conf.is_own`) and the command line may set every key. Hydra calls `check_file` for every
other file that it reads: an experiment, a file of ``--config-dir``, a primary config. Such a file cannot set `trust`,
and may set only a few keys of the `hydra` node. `refused_overrides` checks the overrides in a sweep's sweep.json. This
module does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from steepest.runs.approved import PATHS
from steepest.runs.conf import is_own
from steepest.runs.trusted import trusted_here

Rule = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _word(value: Any) -> bool:
    """Return whether a value is null, a number, or a string without folders and references to other values."""
    return _number(value) or (isinstance(value, str) and re.fullmatch(r"[\w.-]*", value) is not None)


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(map(_word, value))


def _mode(value: Any) -> bool:
    return value in (None, "RUN", "MULTIRUN")


def _subfolder(value: Any) -> bool:
    """Return whether a value is a folder name that refers only to other config values. The sweep checks the folder."""
    return isinstance(value, str | int) and "${" not in re.sub(r"\$\{(hydra:)?[\w.]+\}", "", str(value))


def _separator(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w=,;:+ -]*", value) is not None


def _defaults(value: Any) -> bool:
    return isinstance(value, list)  # Hydra reads these files, and each of them is checked


# Keys of the `hydra` node that a file may set -> a function that checks the value. `*` stands for any key.
ALLOWED: dict[str, Rule] = {
    "defaults": _defaults,
    "mode": _mode,
    "verbose": lambda value: isinstance(value, bool),
    "sweep.subdir": _subfolder,
    "job.config.override_dirname.exclude_keys": _words,
    "job.config.override_dirname.item_sep": _separator,
    "job.config.override_dirname.kv_sep": _separator,
    "callbacks.lesson.name": _word,
    "launcher.defaults": _defaults,
    "launcher._target_": _word,  # `trust.check_hydra` checks the class
    **{
        f"launcher.{key}": _number
        for key in (
            "n_jobs", "timeout", "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "nodes", "mem_gb",
            "array_parallelism",
        )
    },
    "sweeper.defaults": _defaults,
    "sweeper._target_": _word,
    **{f"sweeper.{key}": _number for key in ("max_batch_size", "n_trials", "batch", "seed")},
    "sweeper.study_name": _word,
    "sweeper._recursive_": lambda value: value is False,
    "sweeper.sampler.*": _word,
    "sweeper.pruner.*": _word,
}  # fmt: skip
BY_COMMAND = ("trust", "resume")  # keys that only the command line and the program's config files may set
OF_SWEEP = ("on_error", "dry_run")  # keys of `sweep` that a file may set; the tuner sets the others
PLACED = re.compile(r"(_global_\.)?hydra(\.|$)")


def check_file(file: Path | None, config: Any, natural: bool, trusted: Sequence[str]) -> None:
    """Check the keys that a file adds to the config.

    Args:
        file: the file, or None if the config is not from a file.
        config: the content of the file at its place in the config.
        natural: whether this is the usual place of the file's group. Another file could move it to a harmful place.
        trusted: packages that the command line trusts.

    Raises:
        ValueError: with every key that the file may not set.
    """
    if not isinstance(config, Mapping) or (natural and (file is None or is_own(file))):
        return
    refused = list(refused_keys(config, trusted))
    if refused:
        raise ValueError(
            f"{file or 'a config'} sets {', '.join(dict.fromkeys(refused))}: a file must not set this for you. If you "
            "want it, set it on the command line"
        )


def refused_keys(config: Mapping[Any, Any], trusted: Sequence[str] = ()) -> Iterator[str]:
    """Yield the keys that a file may not set. The config is plain data with unresolved interpolations."""
    for key in BY_COMMAND:
        if config.get(key) not in (None, []):
            yield key
    if "hydra" in config:
        yield from _refused_in_hydra(config["hydra"], (), trusted)
    if "sweep" in config:
        sweep = config["sweep"]
        if not isinstance(sweep, Mapping):
            yield "sweep"
        else:
            yield from (f"sweep.{k}" for k, v in sweep.items() if k not in (*OF_SWEEP, "defaults") and v is not None)


def _refused_in_hydra(node: Any, at: tuple[str, ...], trusted: Sequence[str]) -> Iterator[str]:
    path = ".".join(at)
    if at == ("sweeper", "params") and isinstance(node, Mapping):
        overrides = (f"{key}={'null' if value is None else value}" for key, value in node.items())
        yield from (f"hydra.sweeper.params: {text}" for text in refused_overrides(overrides, sweep=True))
    elif isinstance(node, Mapping):
        target = node.get("_target_")
        if isinstance(target, str) and _is_trusted(target, trusted):
            return
        for key, value in node.items():
            yield from _refused_in_hydra(value, (*at, str(key)), trusted)
    else:
        rule = ALLOWED.get(path) or ALLOWED.get(".".join((*at[:-1], "*")))
        if rule is None or not rule(node):
            yield f"hydra.{path}".rstrip(".")


def _is_trusted(target: str, trusted: Sequence[str]) -> bool:
    """Return whether the command line or the user's list (`runs/trusted.py`) trusts the package of a class."""
    return any(target.startswith(f"{package}.") for package in (*trusted, *trusted_here()))


def refused_overrides(overrides: Iterable[str], *, sweep: bool = False) -> list[str]:
    """Return the overrides that a file may not set.

    Args:
        overrides: the overrides in Hydra's grammar.
        sweep: whether they are the values of a sweep.
    """
    return [text for text in overrides if _is_refused(text, sweep)]


def _is_refused(text: str, sweep: bool) -> bool:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        return True
    if text.startswith("-"):  # a command-line option
        return True
    key, top = override.key_or_group, re.split(r"[./]", override.key_or_group)[0]
    if "${" in text and sweep:
        return True
    if PLACED.match(override.package or "") or key in _paths() or top in BY_COMMAND:
        return True
    if top == "hydra":
        return sweep or _is_refused_in_hydra(override)
    return top == "sweep" and key not in ("sweep", *(f"sweep.{one}" for one in OF_SWEEP))


def _is_refused_in_hydra(override: Override) -> bool:
    key, value = override.key_or_group, override.value()
    if "/" in key:  # a choice in a config group
        return not isinstance(value, str) or override.is_delete()
    config: dict[str, Any] = {"hydra": value}
    for part in reversed(key.split(".")[1:]):
        config = {"hydra": {part: config["hydra"]}}
    return override.is_delete() or any(refused_keys(config))


def _paths() -> set[str]:
    return {f"{group}.{name}" for group, names in PATHS.items() for name in names}
