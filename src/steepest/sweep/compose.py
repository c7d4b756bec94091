"""Composing the configs of a sweep's jobs, once for each structure instead of once for each job.

Hydra takes 0.1 to 0.2 seconds to compose a config, and the jobs of a sweep mostly differ in a few numbers. So the
config is composed once for all jobs that choose the same files and set the same keys. It gets marks where the jobs'
own values go, and each job's values replace the marks. This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from steepest.runs.defaults import READ_BY_DEFAULTS
from steepest.runs.hydra_internals import override_dirname
from steepest.sweep.marks import MARK, MARKED, Scalar, asked_scalar, filled, filled_text, plain_scalar

SUBDIR = "hydra.sweep.subdir="


@dataclass(frozen=True)
class Texts:
    """The config files that Hydra writes into a job's `.hydra` folder, and the one that the run writes."""

    asked: str  # .hydra/config.yaml
    overrides: str  # .hydra/overrides.yaml
    hydra: str  # .hydra/hydra.yaml
    resolved: str  # config.yaml


@dataclass(frozen=True)
class Planned:
    """What is known about a job before it runs.

    Attributes:
        plain: its config, resolved.
        overrides: the user's, for this job.
        subfolder: the job's folder, below the sweep's.
        texts: contents of the config files that Hydra and the run write.
    """

    plain: dict[str, Any]
    overrides: list[str]
    subfolder: str
    texts: Texts


class Preview(NamedTuple):
    """The facts about a job that the sweep's record needs before any job starts.

    Attributes:
        sweep: the sweep's folder in this job's config.
        subfolder: the job's folder, below the sweep's.
        plain: the job's resolved config, without the groups that cannot be resolved.
    """

    sweep: str
    subfolder: str
    plain: dict[str, Any]

    @property
    def trainer(self) -> dict[str, Any]:
        """Return the job's trainer node, or an empty dict if there is none."""
        found = self.plain.get("trainer")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Marked:
    """A config with marks, numbered in the order of `Composer.values`; the last mark is the job's absolute folder."""

    plain: dict[str, Any]
    folders: list[str]  # the sweep's, and the job's below it
    asked: str
    resolved: str
    hydra: str


class Structure(NamedTuple):
    """What the jobs that choose the same files and set the same keys have in common.

    Attributes:
        composed: the first such job's config, with its `hydra` node.
        marked: None if only Hydra can resolve the config.
    """

    composed: DictConfig
    marked: Marked | None


class Parsed(NamedTuple):
    """One job's overrides: those that make the structure, and the values that replace marks."""

    structure: tuple[str, ...]
    leaves: dict[str, Any]


class Composer:
    """Composes jobs' configs as ``config_loader.load_sweep_config`` does.

    Args:
        loader: Hydra's.
        master: the sweep's own config.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader, self.master = loader, master
        self.parser = OverridesParser.create()
        self.structures: dict[tuple, Structure] = {}

    def parse(self, overrides: Sequence[str]) -> Parsed:
        """Separate overrides that set one plain value from those that choose files, add, delete, or set several."""
        structure, leaves = [], {}
        for override in map(self._parse, overrides):
            key, value = override.key_or_group, override.value() if override.type is OverrideType.CHANGE else None
            if not self._is_leaf(override, value):
                structure.append(str(override.input_line))
            elif key in leaves:  # Hydra lets the last one win
                return Parsed(tuple(overrides), {})
            else:
                leaves[key] = value
        return Parsed(tuple(structure), leaves)

    @lru_cache(maxsize=65536)  # noqa: B019  # a composer lives as long as its sweep
    def _parse(self, override: str) -> Override:
        return self.parser.parse_override(override)

    def _is_leaf(self, override: Override, value: Any) -> bool:
        key = override.key_or_group
        return (
            override.package is None
            and not key.startswith("hydra")
            and key not in READ_BY_DEFAULTS
            and isinstance(value, str | int | float | bool)
            and not (isinstance(value, str) and ("${" in value or value == "???" or MARK.search(value)))
            and ("." in key or not self._group_exists(key))
        )

    @lru_cache(maxsize=1024)  # noqa: B019
    def _group_exists(self, key: str) -> bool:
        return bool(self.loader.get_group_options(key))

    def structure(self, overrides: Sequence[str]) -> tuple[Structure, Parsed]:
        """The structure of a job, composed if this job is the first that has it."""
        overrides = [o for o in overrides if not o.startswith(SUBDIR)]  # differs between jobs of one structure
        parsed = self.parse(overrides)
        key = (parsed.structure, tuple(parsed.leaves))
        if key not in self.structures:
            composed = self.loader.load_sweep_config(self.master, list(overrides))
            self.structures[key] = Structure(composed, _marked(composed, parsed.leaves))
        return self.structures[key], parsed

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """One job's whole config."""
        found, parsed = self.structure(overrides)
        config = deepcopy(found.composed)
        for key, value in parsed.leaves.items():
            OmegaConf.update(config, key, value, merge=True)
        task = _task(overrides)
        with open_dict(config.hydra):
            config.hydra.overrides.task = task
            config.hydra.job.override_dirname = self._dirname(config, task)
            for override in overrides:
                if override.startswith(SUBDIR):
                    config.hydra.sweep.subdir = self._parse(override).value()
        OmegaConf.copy_cache(from_config=self.master, to_config=config)
        return config

    def values(self, overrides: Sequence[str], number: int) -> list[Scalar]:
        """What replaces the marks: the leaves, the job's number, its id, ``override_dirname``, and each override."""
        found, parsed = self.structure(overrides)
        task = _task(overrides)
        return [*parsed.leaves.values(), number, str(number), self._dirname(found.composed, task), *task]

    def plan(self, overrides: Sequence[str], number: int) -> Planned | None:
        """Return the files that Hydra would write before a job, or None if only Hydra can resolve the config."""
        marked = self.structure(overrides)[0].marked
        if marked is None:
            return None
        values, task = self.values(overrides, number), _task(overrides)
        sweep, subfolder = filled(marked.folders, values)
        subfolder = pinned_subfolder(overrides) or str(subfolder)
        values.append(str(Path(str(sweep), subfolder).absolute()))
        texts = Texts(
            filled_text(marked.asked, values, asked_scalar),
            "".join(f"- {asked_scalar(override)}\n" for override in task) or "[]\n",
            filled_text(marked.hydra, values, asked_scalar),
            filled_text(marked.resolved, values, plain_scalar),
        )
        own = [o for o in task if not o.startswith("sweep.")]  # as `steepest.entry.job` does
        return Planned(filled(marked.plain, values), own, subfolder, texts)

    def preview(self, overrides: Sequence[str], number: int) -> Preview:
        """Where a job's folder would be, and its config.

        Raises:
            ValueError: if the folder cannot be known before the job starts.
        """
        pinned = pinned_subfolder(overrides)
        marked = self.structure(overrides)[0].marked
        if marked is not None:
            values = self.values(overrides, number)
            sweep, subfolder = map(str, filled(marked.folders, values))
            return Preview(sweep, pinned or subfolder, filled(marked.plain, values))
        config = self.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        holder = HydraConfig.instance()
        before = holder.cfg
        try:
            holder.set_config(config)  # ${hydra:...} reads it
            return Preview(str(config.hydra.sweep.dir), pinned or str(config.hydra.sweep.subdir), _resolved(config))
        except OmegaConfBaseException as error:
            raise ValueError(
                f"job {number}: hydra.sweep.dir or hydra.sweep.subdir cannot be resolved before the job starts: "
                f"{str(error).splitlines()[0]}"
            ) from error
        finally:
            holder.cfg = before

    def _dirname(self, config: DictConfig, task: Sequence[str]) -> str:
        """``${hydra.job.override_dirname}``."""
        style = config.hydra.job.config.override_dirname
        return override_dirname([self._parse(o) for o in task], style.kv_sep, style.item_sep, list(style.exclude_keys))


