"""What a config may name: every `_target_` against an allow-list, before anything is imported or called.

Two places call what a config names: a run (`training.config`), and Hydra itself, which makes the callbacks, the
sweeper and the launcher of its own node as soon as a config is composed. `guard_hydra` stands before the second.
No torch at import.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping
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
from steepest.runs.hydra_internals import CORE_PLUGINS, look_at_every_config, primary_config

EXTRAS = {  # plugins of others for which there is a config here, and what installs them
    "hydra_plugins.hydra_joblib_launcher.": "joblib",
    "hydra_plugins.hydra_submitit_launcher.": "slurm",
    "hydra_plugins.hydra_ray_launcher.": "ray",
}

# Dotted prefix -> what the thing named has to be: a class below this one (or below the one of this path, which is
# imported only when it is asked), or (None) anything defined there.
Approved = Mapping[str, type | str | None]

# What Hydra's own node may name. Plugins are already imported when a config is composed.
FOR_HYDRA: Approved = {
    "steepest.": Callback,
    CORE_PLUGINS: Plugin,
    "hydra_plugins.": Plugin,
    "optuna.samplers.": object,
    "optuna.pruners.": object,
}
PACKAGES = {"optuna": "tune"}  # packages that shipped configs name and only an extra installs
CALLED_BY_HYDRA = ("callbacks", "sweeper", "launcher")


def locate(path: str, approved: Approved) -> Callable[..., Any]:
    """What a `_target_` names, if it may be named.

    The path is held against the approved prefixes before anything is imported, and what is found must be defined under
    an approved prefix too: `steepest.x.os.system` has the right beginning, but is not this package's.

    Raises:
        ValueError: naming the path and what would be approved.
    """
    allowed = f"approved are {', '.join(sorted(approved))}; add a package you trust with trust=[PACKAGE]"
    if _prefix(path, approved) is None:
        raise ValueError(f"_target_ '{path}' is not approved: {allowed}")
    if not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"_target_ '{path}' is no dotted name")
    found = _imported(path)
    package = path.split(".")[0]
    if found is None and package in PACKAGES and importlib.util.find_spec(package) is None:
        raise ValueError(f"_target_ '{path}' needs {package}: pip install 'steepest[{PACKAGES[package]}]'")
    if found is None:
        extra = next((extra for plugin, extra in EXTRAS.items() if path.startswith(plugin)), None)
        mend = f"; it comes with pip install 'steepest[{extra}]'" if extra else ""
        raise ValueError(f"_target_ '{path}': there is no such thing{mend}")
    identity = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    prefix = _prefix(identity, approved)
    if prefix is None or not (inspect.isclass(found) or inspect.isfunction(found)):
        raise ValueError(f"_target_ '{path}' is really '{identity}', which is not approved: {allowed}")
    kind = approved[prefix]
    if isinstance(kind, str):
        kind = _imported(kind)
    if kind is not None and not (inspect.isclass(found) and issubclass(found, kind)):
        wanted = "class" if kind is object else kind.__name__
        raise ValueError(f"_target_ '{path}' is no {wanted}: {allowed}")
    return found


def guard_hydra() -> None:
    """Check what Hydra will make, wherever it composes a config in this process (a run, a sweep, each of its jobs)."""

    def look(config: DictConfig, loader: ConfigLoader, name: str | None, overrides: list[str]) -> None:
        check_trust(config, loader, name, overrides)
        check_hydra(config)

    look_at_every_config(look)


def check_hydra(config: DictConfig) -> None:
    """Hold what Hydra's own node names against `FOR_HYDRA` and the config's `trust`.

    Raises:
        ValueError: with every target that may not be named.
    """
    faults = Faults("config")
    trusted: dict[str, type | str | None] = {f"{package}.": None for package in OmegaConf.select(config, "trust") or []}
    for part in CALLED_BY_HYDRA:
        for where, target in _targets(OmegaConf.select(config, f"hydra.{part}"), f"hydra.{part}"):
            try:
                locate(target, {**FOR_HYDRA, **trusted})
            except ValueError as error:
                faults.add(f"{where}: {error}")
    faults.raise_if_any()


def check_trust(config: DictConfig, loader: ConfigLoader, name: str | None, overrides: list[str]) -> None:
    """Trust is given on the command line or in train.yaml: an experiment may not trust itself.

    Raises:
        ValueError: naming the packages and the words to say.
    """
    asked = OmegaConf.select(config, "trust") or []
    said = any(o.key_or_group == "trust" for o in OverridesParser.create().parse_overrides(overrides))
    if not asked or said:
        return
    primary = primary_config(loader, name)
    given = [] if primary is None else OmegaConf.select(primary, "trust") or []
    if more := [package for package in asked if package not in given]:
        raise ValueError(
            f"a file of this config trusts {', '.join(more)}: if you do too, say trust=[{','.join(asked)}]"
        )


def _targets(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every `_target_` below a node, as it would be resolved now, with its key."""
    if isinstance(node, ListConfig):
        keys: list[Any] = list(range(len(node)))
    elif isinstance(node, DictConfig):
        keys = list(node.keys())
    else:
        return
    for key in keys:
        try:
            value = node[key]
        except OmegaConfBaseException:
            if key == "_target_":
                yield where, "???"
            continue  # it cannot be resolved by Hydra either, at this point
        if key == "_target_":
            yield where, str(value)
        else:
            yield from _targets(value, f"{where}.{key}")


@cache  # a path that is no module is looked for in all of them
def _imported(path: str) -> Any:
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
