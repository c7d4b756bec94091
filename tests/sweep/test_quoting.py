"""Printed commands survive pasting: the shell, Hydra's grammar and OmegaConf give the value back."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from steepest.runs.quoting import hydra_quoted, resume_run_command, resume_sweep_command, train_command

# "???" alone is OmegaConf's mark for a missing value and cannot be escaped; no printed folder is that.
PRINTABLE = st.text(st.characters(exclude_categories=["C"]), min_size=1)
TRICKY = st.text(st.sampled_from("\\${}'\"=, []()a1~-"), min_size=1)
NAMES = (PRINTABLE | TRICKY).filter(lambda name: name != "???")


def value_of(override):
    """The value in the config after this override."""
    parsed = OverridesParser.create().parse_override(override)
    config = OmegaConf.create({parsed.key_or_group: None})
    OmegaConf.update(config, parsed.key_or_group, parsed.value())
    return config[parsed.key_or_group]


@given(NAMES)
@example("null")
@example("1e3")
@example("007")
@example("true")
@example("a=1, b='2'")
@example("cost ${x}\\")
def test_a_printed_resume_command_names_the_folder(name):
    *program, override = shlex.split(resume_run_command(name))
    assert program == ["python", "train.py"]
    assert value_of(override) == name


@given(NAMES)
def test_a_path_with_any_name_in_it_is_read_back(name):
    path = f"/a/{name}/b"
    assert value_of(f"resume={hydra_quoted(path)}") == path


@given(st.lists(PRINTABLE))
def test_a_printed_train_command_has_the_same_overrides(overrides):
    assert shlex.split(train_command(overrides)) == ["python", "train.py", *overrides]


@given(PRINTABLE.filter(lambda name: "/" not in name))
@example("-x")
def test_a_printed_sweep_command_names_the_folder(name):
    program, command, argument = shlex.split(resume_sweep_command(name))
    assert (program, command) == ("steepest", "resume")
    assert Path(argument) == Path(name)
    assert not argument.startswith("-"), "it would be read as an option"


@pytest.mark.parametrize("text", ["outputs/runs/2026-01-31_10-00-00-123456", "/tmp/x_1.y", "lr"])
def test_ordinary_folders_are_printed_without_quotes(text):
    assert hydra_quoted(text) == text
