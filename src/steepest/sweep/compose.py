"""Composing the configs of a sweep's jobs, once for each structure instead of once for each job.

Hydra takes 0.1 to 0.2 seconds for a config. Jobs of a sweep mostly differ in a few numbers; so the config is composed
once for all jobs that choose the same files and set the same keys, and their numbers are put in its places. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

Scalar = str | int | float | bool | None
MARKED = "steepest_value_{}_here"
MARK = re.compile(MARKED.format(r"(\d+)"))
SUBDIR = "hydra.sweep.subdir="


@dataclass(frozen=True)
class Texts:
    """What Hydra writes into a job's `.hydra` folder, and the run into its own."""

    asked: str  # .hydra/config.yaml
    overrides: str  # .hydra/overrides.yaml
    hydra: str  # .hydra/hydra.yaml
    resolved: str  # config.yaml


@dataclass(frozen=True)
class Planned:
    """One job, as far as it is known before it runs.

    Attributes:
        plain: its config, resolved.
        overrides: what the user asked of it.
        subfolder: of the sweep's folder.
        texts: of the files that say what was asked.
    """

    plain: dict[str, Any]
    overrides: list[str]
    subfolder: str
    texts: Texts


@dataclass(frozen=True)
class Marked:
    """A config with marks where jobs' own values go: first those of their leaves, then those of `own_values`.

    Attributes:
        plain: resolved.
        asked, resolved, hydra: the texts of .hydra/config.yaml, config.yaml and .hydra/hydra.yaml.
        subfolder: of the sweep's folder.
    """

    plain: dict[str, Any]
    asked: str
    resolved: str
    hydra: str
    subfolder: str


@dataclass(frozen=True)
class Structure:
    """What jobs share that choose the same files and set the same keys.

    Attributes:
        composed: the first such job's config, with its `hydra` node.
        marked: None where a config needs Hydra to be resolved.
    """

    composed: DictConfig
    marked: Marked | None


@dataclass(frozen=True)
class Parsed:
    """One job's overrides: what makes the structure, and the numbers put into it."""

    structure: tuple[str, ...]
    leaves: tuple[tuple[str, Scalar], ...]


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
        """Tell the numbers among a job's overrides from what chooses files, adds, deletes, or sets more than one."""
        structure, leaves = [], []
        for override in map(self._parse, overrides):
            value = override.value() if override.type is OverrideType.CHANGE else None
            if self._is_leaf(override, value):
                leaves.append((override.key_or_group, value))
            else:
                structure.append(str(override.input_line))
        keys = [key for key, _ in leaves]
        if len(set(keys)) < len(keys):  # the last one counts, as Hydra has it
            return Parsed(tuple(overrides), ())
        return Parsed(tuple(structure), tuple(leaves))  # type: ignore[arg-type]

    @lru_cache(maxsize=65536)  # noqa: B019  # a composer lives as long as its sweep
    def _parse(self, override: str) -> Override:
        return self.parser.parse_override(override)

    def _is_leaf(self, override: Override, value: Any) -> bool:
        key = override.key_or_group
        return (
            override.type is OverrideType.CHANGE
            and override.package is None
            and not key.startswith("hydra")
            and isinstance(value, str | int | float | bool)
            and not (isinstance(value, str) and ("${" in value or value == "???" or MARK.search(value)))
            and ("." in key or not self._group_exists(key))
        )

    @lru_cache(maxsize=1024)  # noqa: B019
    def _group_exists(self, key: str) -> bool:
        return bool(self.loader.get_group_options(key))

    def structure(self, overrides: Sequence[str]) -> tuple[Structure, Parsed]:
        """The structure of a job, composed if it is the first of its kind."""
        parsed = self.parse(overrides)
        key = (parsed.structure, tuple(key for key, _ in parsed.leaves))
        if key not in self.structures:
            composed = self.loader.load_sweep_config(self.master, list(overrides))
            self.structures[key] = _marked(composed, parsed)
        return self.structures[key], parsed

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """One job's whole config."""
        found, parsed = self.structure(overrides)
        config = deepcopy(found.composed)
        for key, value in parsed.leaves:
            OmegaConf.update(config, key, value, merge=True)
        task = [o for o in overrides if not o.startswith("hydra.")]
        with open_dict(config.hydra):
            config.hydra.overrides.task = task
            config.hydra.job.override_dirname = self._dirname(config, task)
        OmegaConf.copy_cache(from_config=self.master, to_config=config)
        return config

    def plan(self, overrides: Sequence[str], number: int) -> Planned | None:
        """What Hydra would write for a job before it starts; None where only Hydra can say."""
        own = [o for o in overrides if not o.startswith(SUBDIR)]  # of a job that is gone on with
        found, parsed = self.structure(own)
        if found.marked is None:
            return None
        task = [o for o in overrides if not o.startswith("hydra.")]
        marked, values = found.marked, [value for _, value in parsed.leaves]
        values += own_values(number, self._dirname(found.composed, task), task)
        subfolder = str(filled(marked.subfolder, values))
        for override in overrides:
            subfolder = override.removeprefix(SUBDIR) if override.startswith(SUBDIR) else subfolder
        values.append(str((Path(str(found.composed.hydra.sweep.dir)) / subfolder).absolute()))
        texts = Texts(
            filled_text(marked.asked, values, asked_scalar),
            "".join(f"- {asked_scalar(override)}\n" for override in task) or "[]\n",
            filled_text(marked.hydra, values, asked_scalar),
            filled_text(marked.resolved, values, plain_scalar),
        )
        own = [o for o in task if not o.startswith("sweep.")]  # as training.entry has it
        return Planned(filled(marked.plain, values), own, subfolder, texts)

    def _dirname(self, config: DictConfig, task: Sequence[str]) -> str:
        style = config.hydra.job.config.override_dirname
        return dirname([self._parse(o) for o in task], style.kv_sep, style.item_sep, list(style.exclude_keys))


