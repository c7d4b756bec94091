"""All uses of Hydra's private interfaces.

Each use says why it is needed. `tests/runs/test_hydra_internals.py` tests each one, and fails with a clear message if
an upgrade of Hydra breaks it. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

CORE_PLUGINS = "hydra._internal.core_plugins."  # the package of Hydra's launchers and sweepers


# Checks a composed config; its arguments are the config, the loader, the config's name and the overrides.
ConfigCheck = Callable[[DictConfig, ConfigLoader, str | None, list[str]], None]


def check_every_config(check: ConfigCheck) -> None:
    """Call `check` for every config that Hydra composes in this process, before Hydra calls what the config names.

    Hydra has no hook for this: it builds its callbacks, sweeper and launcher as soon as a config is composed.
    """
    compose = ConfigLoaderImpl.load_configuration
    if hasattr(compose, "__wrapped__"):
        return

    @wraps(compose)
    def load_configuration(self: ConfigLoaderImpl, config_name: str | None, overrides: list[str], **how: Any) -> Any:
        config = compose(self, config_name, overrides, **how)
        check(config, self, config_name, overrides)
        return config

    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign, assignment]


def raise_errors_of_callbacks() -> None:
    """Make errors of Hydra's callbacks end the command: Hydra only warns, and continues without them."""

    def _notify(self: Callbacks, function_name: str, reverse: bool = False, **named: Any) -> None:
        for callback in reversed(self.callbacks) if reverse else self.callbacks:
            getattr(callback, function_name)(**named)

    Callbacks._notify = _notify  # type: ignore[method-assign]


def primary_config(loader: ConfigLoader, name: str | None) -> DictConfig | None:
    """The config file that a command names, without the files that it includes."""
    assert isinstance(loader, ConfigLoaderImpl)
    primary = loader.repository.load_config(name) if name else None
    return primary.config if primary is not None and isinstance(primary.config, DictConfig) else None


def override_dirname(overrides: Sequence[Override], kv_sep: str, item_sep: str, exclude: Sequence[str]) -> str:
    """``${hydra.job.override_dirname}`` of these overrides: Hydra computes it only for configs that it composes."""
    return get_overrides_dirname(list(overrides), kv_sep=kv_sep, item_sep=item_sep, exclude_keys=list(exclude))


def config_flags(arguments: Sequence[str]) -> list[str]:
    """The flags of a command line that choose its config, for another command that must read the same one."""
    given = get_args_parser().parse_args(list(arguments))
    named = {
        "--config-name": given.config_name,
        "--config-path": given.config_path,
        "--config-dir": given.config_dir,
    }
    return [word for flag, value in named.items() if value for word in (flag, value)]
