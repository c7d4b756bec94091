"""Error messages for users, and exit codes. No torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from steepest.data.faults import did_you_mean
from steepest.runs.environment import masked

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes
TRACEBACK = "STEEPEST_TRACEBACK"  # the user's HYDRA_FULL_ERROR, which `entry.command` overwrites


_at_the_end: list[int] = []  # exit codes


def fail_at_the_end(code: int) -> None:
    """End this process with this exit code when `run_program` returns, after Hydra has called its other callbacks."""
    _at_the_end.append(code)


def run_program(program: Callable[[], Any]) -> None:
    """Run a command. A user's error prints one message and exits with code 2; Ctrl-C exits with code 130."""
    try:
        program()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        say_or_raise(error)
    if _at_the_end:
        sys.exit(max(_at_the_end))


def say_or_raise(error: Exception) -> NoReturn:
    """Print a user's error and exit with code 2; raise any other error, and every error if ``HYDRA_FULL_ERROR=1``."""
    message = explain(error)
    if message is None or os.environ.get(TRACEBACK, "0") not in ("0", ""):
        raise error
    sys.stderr.write(f"{masked(message)}\n")
    sys.exit(BAD_INPUT)


def explain(error: BaseException) -> str | None:
    """The message for the user; None if the user cannot fix the error."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    for link in reversed(chain):
        if isinstance(link, ConfigKeyError | ConfigAttributeError) and link.full_key:
            return _unknown_key(link)
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file and link.options:
            group, _, option = str(link.missing_cfg_file).rpartition("/")
            choices = ", ".join(link.options)
            near = did_you_mean(option, link.options) or "."
            return f"{group}={option}: there is no such choice{near} Choose one of {choices}"
    for link in reversed(chain):
        if isinstance(link, ValueError) and not isinstance(link, OmegaConfBaseException | HydraException):
            return str(link)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return "\n".join(dict.fromkeys(str(link).strip() for link in chain))
    if type(error).__name__ == "MisconfigurationException":  # Lightning takes seconds to import
        return f"trainer: {error}" + (
            " Use trainer=cpu, or trainer=auto." if "backend" in str(error) or "accelerator" in str(error) else ""
        )
    return None


def _unknown_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    parent = error.parent_node
    names = [str(k) for k in parent] if isinstance(parent, DictConfig) else []
    key = str(error.key)
    known = f" The keys are {', '.join(n for n in names if not n.startswith('_') and n != 'hydra')}" if names else ""
    return f"unknown key '{error.full_key}'{did_you_mean(key, names) or '.'}{known}"
