"""The allow-list of `_target_`s: a config cannot import or call anything else. No torch at import.

Two places call what a config names: a run (`runs/config.py`), and Hydra itself, which builds the callbacks, the sweeper
and the launcher of its `hydra` node as soon as it has composed a config. `guard_hydra` guards the second place.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steepest.data.faults import Faults
from steepest.runs.hydra_internals import CORE_PLUGINS, check_every_config, primary_config

EXTRAS = {  # packages that shipped configs name -> the extra that installs each
    "hydra_plugins.hydra_joblib_launcher.": "joblib",
    "hydra_plugins.hydra_submitit_launcher.": "slurm",
    "hydra_plugins.hydra_ray_launcher.": "ray",
    "optuna.": "tune",
}

# Dotted prefix -> the required base class (a class, or a path that is imported on use), or None for anything there.
Approved = Mapping[str, type | str | None]

# What the `hydra` node may name. Hydra imports plugins before it composes a config.
FOR_HYDRA: Approved = {
    "steepest.": Callback,
    CORE_PLUGINS: Plugin,
    "hydra_plugins.": Plugin,
    "optuna.samplers.": object,
    "optuna.pruners.": object,
}
CALLED_BY_HYDRA = ("callbacks", "sweeper", "launcher")


def locate(path: str, approved: Approved) -> Callable[..., Any]:
    """The class or function that a `_target_` names.

    The path must have an approved prefix before anything is imported. The object must also be defined under an approved
    prefix: `steepest.x.os.system` has the right prefix, but is not part of this package.

    Raises:
        ValueError: naming the path and what is approved.
    """
    allowed = f"approved are {', '.join(sorted(approved))}; add a package you trust with trust=[PACKAGE]"
    if _prefix(path, approved) is None:
        raise ValueError(f"_target_ '{path}' is not approved: {allowed}")
    if not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"_target_ '{path}' is not a dotted name")
    found = _imported(path)
    if found is None:
        for package, extra in EXTRAS.items():
            if path.startswith(package) and importlib.util.find_spec(package[:-1]) is None:
                raise ValueError(f"_target_ '{path}' needs {package[:-1]}: pip install 'steepest[{extra}]'")
        raise ValueError(f"_target_ '{path}' does not exist")
    identity = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    prefix = _prefix(identity, approved)
    if prefix is None or not (inspect.isclass(found) or inspect.isfunction(found)):
        raise ValueError(f"_target_ '{path}' is defined as '{identity}', which is not approved: {allowed}")
    kind = approved[prefix]
    if isinstance(kind, str):
        kind = _imported(kind)
    if kind is not None and not (inspect.isclass(found) and issubclass(found, kind)):
        wanted = "class" if kind is object else kind.__name__
        raise ValueError(f"_target_ '{path}' is not a {wanted}: {allowed}")
    return found


def guard_hydra() -> None:
    """Make Hydra check each config that it composes in this process, before it builds anything from it."""

    def check(config: DictConfig, loader: ConfigLoader, name: str | None, overrides: list[str]) -> None:
        check_trust(config, loader, name, overrides)
        check_hydra(config)

    check_every_config(check)


def check_hydra(config: DictConfig) -> None:
    """Check the targets in the `hydra` node against `FOR_HYDRA` and the config's `trust`.

    Raises:
        ValueError: listing every target that is not approved.
    """
    faults = Faults("config")
    trusted: dict[str, type | str | None] = {f"{package}.": None for package in _trusted(config)}
    for part in CALLED_BY_HYDRA:
        for where, target in _targets(OmegaConf.select(config, f"hydra.{part}"), f"hydra.{part}"):
            try:
                locate(target, {**FOR_HYDRA, **trusted})
            except ValueError as error:
                faults.add(f"{where}: {error}")
    faults.raise_if_any()


def check_trust(config: DictConfig, loader: ConfigLoader, name: str | None, overrides: list[str]) -> None:
    """Refuse trust that comes from neither the command line nor train.yaml: an experiment must not trust itself.

    Raises:
        ValueError: naming the packages and the override that trusts them.
    """
    requested = _trusted(config)
    on_command_line = any(o.key_or_group == "trust" for o in OverridesParser.create().parse_overrides(overrides))
    if not requested or on_command_line:
        return
    primary = primary_config(loader, name)
    given = [] if primary is None else OmegaConf.select(primary, "trust") or []
    if more := [package for package in requested if package not in given]:
        raise ValueError(
            f"a file of this config trusts {', '.join(more)}: if you do too, add trust=[{','.join(requested)}]"
        )


def _trusted(config: DictConfig) -> list[str]:
    found = OmegaConf.select(config, "trust")
    if found is not None and not isinstance(found, ListConfig):
        raise ValueError(f"trust={found!r} must be a list of packages, such as trust=[mine]")
    return [str(package) for package in found or ()]


def _targets(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """The key and the resolved value of every `_target_` below a node."""
    if not isinstance(node, ListConfig | DictConfig):
        return
    keys: Iterable[Any] = range(len(node)) if isinstance(node, ListConfig) else node.keys()
    for key in keys:
        try:
            value = node[key]
        except OmegaConfBaseException:  # Hydra cannot resolve it here either
            value = "???" if key == "_target_" else None
        if key == "_target_":
            yield where, str(value)
        else:
            yield from _targets(value, f"{where}.{key}")


@cache  # an unknown path is slow to look up
def _imported(path: str) -> Any:
    """The object at a dotted path; None if it does not exist."""
    if path in (plugins := Plugins.instance().class_name_to_class):
        return plugins[path]
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:split])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
                continue
            raise
        for part in parts[split:]:
            found = getattr(found, part, None)
        return found
    return None


def _prefix(path: str, approved: Approved) -> str | None:
    """The longest approved prefix of a path."""
    fitting = [p for p in approved if path == p or (p.endswith(".") and path.startswith(p))]
    return max(fitting, key=len, default=None)