class Checker:
    """Replaces Hydra's loader while sweepers compose every job's config only to validate it."""

    def __init__(self, loader: ConfigLoader, composer: Composer) -> None:
        self.loader, self.composer = loader, composer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """A config of this job's structure; raises as Hydra does if the overrides cannot be composed."""
        return self.composer.structure(sweep_overrides)[0].composed


def pinned_subfolder(overrides: Sequence[str]) -> str | None:
    """The job's folder, below the sweep's, if its overrides fix it (the sweep's record adds such an override)."""
    for override in overrides:
        if override.startswith(SUBDIR):
            value = OverridesParser.create().parse_override(override).value()
            return str(OmegaConf.create({"subdir": value}).subdir)  # resolves an escaped ${
    return None


def _task(overrides: Sequence[str]) -> list[str]:
    return [o for o in overrides if not o.startswith("hydra.")]


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _resolved(config: DictConfig) -> dict[str, Any]:
    found = {}
    for key in config:
        with suppress(OmegaConfBaseException):  # the job reports it
            if key != "hydra":
                value = config[key]
                found[str(key)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return found


def _marked(composed: DictConfig, leaves: dict[str, Any]) -> Marked | None:
    """Replace the values by markers. Return None if the first job's values do not restore its config."""
    marks, config = map(MARKED.format, count()), deepcopy(composed)
    task = _without_hydra(config)
    OmegaConf.set_struct(task, False)
    try:
        with open_dict(config.hydra):
            config.hydra.job.num, config.hydra.job.id = 0, "0"
        folders = [str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)]
        OmegaConf.copy_cache(from_config=config, to_config=task)  # ${now:...} keeps its value
        asked, resolved = OmegaConf.to_yaml(task), OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
        for key in leaves:
            OmegaConf.update(task, key, next(marks), merge=True)
        plain: Any = OmegaConf.to_container(task, resolve=True)
        hydra: Any = OmegaConf.to_container(config.hydra, resolve=False, enum_to_str=True)
        overrides = hydra["overrides"]["task"]
        values = [*leaves.values(), 0, "0", hydra["job"]["override_dirname"], *overrides, "here"]
        hydra["runtime"]["output_dir"] = "here"
        written = OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra}))
        hydra["job"] |= {"num": next(marks), "id": next(marks), "override_dirname": next(marks)}
        hydra["overrides"]["task"] = [next(marks) for _ in overrides]
        task["hydra"] = hydra
        marked_folders = [str(task.hydra.sweep.dir), str(task.hydra.sweep.subdir)]
    except OmegaConfBaseException:
        return None
    if "oc.env" in asked:  # records contain the names of environment variables, not their values
        return None
    hydra["runtime"]["output_dir"] = next(marks)
    marked = Marked(
        plain,
        marked_folders,
        OmegaConf.to_yaml(_without_hydra(task)),
        yaml.safe_dump(plain, sort_keys=False),
        OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})),
    )
    same = (
        filled(marked.plain, values) == resolved
        and filled_text(marked.asked, values, asked_scalar) == asked
        and filled_text(marked.resolved, values, plain_scalar) == yaml.safe_dump(resolved, sort_keys=False)
        and filled_text(marked.hydra, values, asked_scalar) == written
        and [str(folder) for folder in filled(marked_folders, values)] == folders  # a resolver may change a mark
    )
    return marked if same else None