def dirname(overrides: Sequence[Override], kv_sep: str, item_sep: str, exclude: Sequence[str]) -> str:
    """``${hydra.job.override_dirname}``."""
    from hydra._internal.config_loader_impl import get_overrides_dirname

    return get_overrides_dirname(list(overrides), kv_sep=kv_sep, item_sep=item_sep, exclude_keys=list(exclude))


class Checker:
    """Stands for Hydra's loader where sweepers compose every job's config only to see whether it can be."""

    def __init__(self, loader: ConfigLoader, composer: Composer) -> None:
        self.loader, self.composer = loader, composer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """A config of this job's structure; an error if there is none."""
        return self.composer.structure(sweep_overrides)[0].composed


def own_values(number: int, dirname: str, task: Sequence[str]) -> list[Scalar]:
    """What Hydra says of one job beside its config: its number, its id, its overrides' name, and its overrides."""
    return [number, str(number), dirname, *task]


def _marked(composed: DictConfig, parsed: Parsed) -> Structure:
    """Put marks where values go, and see that putting the first job's back gives what there was."""
    marks, values = map(MARKED.format, count()), [value for _, value in parsed.leaves]
    config = deepcopy(composed)
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(task, False)
    try:
        asked, resolved = OmegaConf.to_yaml(task), OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
        for key, _ in parsed.leaves:
            OmegaConf.update(task, key, next(marks), merge=True)
        plain = OmegaConf.to_container(task, resolve=True)
        hydra = OmegaConf.to_container(config.hydra, resolve=False, enum_to_str=True)
        assert isinstance(plain, dict)
        assert isinstance(hydra, dict)
        overrides = list(hydra["overrides"]["task"])
        values += own_values(0, hydra["job"]["override_dirname"], overrides)
        hydra["job"] |= {"num": 0, "id": "0"}
        hydra["runtime"]["output_dir"] = "here"
        said = OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra}))
        hydra["job"] |= {"num": next(marks), "id": next(marks), "override_dirname": next(marks)}
        hydra["overrides"]["task"] = [next(marks) for _ in overrides]
        task["hydra"] = hydra
        subfolder = str(task.hydra.sweep.subdir)
    except OmegaConfBaseException:
        return Structure(composed, None)
    hydra["runtime"]["output_dir"] = next(marks)
    marked = Marked(
        {str(k): v for k, v in plain.items()},
        OmegaConf.to_yaml(OmegaConf.masked_copy(task, [str(key) for key in task if key != "hydra"])),
        yaml.safe_dump(plain, sort_keys=False),
        OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})),
        subfolder,
    )
    values.append("here")
    same = (
        filled(marked.plain, values) == resolved
        and filled_text(marked.asked, values, asked_scalar) == asked
        and filled_text(marked.resolved, values, plain_scalar) == yaml.safe_dump(resolved, sort_keys=False)
        and filled_text(marked.hydra, values, asked_scalar) == said
    )
    return Structure(composed, marked if same else None)


def filled(marked: Any, values: Sequence[Scalar]) -> Any:
    """A copy of plain data with the marks' values in their places."""
    if isinstance(marked, dict):
        return {key: filled(value, values) for key, value in marked.items()}
    if isinstance(marked, list):
        return [filled(value, values) for value in marked]
    if isinstance(marked, str) and "steepest_value_" in marked:
        mark = MARK.fullmatch(marked)
        if mark:
            return values[int(mark[1])]
        return MARK.sub(lambda m: str(values[int(m[1])]), marked)
    return marked


def filled_text(marked: str, values: Sequence[Scalar], written: Callable[[Scalar], str]) -> str:
    """A text with the marks' values, `written`, in their places."""
    return MARK.sub(lambda mark: written(values[int(mark[1])]), marked)


def asked_scalar(value: Scalar) -> str:
    """A value as Hydra writes it."""
    return _asked_scalar(value, type(value).__name__)


@lru_cache(maxsize=65536)
def _asked_scalar(value: Scalar, kind: str) -> str:  # 1, 1.0 and True are equal, but not written alike
    return OmegaConf.to_yaml(OmegaConf.create({"k": value}))[3:-1]


def plain_scalar(value: Scalar) -> str:
    """A value as `yaml.safe_dump` writes it."""
    return _plain_scalar(value, type(value).__name__)


@lru_cache(maxsize=65536)
def _plain_scalar(value: Scalar, kind: str) -> str:
    return yaml.safe_dump({"k": value}, sort_keys=False)[3:-1]
