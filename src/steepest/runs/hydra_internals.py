"""All uses of Hydra's private interfaces.

Each use says why it is needed. `tests/runs/test_hydra_internals.py` tests each one, and fails with a clear message if
an upgrade of Hydra breaks it. This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.utils import get_args_parser
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_visitor import HydraOverrideVisitor
from hydra.core.override_parser.types import ChoiceSweep, Override, ValueType
from hydra.grammar.gen.OverrideParser import OverrideParser
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

# Checks the content of a config file. The arguments are the file, its content as plain data, whether the content is at
# the usual place of its group, and the packages that the command line trusts.
FileCheck = Callable[[Path | None, Any, bool, Sequence[str]], None]
ConfigCheck = Callable[[DictConfig], None]  # checks a composed config
OverridesCheck = Callable[[Sequence[Override]], None]  # checks the overrides of a command line


def check_every_config(check_overrides: OverridesCheck, check_file: FileCheck, check: ConfigCheck) -> None:
    """Check the overrides, each file that Hydra reads and each config that it composes, before Hydra uses them.

    Hydra has no hook for this. It builds its callbacks, sweeper and launcher as soon as it has composed a config. It
    uses `hydra.searchpath` of the primary config even earlier, and this may import a package.
    """
    compose, read = ConfigLoaderImpl.load_configuration, ConfigLoaderImpl._load_single_config
    search = ConfigLoaderImpl._process_config_searchpath
    if hasattr(compose, "__wrapped__"):
        return
    trusted: list[str] = []  # the packages that the current command line trusts

    @wraps(search)
    def process_config_searchpath(
        self: ConfigLoaderImpl, config_name: str | None, parsed_overrides: list[Override], repo: CachingConfigRepository
    ) -> None:
        check_overrides(parsed_overrides)
        typed = [override.value() for override in parsed_overrides if override.key_or_group == "trust"]
        trusted[:] = [str(package) for packages in typed if isinstance(packages, list) for package in packages]
        primary = repo.load_config(config_path=config_name) if config_name else None
        if primary is not None:
            check_file(_file(primary, str(config_name)), _plain(primary.config), True, trusted)
        search(self, config_name, parsed_overrides, repo)

    @wraps(compose)
    def load_configuration(self: ConfigLoaderImpl, *arguments: Any, **named: Any) -> DictConfig:
        config = compose(self, *arguments, **named)
        _hide_copied_environment(config)
        check(config)
        return config

    @wraps(read)
    def load_single_config(self: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        found, path = read(self, default, repo), str(default.config_path)
        raw = repo.load_config(config_path=path)
        group, at = path.rpartition("/")[0].replace("/", "."), default.package or ""
        header = "" if raw is None else str(raw.header["package"] or "").removeprefix("_global_").lstrip(".")
        check_file(_file(found, path), _plain(found.config), at in ("", group, header), trusted)
        return found

    ConfigLoaderImpl._process_config_searchpath = process_config_searchpath  # type: ignore[method-assign]
    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign]
    ConfigLoaderImpl._load_single_config = load_single_config  # type: ignore[method-assign]


@contextmanager
def unpatched() -> Iterator[None]:
    """Undo `check_every_config` at the end, if it is called inside: the process may be another Hydra app."""
    names = ("load_configuration", "_load_single_config", "_process_config_searchpath")
    before = {name: ConfigLoaderImpl.__dict__[name] for name in names}
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(ConfigLoaderImpl, name, method)


def _file(found: ConfigResult, path: str) -> Path | None:
    """Return the file of a config, or None if the config is part of an installed package."""
    scheme, _, folder = found.path.partition("://")
    return Path(folder, f"{path.removesuffix('.yaml')}.yaml").resolve() if scheme == "file" else None


def _plain(config: Any) -> Any:
    return OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config


def _hide_copied_environment(config: DictConfig) -> None:
    """Replace the values of `hydra.job.env_copy` with references: Hydra would save the values in .hydra/hydra.yaml."""
    for name in config.hydra.job.env_copy:
        config.hydra.job.env_set[name] = f"${{oc.env:{name}}}"


def raise_errors_of_callbacks() -> None:
    """Make errors of Hydra's callbacks end the command. By default, Hydra only prints a warning and continues."""

    def _notify(self: Callbacks, function_name: str, reverse: bool = False, **named: Any) -> None:
        for callback in reversed(self.callbacks) if reverse else self.callbacks:
            getattr(callback, function_name)(**named)

    Callbacks._notify = _notify  # type: ignore[method-assign]


def parse_lists_once() -> None:
    """Visit each element of a list in an override once.

    Hydra searches for each element from the start of the list, so it needs minutes for a list of 20,000 numbers.
    """

    def visit_list(self: HydraOverrideVisitor, ctx: OverrideParser.ListContainerContext) -> list[Any]:
        return [self.visitElement(element) for element in ctx.element()]

    HydraOverrideVisitor.visitListContainer = visit_list  # type: ignore[method-assign]


def begin_sweeps_with_the_first_choice(groups: Sequence[str]) -> None:
    """Compose the config of a sweep over one of these groups with its first choice.

    Hydra leaves out everything that is swept. It composes the config of ``model=mlp,mlp_manual model.hidden=[64]`` with
    the model of the defaults, which has no `hidden`, and refuses the sweep.
    """
    create = config_loader_impl.create_defaults_list
    if hasattr(create, "__wrapped__"):
        return

    @wraps(create)
    def create_defaults_list(*, overrides_list: list[Override], **named: Any) -> Any:
        return create(overrides_list=[_first_choice(override, groups) for override in overrides_list], **named)

    config_loader_impl.create_defaults_list = create_defaults_list  # type: ignore[assignment]


def _first_choice(override: Override, groups: Sequence[str]) -> Override:
    over: Any = override.value()
    if override.key_or_group not in groups or not isinstance(over, ChoiceSweep):
        return override
    return replace(override, value_type=ValueType.ELEMENT, _value=over.list[0])


def override_dirname(overrides: Sequence[Override], kv_sep: str, item_sep: str, exclude: Sequence[str]) -> str:
    """``${hydra.job.override_dirname}`` of these overrides: Hydra computes it only for configs that it composes."""
    return get_overrides_dirname(list(overrides), kv_sep=kv_sep, item_sep=item_sep, exclude_keys=list(exclude))


def completions(config_name: str, words: Sequence[str]) -> list[str]:
    """Return the words that can replace the last of these overrides, which is incomplete. Hydra must be initialized.

    Hydra offers this only to its own shell scripts, which do not know commands with subcommands.
    """
    loader = GlobalHydra.instance().config_loader()
    return [str(word) for word in BashCompletion(loader)._query(config_name, " ".join(words))]


def config_flags(arguments: Sequence[str]) -> list[str]:
    """The flags of a command line that choose its config, for another command that must read the same one."""
    given = get_args_parser().parse_args(list(arguments))
    named = {
        "--config-name": given.config_name,
        "--config-path": given.config_path,
        "--config-dir": given.config_dir,
    }
    return [word for flag, value in named.items() if value for word in (flag, value)]
