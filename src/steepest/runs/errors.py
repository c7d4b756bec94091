"""Turns errors into messages for users and exit codes. This module does not import torch."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from steepest.data.faults import did_you_mean, printable
from steepest.runs.choices import suggestion
from steepest.runs.environment import masked
from steepest.runs.own_code import place_in, place_of

FAILED, BAD_INPUT, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141  # exit codes
TRACEBACK = "STEEPEST_TRACEBACK"  # the user's HYDRA_FULL_ERROR, which `entry.command` overwrites
# Parts of source file paths that identify a package.
HYDRA, OPTIMIZERS, LIGHTNING = ("/hydra/", "/omegaconf/"), ("/torch/optim/",), ("/lightning/pytorch/",)
OWN = f"{Path(__file__).parents[1].as_posix()}/"
SHOW = "HYDRA_FULL_ERROR=1 before the command shows the traceback."
LOGGERS = {  # package -> what the user can do
    "wandb": "without an account, set WANDB_MODE=offline before the command, or use another logger",
    "mlflow": "check logger.mlflow.tracking_uri and MLFLOW_TRACKING_URI, or use another logger",
}
LONGEST_WORD = 300  # maximum number of characters without a space in a message
MOST_COMMAS = 3000  # maximum number of commas in one word of a command
LONGEST_PATH = 4096  # maximum number of characters of a path on Linux
FIXES = {  # errors of the operating system -> what the user can do
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some space, or choose a folder on another disk",
    errno.EFBIG: "raise the limit (ulimit -f), or choose a folder on another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EACCES: "change its permissions, or choose another folder",
    errno.EPERM: "change its permissions, or choose another folder",
    errno.EROFS: "choose a folder that can be written",
    errno.EMFILE: "raise the limit (ulimit -n), or run fewer jobs at a time",
    errno.ENOENT: "restore it, or choose another folder",
    errno.EIO: "check the disk",
}
OUT_OF_MEMORY = ("can't allocate memory", "out of memory")  # in PyTorch's messages


_at_the_end: list[int] = []  # exit codes


def fail_at_the_end(code: int) -> None:
    """End this process with this exit code when `run_program` returns, after Hydra has called its other callbacks."""
    _at_the_end.append(code)


def run_program(program: Callable[[], Any]) -> None:
    """Run a command. A user's error prints one message and exits with code 2; Ctrl-C exits with code 130."""
    try:
        _check_lengths(sys.argv[1:])
        program()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        say_or_raise(error)
    if _at_the_end:
        sys.exit(max(_at_the_end))


def _check_lengths(words: list[str]) -> None:
    """Raise `ValueError` for a long list: Hydra parses each word of a command several times, and slowly."""
    for word in words:
        if (count := word.count(",")) > MOST_COMMAS:
            raise ValueError(
                f"{word[:40]}... has {count:,} commas, and the limit is {MOST_COMMAS:,}: write the list into a file, "
                "such as conf/experiment/mine.yaml; in a sweep, use range(...)"
            )


def say_or_raise(error: Exception) -> NoReturn:
    """Print an error that the user can fix, and exit. Raise other errors, or all with ``HYDRA_FULL_ERROR=1``."""
    if isinstance(error, BrokenPipeError):  # the reader, such as head, wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not written at exit
        sys.exit(PIPE_CLOSED)
    message = explain(error)
    if message is None or os.environ.get(TRACEBACK, "0") not in ("0", ""):
        raise error
    sys.stderr.write(f"{message}\n{SHOW}\n" if _in_own_code(error) else f"{message}\n")
    sys.exit(exit_code(error))


def exit_code(error: BaseException) -> int:
    """Return 2 for an error in the user's input, and 1 if the disk, the memory or a program failed.

    The user's own code can refuse input, too: it raises a `ValueError`.
    """
    return FAILED if _message(error) is None or _of_the_machine(error) or _in_own_code(error) else BAD_INPUT


def explain(error: BaseException) -> str | None:
    """Return a message that is safe to print, or None if the user cannot fix the error."""
    message = _message(error)
    if message is None:
        return None
    return printable(re.sub(rf"\S{{{LONGEST_WORD},}}", _shortened, masked(message)))


def _shortened(word: re.Match[str]) -> str:
    """Shorten a long word, unless it can be a path, which a user must be able to copy."""
    return word[0] if "/" in word[0] and len(word[0]) <= LONGEST_PATH else f"{word[0][: LONGEST_WORD // 2]}..."


def described(error: BaseException) -> str:
    """Return the reason of a failure for the run's record."""
    return explain(error) or masked(f"{type(error).__name__}: {error}")


def _of_the_machine(error: BaseException) -> str | None:
    """Return the message for an error of the disk or the memory, or None for another error."""
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{os.strerror(error.errno)}: {FIXES.get(error.errno, 'remove it, or choose another folder')}"
    if isinstance(error, MemoryError) or any(said in str(error) for said in OUT_OF_MEMORY):
        return "there is not enough memory: lower data.batch_size or model.hidden, or use fewer rows"
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error, its cause, the cause's cause, and so on."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    return chain


