"""What a user reads when something is wrong, and the exit codes. No torch."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from steepest.data.faults import did_you_mean

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes
TRACEBACK = "STEEPEST_TRACEBACK"  # what the user set HYDRA_FULL_ERROR to: it is set for Hydra's sake


def say_or_raise(error: Exception) -> NoReturn:
    """End with a user's error in one message, exit code 2; raise what is not one, or with ``HYDRA_FULL_ERROR=1``."""
    message = explain(error)
    if message is None or os.environ.get(TRACEBACK, "0") not in ("0", ""):
        raise error
    sys.stderr.write(f"{message}\n")
    sys.exit(BAD_INPUT)


_at_the_end: list[int] = []  # exit codes


def fail_at_the_end(code: int) -> None:
    """Let this process end with this exit code once Hydra is done, after its other callbacks."""
    _at_the_end.append(code)


def exit_if_failed() -> None:
    """End with the greatest exit code that `fail_at_the_end` was given, if any was."""
    if _at_the_end:
        sys.exit(max(_at_the_end))


def explain(error: BaseException) -> str | None:
    """The message a user needs for this error; None for what the user cannot fix."""
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
            return f"{group}={option}: there is no such choice{near} Choose among {choices}"
    for link in reversed(chain):
        if isinstance(link, ValueError) and not isinstance(link, OmegaConfBaseException | HydraException):
            return str(link)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return "\n".join(dict.fromkeys(str(link).strip() for link in chain))
    if type(error).__name__ == "MisconfigurationException":  # Lightning's; importing it here would cost seconds
        return f"trainer: {error}" + (
            " Use trainer=cpu, or trainer=auto." if "backend" in str(error) or "accelerator" in str(error) else ""
        )
    return None


def _unknown_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    parent = error.parent_node
    names = [str(k) for k in parent] if isinstance(parent, DictConfig) else []
    key = str(error.key)
    of = f" It has {', '.join(n for n in names if not n.startswith('_') and n != 'hydra')}" if names else ""
    return f"unknown key '{error.full_key}'{did_you_mean(key, names) or '.'}{of}"
