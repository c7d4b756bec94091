"""Environment variables in configs: used where a config names them, and shown nowhere. No torch.

`${oc.env:NAME}` is resolved for the constructors. Records keep the text `${oc.env:NAME}`, and messages and logs show it
in place of the value.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import PurePath
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

SHORTEST = 4  # characters of a value that is hidden in messages; shorter ones are in many words
_read: dict[str, str] = {}  # the variables that configs have read in this process -> their values
_hidden: list[bool] = []  # not empty while variables are kept as text
_NONE = object()


def _variable(name: str, default: Any = _NONE) -> Any:
    """The resolver `oc.env`."""
    if name in os.environ:
        if _hidden:
            return f"${{oc.env:{name}}}"
        _read[name] = os.environ[name]
    return oc.env(name) if default is _NONE else oc.env(name, default)


OmegaConf.register_new_resolver("oc.env", _variable, replace=True)


def resolved(config: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config as plain data: to be used, and to be shown.

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


def masked(text: str) -> str:
    """A text without the values of environment variables that a config has read, and without their file names."""
    forms: dict[str, str] = {}
    for name, value in _read.items():
        for form in (value, PurePath(value).name):
            for written in (form, json.dumps(form)[1:-1], escape(form), repr(form)[1:-1]):
                forms[written] = f"${{oc.env:{name}}}"
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= SHORTEST:
            text = text.replace(form, forms[form])
    return text


def masked_data(value: Any) -> Any:
    """Plain data with all texts `masked`."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_data(one) for key, one in value.items()}
    return [masked_data(one) for one in value] if isinstance(value, list) else value


class MaskedFormatter(logging.Formatter):
    """Formats the lines of a log, tracebacks included, without these values."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        return masked(super().format(record))


@contextmanager
def _kept_as_text() -> Iterator[None]:
    _hidden.append(True)
    try:
        yield
    finally:
        _hidden.pop()


def _shown(used: Any, text: Any) -> Any:
    """The values, with the text where it names a variable."""
    if isinstance(used, dict) and isinstance(text, dict):
        return {key: _shown(value, text.get(key)) for key, value in used.items()}
    if isinstance(used, list) and isinstance(text, list) and len(used) == len(text):
        return [_shown(one, other) for one, other in zip(used, text, strict=True)]
    return text if isinstance(text, str) and "${oc.env:" in text else used
