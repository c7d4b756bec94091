"""Errors give a clear message and the right exit code."""

import errno
import sys

import pytest
import torch
from hydra.errors import ConfigCompositionException

from steepest.runs.checks import check_choices
from steepest.runs.errors import described, exit_code, explain


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (ValueError("data.window=0 must be 1 or more"), "data.window=0 must be 1 or more", 2),
        (OSError(errno.ENOSPC, "", "r/run.json"), "r/run.json: No space left on device: free some space", 1),
        (PermissionError(errno.EACCES, "", "r"), "r: Permission denied: change its permissions", 1),
        (OSError(errno.ENAMETOOLONG, "", "n"), "n: File name too long: choose a shorter name", 1),
        (OSError(errno.ELOOP, "", "n"), "n: Too many levels of symbolic links: remove it", 1),
        (MemoryError(), "there is not enough memory: lower", 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "there is not enough memory", 1),
        (RuntimeError("CUDA out of memory. Tried"), "there is not enough memory", 1),
        (KeyError("of the program"), None, 1),
    ],
)
def test_each_kind_of_error_has_a_message_and_an_exit_code(error, message, code):
    assert exit_code(error) == code
    assert explain(error) is None if message is None else explain(error).startswith(message)


def test_a_message_has_no_control_characters_and_no_very_long_words():
    said = explain(ValueError("data.series=\x1b[31mred\x07\u202e\n" + "a" * 5000))
    assert said.startswith("data.series=\\x1b[31mred\\x07\\u202e\na")
    assert len(said) < 400


def test_the_outer_message_names_the_file_of_an_inner_error():
    error = ValueError("x.journal is damaged")
    error.__cause__ = ValueError("line 1")
    assert explain(error) == "x.journal is damaged"


def test_an_error_of_hydra_itself_is_a_message_and_one_of_this_package_is_not():
    from hydra.core.utils import configure_log

    with pytest.raises(AssertionError) as caught:
        configure_log({}, verbose_config=3)
    assert explain(caught.value).startswith("Hydra cannot use this config (AssertionError")
    with pytest.raises(AttributeError) as caught:
        check_choices(None, None)
    assert explain(caught.value) is None
    assert described(caught.value).startswith("AttributeError: ")
    assert explain(ConfigCompositionException("told")) == "told"


def test_an_error_of_an_optimizers_step_is_a_message():
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    with pytest.raises(RuntimeError) as caught:
        torch.optim.SGD([weight], lr=1e308).step()
    assert explain(caught.value).startswith("optimizer: value cannot be converted to type float without overflow")


def test_a_table_in_the_terminal_has_no_control_characters(capsys):
    from rich.table import Table

    from steepest.evaluate.terminal import print_sentence, terminal

    console = terminal()
    console.file = sys.stdout
    table = Table("a")
    table.add_row("\x1b[31mred\x07")
    console.print(table)
    console.print("\x1b[31mred", markup=False)
    print_sentence(console, "\x1b[31mred")
    assert "\x1b" not in capsys.readouterr().out.replace("\\x1b", "")
