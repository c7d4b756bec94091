"""Checks config values against the annotations of their constructor. This module does not import torch."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import InitVar, is_dataclass
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from steepest.data.faults import Faults

WANTED = {  # type of pydantic's error -> the wanted value in this program's words
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_parsing_size": "a whole number",
    "int_from_float": "a whole number", "bool_type": "true or false", "bool_parsing": "true or false",
    "string_type": "text", "list_type": "a list", "tuple_type": "a list", "dict_type": "a mapping",
    "none_required": "null", "string_pattern_mismatch": "the dotted name of your own, such as mine.name",
}  # fmt: skip
MAX_SHOWN = 80  # maximum number of characters of a value in a message


@cache  # because a sweep checks many configs
def signature(target: Callable[..., Any]) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """Return a constructor's parameters and annotations."""
    # A dataclass inherits fields whose annotations have names of another module, which its `__init__` does not know.
    subject = target.__init__ if inspect.isclass(target) and not is_dataclass(target) else target
    try:
        hints = typing.get_type_hints(subject, include_extras=True)
        hints = {key: hint.type if isinstance(hint, InitVar) else hint for key, hint in hints.items()}
    except NameError:  # a trusted package may import a type only for type checkers
        hints = {}
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
        kinds = [e for e in error.errors() if e["type"] != "is_instance_of"] or error.errors()
        place = kinds[0]["loc"][0] if kinds[0]["loc"] else None
        wrong = value
        if isinstance(value, list) and isinstance(place, int):  # an entry of a list
            key, wrong = f"{key}[{place}]", kinds[0]["input"]
        fix = f": quote it, as in \"{key}='{wrong}'\"" if _is_unquoted(kinds, wrong) else ""
        faults.add(f"{key}={shown(wrong)} should be {' or '.join(dict.fromkeys(map(_wanted, kinds)))}{fix}")
        return value
    if isinstance(value, bool) and not isinstance(checked, bool):  # pydantic converts true to 1
        faults.add(f"{key}={value} should be a number")
    return checked


def _is_unquoted(errors: list[Any], value: Any) -> bool:
    """Return whether a value is a number or a truth value, and quotes would make it the wanted text."""
    return isinstance(value, int | float) and all(error["type"] == "string_type" for error in errors)


def _wanted(error: Any) -> str:
    """Describe the values that pydantic accepts."""
    if error["type"] == "sequence_str" or error.get("ctx", {}).get("class") == "Sequence":
        example = error["input"] if isinstance(error["input"], int | float | str) else ""
        return f"a list, such as [{example}]"
    if error["type"] in ("too_long", "too_short"):
        limit = error["ctx"].get("max_length", error["ctx"].get("min_length"))
        return f"a list of at {'most' if error['type'] == 'too_long' else 'least'} {limit} values"
    return WANTED.get(error["type"]) or str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")


def shown(value: Any) -> str:
    """Format a value for a message."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