def _in_own_code(error: BaseException) -> str | None:
    """Return the message for an error in the user's own code that does not say that the input is bad, or None."""
    chain = _chain(error)
    if any(isinstance(link, ValueError | HydraException | OmegaConfBaseException) for link in chain):
        return None
    if (place := place_in(chain)) is None or "closure hasn't been executed" in str(error):
        return None
    return f"{place.function} failed: {type(error).__name__}: {error} ({place.line})"


def _refused(link: ValueError, chain: list[BaseException]) -> str:
    """Return the message of a `ValueError`, and where it comes from if that is the user's own code."""
    if place := place_of(link):
        return f"{place.function}: {type(link).__name__}: {link} ({place.line})"
    place = place_in(chain)
    return str(link) if place is None or place.line in str(link) else f"{link} ({place.line}, in {place.function})"


def _message(error: BaseException) -> str | None:
    if (message := _of_the_machine(error) or _in_own_code(error)) is not None:
        return message
    chain = _chain(error)
    for link in reversed(chain):
        if isinstance(link, ConfigKeyError | ConfigAttributeError) and link.full_key:
            return _unknown_key(link)
    for link in chain:
        if isinstance(link, MissingMandatoryValue) and link.full_key:
            return _missing(str(link.full_key))
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file and link.options:
            group, _, option = str(link.missing_cfg_file).rpartition("/")
            choices = ", ".join(link.options)
            near = did_you_mean(option, link.options) or "."
            if group == "data" and "." in option:
                near = f"; for a file: data=csv data.path={option}."
            return f"{group}={option}: there is no such choice{near} Choose one of {choices}"
    if "Config group override must be a string or a list" in str(chain[-1]):
        return "a group needs a choice: instead of null, write none, as in callbacks=none"
    for link in chain:
        if isinstance(link, ValueError) and not isinstance(link, OmegaConfBaseException | HydraException):
            return _refused(link, chain)
    if found := re.match(r"Ambiguous value for argument '(.*?)'\n", str(error), re.DOTALL):  # Hydra's message
        return (
            f"{found[1]}: a comma separates several values: write a decimal point, as in 0.01, write a list, as in "
            "[64,64], or add -m for a sweep; quote a value that contains a comma, as in \"KEY='a,b'\""
        )
    if isinstance(parsing := error.__cause__ or error, OverrideParseException):
        word = str(parsing.override)
        if "=" not in word:
            return f"{word}: write KEY=VALUE, such as model=mlp; quote a value with spaces, as in \"KEY='a b'\""
        key, _, value = word.partition("=")
        quoted = f"{key}='VALUE'" if set(value) & set("'\\\"[]{}") else f"{key}='{value}'"
        return f'{word}: the value is incomplete or has a special character: quote it, as in "{quoted}"'
    if isinstance(error, HydraException | OmegaConfBaseException):
        return "\n".join(dict.fromkeys(str(link).strip() for link in chain))
    if _raised_by(error, HYDRA):
        return (
            f"Hydra cannot use this config ({type(error).__name__}: {error}): check the choices and the hydra.* "
            "settings; a choice is a name, as in model=mlp or callbacks=[default,noise]"
        )
    if "closure hasn't been executed" in str(error):
        return (
            "optimizer: its step(closure) does not call the closure, which computes the gradients: start it with "
            "`loss = closure()`, inside `torch.enable_grad()`"
        )
    if type(error).__name__ == "MisconfigurationException":  # Lightning takes seconds to import
        return f"trainer: {error}" + (
            " Use trainer=cpu, or trainer=auto." if "backend" in str(error) or "accelerator" in str(error) else ""
        )
    for package, fix in LOGGERS.items():
        if _raised_by(error, (f"/{package}/",)):
            return f"logger={package}: {str(error).rstrip('.')}: {fix}"
    if isinstance(error, ImportError) and _raised_by(error, LIGHTNING):
        return f"{error}: install the missing package, or leave out the option that needs it"
    if _raised_by(error, OPTIMIZERS) and not _in_a_training_step(error):
        return f"optimizer: {error}: change its options"
    return None


def _in_a_training_step(error: BaseException) -> bool:
    """Return whether an optimizer only called the code that raised the error: the closure that computes the loss."""
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return "closure" in names or "training_step" in names


def _raised_by(error: BaseException, packages: tuple[str, ...]) -> bool:
    """Return whether a function of one of these packages raised the error itself.

    Some packages check an option only when they use it, or check it with `assert`.
    """
    files = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(error.__traceback__)]
    known = [file for file in files if any(package in file for package in (*packages, OWN))]
    return bool(known) and OWN not in known[-1]


def _unknown_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    parent: Any = error.parent_node
    plain: Any = OmegaConf.to_container(parent, resolve=False) if isinstance(parent, DictConfig) else {}
    names = [str(name) for name in plain if not str(name).startswith("_") and name != "hydra"]
    known = f" The keys are {', '.join(names)}" if names else ""
    hint = suggestion(str(error.full_key), plain)
    elsewhere = hint and not hint.startswith("; did you mean")
    return f"unknown key '{error.full_key}'{'.' if elsewhere else hint or '.'}{known}{hint if elsewhere else ''}"


def _missing(key: str) -> str:
    """Return the message for a key without a value. The launcher and the sweeper are choices of groups."""
    group = key.replace(".", "/")
    choice = f"choose one, such as {group}=basic" if key in ("hydra.launcher", "hydra.sweeper") else f"add {key}=..."
    return f"{key} is missing: {choice}"
