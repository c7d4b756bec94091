"""The terminal output of commands: piped, and in a pseudo-terminal of 80 and 120 columns, with and without colours."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

import pytest
from conftest import ROOT

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
pytestmark = pytest.mark.slow

RUN = ["train.py", "stop.epochs=2", "data=random_walk", "data.rows=300", "~callbacks.pictures"]
SWEEP = ["train.py", "-m", *RUN[1:], "model=linear_manual", "hydra/launcher=threads", "optimizer.lr=0.01,0.1"]
GRADCHECK = ["gradcheck", "model=mlp", "model.hidden=[16,16]"]
EXPLAIN = ["gradcheck", "--explain"]
# Codes of foreground colours that are hard to read on white or on black: yellow, white, dark blue.
ILLEGIBLE = {"33", "93", "37", "97", "34"}


def command(words: list[str]) -> list[str]:
    """The command line of `python train.py ...` or of `steepest ...`."""
    if words[0] == "train.py":
        return [sys.executable, str(ROOT / "train.py"), *words[1:]]
    return [sys.executable, "-c", "from steepest.cli import main; main()", *words]


def environment(**more: str) -> dict[str, str]:
    """This environment, without the variables that choose the width or the colours."""
    unset = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE")
    return {k: v for k, v in os.environ.items() if k not in unset} | {"TERM": "xterm-256color"} | more


def piped(words: list[str], folder, columns: int = 80) -> str:
    """The output of a command in a pipe."""
    return subprocess.run(
        command(words), cwd=folder, env=environment(COLUMNS=str(columns)), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    ).stdout  # fmt: skip


def in_terminal(words: list[str], folder, columns: int = 80, **more: str) -> str:
    """The output of a command in a pseudo-terminal of this width."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        command(words), cwd=folder, env=environment(**more), stdin=child, stdout=child, stderr=child, close_fds=True
    )
    os.close(child)
    output = b""
    try:
        while chunk := os.read(parent, 1 << 16):
            output += chunk
    except OSError:  # Linux reports the end of the process as an error
        pass
    os.close(parent)
    process.wait(60)
    return output.decode()


def shown_lines(output: str) -> list[str]:
    """The lines that stay on the screen, without control sequences."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
    return [line.rsplit("\r", 1)[-1] for line in plain.replace("\r\n", "\n").split("\n")]


def colour_codes(output: str) -> set[str]:
    """The parameters of all colour and style sequences."""
    return {code for sequence in re.findall(r"\x1b\[([0-9;]*)m", output) for code in sequence.split(";") if code}


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """`terminal(words, columns)`: the output in a terminal; each command runs once."""
    outputs: dict[tuple, str] = {}

    def show(words: list[str], columns: int = 80) -> str:
        key = (*words, columns)
        if key not in outputs:
            outputs[key] = in_terminal(words, tmp_path_factory.mktemp("terminal"), columns)
        return outputs[key]

    return show


@pytest.mark.parametrize("words", [RUN, SWEEP, GRADCHECK], ids=["run", "sweep", "gradcheck"])
def test_piped_output_has_no_control_characters_and_no_progress_bar(words, tmp_path):
    output = piped(words, tmp_path)
    assert "\x1b" not in output
    assert "\r" not in output
    assert "━" not in output, "progress bars consist of this character"


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_of_a_run_is_complete_in_a_terminal(terminal, columns):
    lines = shown_lines(terminal(RUN, columns))
    heading = next(line for line in lines if "rmse" in line)
    assert heading.split() == ["part", "rmse", "mae", "mape", "mase", "direction", "skill"]
    assert sum(line.split()[:1] == ["persistence"] for line in lines) == 3
    assert not any("…" in line for line in lines), "no text is cut off"


@pytest.mark.parametrize("words", [RUN, GRADCHECK], ids=["run", "gradcheck"])
def test_no_line_is_wider_than_the_terminal_so_that_sentences_wrap_at_words(words, terminal):
    assert max(map(len, shown_lines(terminal(words)))) <= 80


def test_a_piped_sentence_is_one_line(tmp_path):
    (verdict,) = [line for line in piped(RUN, tmp_path).splitlines() if line.startswith("The model ")]
    assert verdict.endswith(".")
    assert len(verdict) > 80


@pytest.mark.parametrize("words", [RUN, SWEEP, GRADCHECK, EXPLAIN, ["--help"]], ids=lambda words: words[0] + words[-1])
def test_colours_are_legible_on_light_and_on_dark_backgrounds(words, terminal):
    codes = colour_codes(terminal(words))
    assert codes, "a terminal gets styles"
    assert not codes & ILLEGIBLE


def test_no_color_turns_colours_off(tmp_path):
    codes = colour_codes(in_terminal(EXPLAIN, tmp_path, NO_COLOR="1"))
    assert codes <= {"0", "1", "2", "3"}, "bold, dim and italic are not colours"
