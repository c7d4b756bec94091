"""Composing the configs of a sweep's jobs, once for each structure instead of once for each job.

Hydra takes 0.1 to 0.2 seconds to compose a config, and the jobs of a sweep mostly differ in a few numbers. So the
config is composed once for all jobs that choose the same files and set the same keys; each job's numbers are then
filled in. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from steepest.runs.hydra_internals import override_dirname
from steepest.sweep.marks import MARK, MARKED, Scalar, asked_scalar, filled, filled_text, plain_scalar

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


@dataclass(frozen=True)
class Preview:
    """What the sweep's record checks of a job before any job starts.

    Attributes:
        sweep: the sweep's folder, as this job's config has it.
        subfolder: the job's folder, below the sweep's.
        trainer: the job's resolved trainer node; empty if it cannot be resolved.
    """

    sweep: str
    subfolder: str
    trainer: dict[str, Any]


@dataclass(frozen=True)
class Marked:
    """A config with marks where jobs' own values go: first those of their leaves, then those of `own_values`.

    Attributes:
        plain: resolved.
        asked, resolved, hydra: the texts of .hydra/config.yaml, config.yaml and .hydra/hydra.yaml.
        sweep: the sweep's folder.
        subfolder: the job's folder, below the sweep's.
    """

    plain: dict[str, Any]
    asked: str
    resolved: str
    hydra: str
    sweep: str
    subfolder: str


@dataclass(frozen=True)
class Structure:
    """What is common to the jobs that choose the same files and set the same keys.

    Attributes:
        composed: the first such job's config, with its `hydra` node.
        marked: None where a config needs Hydra to be resolved.
    """

    composed: DictConfig
    marked: Marked | None


@dataclass(frozen=True)
class Parsed:
    """One job's overrides: those that make the structure, and the values filled into it."""

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
        """Separate overrides that set one plain value from those that choose files, add, delete, or set several."""
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
        overrides = [o for o in overrides if not o.startswith(SUBDIR)]  # jobs differ in it without another structure
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
            for override in overrides:
                if override.startswith(SUBDIR):
                    config.hydra.sweep.subdir = self._parse(override).value()
        OmegaConf.copy_cache(from_config=self.master, to_config=config)
        return config

    def plan(self, overrides: Sequence[str], number: int) -> Planned | None:
        """What Hydra would write for a job before it starts; None where only Hydra can say."""
        found, parsed = self.structure(overrides)
        if found.marked is None:
            return None
        task = [o for o in overrides if not o.startswith("hydra.")]
        marked, values = found.marked, [value for _, value in parsed.leaves]
        values += own_values(number, self._dirname(found.composed, task), task)
        subfolder = pinned_subfolder(overrides) or str(filled(marked.subfolder, values))
        values.append(str((Path(str(found.composed.hydra.sweep.dir)) / subfolder).absolute()))
        texts = Texts(
            filled_text(marked.asked, values, asked_scalar),
            "".join(f"- {asked_scalar(override)}\n" for override in task) or "[]\n",
            filled_text(marked.hydra, values, asked_scalar),
            filled_text(marked.resolved, values, plain_scalar),
        )
        own = [o for o in task if not o.startswith("sweep.")]  # as `steepest.entry.job` does
        return Planned(filled(marked.plain, values), own, subfolder, texts)

    def preview(self, overrides: Sequence[str], number: int) -> Preview:
        """Where a job's folder would be, and the trainer that it would use.

        Raises:
            ValueError: if the folder cannot be known before the job starts.
        """
        pinned = pinned_subfolder(overrides)
        found, parsed = self.structure(overrides)
        if found.marked is not None:
            task = [o for o in overrides if not o.startswith("hydra.")]
            values = [value for _, value in parsed.leaves]
            values += own_values(number, self._dirname(found.composed, task), task)
            sweep, subfolder = (str(filled(text, values)) for text in (found.marked.sweep, found.marked.subfolder))
            return Preview(sweep, pinned or subfolder, filled(found.marked.plain.get("trainer") or {}, values))
        config = self.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        holder = HydraConfig.instance()
        before = holder.cfg
        try:
            holder.set_config(config)  # ${hydra:...} reads it
            sweep, subfolder = str(config.hydra.sweep.dir), pinned or str(config.hydra.sweep.subdir)
            return Preview(sweep, subfolder, _plain_trainer(config))
        except OmegaConfBaseException as error:
            raise ValueError(
                f"job {number}: hydra.sweep.dir or hydra.sweep.subdir cannot be resolved before the job starts: "
                f"{str(error).splitlines()[0]}"
            ) from error
        finally:
            holder.cfg = before

    def _dirname(self, config: DictConfig, task: Sequence[str]) -> str:
        style = config.hydra.job.config.override_dirname
        return override_dirname([self._parse(o) for o in task], style.kv_sep, style.item_sep, list(style.exclude_keys))


