"""Every stub against the constructor it stands for: nothing passes that the constructor would not take."""

import inspect
import types
import typing

import pytest
from conftest import composed
from pydantic import ConfigDict, TypeAdapter, ValidationError

from steepest.runs.config import APPROVED, GIVEN, check
from steepest.runs.stubs import OTHERWISE, STUBS
from steepest.runs.trust import locate

PLAIN = (int, float, str, bool, type(None), dict, list, tuple)
VALUES = [0, 1, -1, True, 2.5, "3", "x", "norm", "mse", "sigmoid", "64-true", None, [1, 2], [0.5, 0.9], ["a"], {"a": 1}]


def hints(target):
    return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)


def of_plain_values(annotation):
    """An annotation without the alternatives that no value of a config can be."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        kept = [of_plain_values(p) for p in parts if not (inspect.isclass(p) and p not in PLAIN)]
        return typing.Union[tuple(kept)]  # noqa: UP007
    if origin is tuple:
        return tuple[tuple(map(of_plain_values, parts))]
    return annotation


@pytest.mark.parametrize("path", STUBS)
def test_a_stub_is_its_constructor(path):
    real, stub = locate(path, APPROVED), STUBS[path]
    assert f"{real.__module__}.{real.__qualname__}" == path
    theirs, mine = inspect.signature(real).parameters, inspect.signature(stub).parameters
    given = {name for names in GIVEN.values() for name in names}
    by_place = [name for name, p in mine.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [name for name in theirs if name in by_place] == by_place
    for name, parameter in mine.items():
        assert parameter.default == theirs[name].default or name in given, name
        if name not in given:
            assert of_plain_values(hints(stub)[name]) == of_plain_values(hints(real)[name]), name
    if path.startswith("steepest.") and not path.endswith("EventLogger"):
        assert set(mine) == set(theirs)
    required = {name for name, p in theirs.items() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD,)}
    assert required <= set(mine) | given


@pytest.mark.parametrize("path", STUBS)
def test_a_value_that_a_stub_lets_pass_is_what_its_constructor_would_have_made_of_it(path):
    real, stub = hints(locate(path, APPROVED)), hints(STUBS[path])
    given = {name for names in GIVEN.values() for name in names}
    for name in stub.keys() - given - {"return"}:
        adapters = [TypeAdapter(h[name], config=ConfigDict(arbitrary_types_allowed=True)) for h in (real, stub)]
        for value in VALUES:
            theirs, mine = (answer(adapter, value) for adapter in adapters)
            # True may become 1 or 1.0: typing keeps one order of Union[int, float] for all that are equal to it.
            assert theirs == mine, (name, value)
            assert isinstance(theirs, bool) is isinstance(mine, bool), (name, value)


def answer(adapter, value):
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return "refused"


def test_other_paths_name_the_same_thing():
    for path, real in OTHERWISE.items():
        assert locate(path, APPROVED) is locate(real, APPROVED)


def test_what_a_stub_does_not_know_is_looked_up_in_the_constructor():
    checked = check(composed("+trainer.max_time=00:00:10:00", "+logger.prefix=mine"))
    assert checked.groups["trainer"].arguments["max_time"] == "00:00:10:00"
    assert checked.groups["logger"].arguments["prefix"] == "mine"
    assert checked.groups["model"].found is None
    assert checked.groups["trainer"].found is checked.groups["trainer"].target


def test_a_part_with_a_stub_is_built_as_ever():
    from steepest.observe.recorder import Recorder

    assert isinstance(check(composed()).groups["callbacks"]["recorder"](), Recorder)
