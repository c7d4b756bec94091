"""Checks that a config names only approved classes, so that it cannot import or call anything else.

Classes in a config are built by a run (`runs/config.py`) and by Hydra, which builds the callbacks, the sweeper and the
launcher of its `hydra` node as soon as it has composed a config. `guard_hydra` adds the check to Hydra. Importing this
module does not import torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steepest.data.faults import Faults
from steepest.runs.approved import EXTRAS, approved
from steepest.runs.hydra_internals import check_every_config
from steepest.runs.resume import check_overrides
from steepest.runs.trusted import imported, make_importable, trusted_here
from steepest.runs.untrusted import check_file

LOGS = ("job_logging", "hydra_logging")
CALLED_BY_HYDRA = ("callbacks", "sweeper", "launcher")


def locate(path: str, place: str, trusted: Sequence[str] = ()) -> Callable[..., Any]:
    """Import the class that a `_target_` names, if it is approved.

    The path is checked before the import. A class or function of a trusted package must also be defined in a trusted
    package: `mine.os.system` has the right prefix, but is not part of `mine`.

    Args:
        path: the `_target_`.
        place: its place in the config, as in `approved.CLASSES`.
        trusted: packages whose classes and functions are approved for every place, together with those that the user
            trusts in the working folder (`runs/trusted.py`).

    Raises:
        ValueError: with the path and the approved classes.
    """
    listed = approved(place)
    trusted = trusted if path in listed else [*trusted, *trusted_here()]
    by_trust = _below(path, trusted)
    refusal = f"not approved for {place or 'this key'}: {_how_to_approve(path, listed)}"
    if path not in listed and not by_trust:
        raise ValueError(f"_target_ '{path}' is {refusal}")
    if not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"_target_ '{path}' is not a dotted name")
    found = _imported_of_project(path, f"_target_ '{path}'") if by_trust else _imported(path)
    if found is None:
        for package, extra in EXTRAS.items():
            if path.startswith(package) and importlib.util.find_spec(package[:-1]) is None:
                raise ValueError(f"_target_ '{path}' needs {package[:-1]}: pip install 'steepest[{extra}]'")
        raise ValueError(f"_target_ '{path}' does not exist")
    identity = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    callable_ = inspect.isclass(found) or (by_trust and inspect.isfunction(found))
    if not callable_ or (path not in listed and not _below(identity, trusted)):
        raise ValueError(f"_target_ '{path}' is defined as '{identity}', which is {refusal}")
    return found


def object_of_user(path: str, key: str, trusted: Sequence[str] = ()) -> Any:
    """Import an object of a trusted package that a config names without `_target_`, such as a loss.

    Args:
        path: its dotted name.
        key: the key that names it, for messages.
        trusted: as for `locate`.

    Raises:
        ValueError: if the package is not trusted, or the object does not exist.
    """
    if not _below(path, [*trusted, *trusted_here()]):
        package = path.partition(".")[0]
        raise ValueError(
            f"{key}={path} is in a package that is not trusted: if you trust it, add trust=[{package}], or run "
            "`steepest trust` once in its folder"
        )
    return _imported_of_project(path, f"{key}={path}")


def guard_hydra() -> None:
    """Make Hydra check each config file that it reads in this process, and each config before it builds objects."""
    check_every_config(check_overrides, check_file, check_hydra)


def check_hydra(config: DictConfig) -> None:
    """Check the targets in a composed config's `hydra` node.

    Raises:
        ValueError: with every target that is not approved, and every log without a choice.
    """
    faults = Faults("config")
    for part in (part for part in LOGS if OmegaConf.is_missing(config.hydra, part)):
        faults.add(f"hydra.{part} is missing: choose one, such as hydra/{part}=steepest")
    trusted = _trusted(config)
    for part in CALLED_BY_HYDRA:
        for where, target in _targets(OmegaConf.select(config, f"hydra.{part}"), f"hydra.{part}"):
            try:
                locate(target, _place(where), trusted)
            except ValueError as error:
                faults.add(f"{where}: {error}")
    faults.raise_if_any()


def _place(where: str) -> str:
    """Return the place in `approved.CLASSES` for a key of the `hydra` node, or the key itself if it has none."""
    if where.startswith("hydra.sweeper.pruner."):  # a pruner may contain another pruner
        return "hydra.sweeper.pruner"
    return "hydra.callbacks" if where.startswith("hydra.callbacks.") and where.count(".") == 2 else where


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
    """Return the object at a dotted path, or None if it does not exist."""
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


def _how_to_approve(path: str, listed: Collection[str]) -> str:
    """Return what a user can do about a class that is not approved. The working folder may contain its package."""
    package = path.partition(".")[0]
    if package.isidentifier() and any(Path(name).exists() for name in (f"{package}/__init__.py", f"{package}.py")):
        return (
            f"if you trust the code in this folder, add trust=[{package}], or run `steepest trust` once; for commands "
            f"such as `steepest predict`, the option is --trust {package}"
        )
    allowed = f"approved are {', '.join(sorted(listed))}; " if listed else ""
    return f"{allowed}add a package you trust with trust=[PACKAGE]"


def _imported_of_project(path: str, named: str) -> Any:
    """Return the object at a dotted path of a trusted package, which may be in the working folder.

    Args:
        path: the dotted path.
        named: how the config names it, for messages.

    Raises:
        ValueError: if the object does not exist, or the package's code fails.
    """
    package = path.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        make_importable()
    imported.add(package)
    try:
        found = _imported(path)
    except Exception as error:  # the package may raise any error
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename}:{frames[-1].lineno}: " if not isinstance(error, SyntaxError) else ""
        raise ValueError(
            f"{named}: importing it fails: {where}{type(error).__name__}: {error}: correct the file, or install what "
            "it needs"
        ) from error
    if found is None:
        raise ValueError(f"{named} does not exist{_searched(path)}")
    return found


def _searched(path: str) -> str:
    """Return the end of a message about a class that a trusted package does not have."""
    package, _, name = path.rpartition(".")
    top = package.partition(".")[0]
    found = importlib.util.find_spec(top)
    if found is None:
        return (
            f": there is no package '{top}' in {Path.cwd()} or among the installed packages: run the command in the "
            f"folder that contains {top}/, or install it with pip"
        )
    return f": the package is {found.origin or top}: correct the name '{package.partition('.')[2] or top}.{name}'"


def _below(path: str, packages: Sequence[str]) -> bool:
    """Return whether a dotted path is below one of these packages."""
    return any(path.startswith(f"{package}.") for package in packages)