def pinned_subfolder(overrides: Sequence[str]) -> str | None:
    """The job's folder, below the sweep's, if its overrides fix it; the sweep's record does."""
    for override in overrides:
        if override.startswith(SUBDIR):
            value = OverridesParser.create().parse_override(override).value()
            return str(OmegaConf.create({"subdir": value}).subdir)  # resolves an escaped ${
    return None


def _plain_trainer(config: DictConfig) -> dict[str, Any]:
    try:
        plain = OmegaConf.to_container(config.trainer, resolve=True) if "trainer" in config else {}
    except OmegaConfBaseException:  # the job's own error: the job reports it
        return {}
    return {str(key): value for key, value in plain.items()} if isinstance(plain, dict) else {}


class Checker:
    """Replaces Hydra's loader where sweepers compose every job's config only to validate it."""

    def __init__(self, loader: ConfigLoader, composer: Composer) -> None:
        self.loader, self.composer = loader, composer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """A config of this job's structure; raises as Hydra does if the overrides cannot be composed."""
        return self.composer.structure(sweep_overrides)[0].composed


def own_values(number: int, dirname: str, task: Sequence[str]) -> list[Scalar]:
    """Hydra's own values for one job: number, id, ``override_dirname``, and each override."""
    return [number, str(number), dirname, *task]


def _marked(composed: DictConfig, parsed: Parsed) -> Structure:
    """Put marks where values go, and check that filling in the first job's values restores its config."""
    marks, values = map(MARKED.format, count()), [value for _, value in parsed.leaves]
    config = deepcopy(composed)
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(task, False)
    try:
        with open_dict(config.hydra):
            config.hydra.job.num, config.hydra.job.id = 0, "0"
        folders = [str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)]
        OmegaConf.copy_cache(from_config=config, to_config=task)  # ${now:...} keeps its value
        asked, resolved = OmegaConf.to_yaml(task), OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
        for key, _ in parsed.leaves:
            OmegaConf.update(task, key, next(marks), merge=True)
        plain = OmegaConf.to_container(task, resolve=True)
        hydra = OmegaConf.to_container(config.hydra, resolve=False, enum_to_str=True)
        assert isinstance(plain, dict)
        assert isinstance(hydra, dict)
        overrides = list(hydra["overrides"]["task"])
        values += own_values(0, hydra["job"]["override_dirname"], overrides)
        hydra["runtime"]["output_dir"] = "here"
        said = OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra}))
        hydra["job"] |= {"num": next(marks), "id": next(marks), "override_dirname": next(marks)}
        hydra["overrides"]["task"] = [next(marks) for _ in overrides]
        task["hydra"] = hydra
        sweep, subfolder = str(task.hydra.sweep.dir), str(task.hydra.sweep.subdir)
    except OmegaConfBaseException:
        return Structure(composed, None)
    hydra["runtime"]["output_dir"] = next(marks)
    marked = Marked(
        {str(k): v for k, v in plain.items()},
        OmegaConf.to_yaml(OmegaConf.masked_copy(task, [str(key) for key in task if key != "hydra"])),
        yaml.safe_dump(plain, sort_keys=False),
        OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})),
        sweep,
        subfolder,
    )
    values.append("here")
    same = (
        filled(marked.plain, values) == resolved
        and filled_text(marked.asked, values, asked_scalar) == asked
        and filled_text(marked.resolved, values, plain_scalar) == yaml.safe_dump(resolved, sort_keys=False)
        and filled_text(marked.hydra, values, asked_scalar) == said
        and [str(filled(sweep, values)), str(filled(subfolder, values))] == folders  # a resolver may change a mark
    )
    return Structure(composed, marked if same else None)
