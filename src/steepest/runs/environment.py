"""Resolves environment variables in configs, and hides their values in records and messages.

Constructors get the value of `${oc.env:NAME}`. Records, messages and logs show the text `${oc.env:NAME}`. This module
does not import torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import PurePath
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

from steepest.data.faults import printable

SHORTEST = 4  # shorter values are not hidden, because they occur in many strings
DISTINCTIVE = 8  # values of at least this length are hidden within words, too
_read: dict[str, str] = {}  # name -> value of the variables that configs have read in this process
_hidden: list[bool] = []  # not empty while the resolver must return the text `${oc.env:NAME}`
_NONE = object()
_NAMED = re.compile(r"\$\{oc\.env:(\w+)\}")


def _variable(name: str, default: Any = _NONE) -> Any:
    """Resolve `oc.env`."""
    if name in os.environ:
        if _hidden:
            return f"${{oc.env:{name}}}"
        _read[name] = os.environ[name]
    return oc.env(name) if default is _NONE else oc.env(name, default)


OmegaConf.register_new_resolver("oc.env", _variable, replace=True)


def resolved(config: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a config as plain data twice: with the values of the variables, and with their names for display.

    Raises:
        OmegaConfBaseException: if a value is missing or cannot be resolved.
    """
    used = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(used, dict)
    plain = {str(key): value for key, value in used.items()}
    if not _read:
        return plain, plain
    with _kept_as_text():
        text = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return plain, _shown(plain, text)


def digests(text: str) -> dict[str, str]:
    """Return a salted digest of the value of each variable in the text. The keys are the names of the variables."""
    return {name: _digest(name, os.urandom(8).hex()) for name in sorted(set(_NAMED.findall(text)))}


def changed_variables(before: dict[str, str]) -> list[str]:
    """Return the names of variables whose values differ from those of earlier `digests`."""
    return [name for name, digest in before.items() if _digest(name, digest.partition(":")[0]) != digest]


def _digest(name: str, salt: str) -> str:
    value = os.environ.get(name, "").encode()
    # A slow hash: someone who has the checkpoint cannot try many values.
    return f"{salt}:{hashlib.scrypt(value, salt=salt.encode(), n=2**14, r=8, p=1, dklen=16).hex()}"


def masked(text: str) -> str:
    """Replace the values of environment variables that configs have read, also in file names, by their names."""
    forms: dict[str, str] = {}
    for name, value in _read.items():
        for form in (value, PurePath(value).name) if "/" in value else (value,):
            for written in (form, json.dumps(form)[1:-1], escape(form), repr(form)[1:-1]):
                forms[written] = f"${{oc.env:{name}}}"
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= SHORTEST:
            # A short value, such as `beta`, is hidden in `alpha/beta`, but not in `alphabetical`.
            whole = len(form) < DISTINCTIVE
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)" if whole else re.escape(form), forms[form], text)
    return text


def masked_data(value: Any) -> Any:
    """Apply `masked` to all strings in plain data."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_data(one) for key, one in value.items()}
    return [masked_data(one) for one in value] if isinstance(value, list) else value


class MaskedFormatter(logging.Formatter):
    """Formats log records and tracebacks: masks values of environment variables, and escapes control characters.

    Loggers keep their names.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return a record's line."""
        record.message = printable(masked(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """Return a traceback."""
        return printable(masked(super().formatException(ei)))


@contextmanager
def _kept_as_text() -> Iterator[None]:
    _hidden.append(True)
    try:
        yield
    finally:
        _hidden.pop()


def _shown(used: Any, text: Any) -> Any:
    """Return a config for display: its values, with ${oc.env:NAME} in place of values from variables."""
    if isinstance(used, dict) and isinstance(text, dict):
        return {key: _shown(value, text.get(key)) for key, value in used.items()}
    if isinstance(used, list) and isinstance(text, list) and len(used) == len(text):
        return [_shown(one, other) for one, other in zip(used, text, strict=True)]
    return text if isinstance(text, str) and "${oc.env:" in text else used
