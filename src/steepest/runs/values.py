"""Checks config values against the annotations of their constructor. This module does not import torch."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from steepest.data.faults import Faults
from steepest.runs.specs import TRAINER, TrainerOptions

MAX_SHOWN = 80  # maximum number of characters of a value in a message


@cache  # because a sweep checks many configs
def signature(target: Callable[..., Any]) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """Return a constructor's parameters and annotations."""
    subject = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(subject, include_extras=True)
    except NameError:  # a trusted package may import a type only for type checkers
        hints = {}
    if f"{target.__module__}.{target.__qualname__}" == TRAINER:  # the Trainer has more options than its spec
        hints |= signature(TrainerOptions)[1]
    return inspect.signature(target).parameters, hints


@cache
def adapter(target: Callable[..., Any], name: str) -> TypeAdapter:
    """Return the validator for a constructor's annotation."""
    return TypeAdapter(signature(target)[1][name], config=ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False))


def checked_value(key: str, value: Any, validator: TypeAdapter, faults: Faults) -> Any:
    """Convert a value to its annotated type. If it does not fit, add a fault and return it unchanged."""
    try:
        checked = validator.validate_python(value)
    except ValidationError as error:
        faults.add(f"{key}={shown(value)} should be {' or '.join(dict.fromkeys(map(_wanted, error.errors())))}")
        return value
    if isinstance(value, bool) and not isinstance(checked, bool):  # pydantic converts true to 1
        faults.add(f"{key}={value} should be a number")
    return checked


def _wanted(error: Any) -> str:
    """Describe the values that pydantic accepts."""
    if error["type"] == "sequence_str" or error.get("ctx", {}).get("class") == "Sequence":
        example = error["input"] if isinstance(error["input"], int | float | str) else ""
        return f"a list, such as [{example}]"
    return str(error["msg"]).removeprefix("Input should be ")


def shown(value: Any) -> str:
    """Format a value for a message."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
