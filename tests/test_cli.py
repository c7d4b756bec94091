"""The `steepest` command as users start it."""

import logging
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("steepest")


@pytest.fixture
def steepest(tmp_path):
    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(COMMAND), *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )

    return start


def rows(output: str) -> dict[str, list[str]]:
    """The rows of the printed table: parameter -> cells."""
    lines = [re.split(r"  +", line.strip()) for line in output.splitlines() if re.match(r" ?[Wb]\d+ ", line)]
    return {parameter: cells for parameter, *cells in lines}


@pytest.mark.slow
def test_gradcheck_prints_every_error_below_1e_minus_12(steepest):
    answer = steepest("gradcheck", "model=mlp", "model.hidden=[16,16]")
    assert answer.returncode == 0, answer.stderr
    table = rows(answer.stdout)
    assert list(table) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    for shape, norm, autograd, kernel, differences, entries in table.values():
        assert float(autograd) < 1e-12
        assert float(kernel) < 1e-12
        assert float(differences) < 1e-12
        assert float(norm) > 0
        assert shape
        assert entries
    assert "All gradients agree" in answer.stdout


@pytest.mark.slow
def test_gradcheck_works_for_any_model_data_loss_and_precision(steepest):
    answer = steepest("gradcheck", "experiment=direction", "model.activation=hard_sigmoid", "--entries", "5")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert rows(answer.stdout)["W1"][-1].startswith("5 / ")
    answer = steepest("gradcheck", "model=linear_manual", "data.window=3", "--single", "--entries", "0")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert rows(answer.stdout)["W1"][-1] == "3 / 3"


def test_gradcheck_fails_if_a_gradient_is_wrong(monkeypatch, capsys, caplog):
    from steepest import cli
    from steepest.nets import agreement

    caplog.set_level(logging.INFO, "steepest")  # restored after the test; `gradcheck` changes it
    right = agreement.backward
    monkeypatch.setattr(agreement, "backward", lambda *a, **o: [(dW, db * 1.001) for dW, db in right(*a, **o)])
    with pytest.raises(SystemExit) as ended:
        cli.gradcheck(["model=mlp"], entries=4)
    assert ended.value.code == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "b1: the hand-derived gradient differs from autograd's by a relative error of" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gradcheck", "model=mlpp"], "model=mlpp: there is no such choice; did you mean 'mlp'?"),
        (["gradcheck", "data.widnow=3"], "unknown key 'data.widnow'; did you mean 'data.window'?"),
        (["gradcheck", "--explain", "--example", "no.yaml"], "no.yaml cannot be read"),
        (["audit", "model=mlpp"], "model=mlpp: there is no such choice; did you mean 'mlp'?"),
        (["audit", "no_run"], "no_run: there is no config.yaml: use the folder of a run, or overrides such as"),
        (["audit", "model=mlp_manual", "--out", "found.txt"], "--out found.txt: use the name of a .json file"),
        (["gradchek"], "No such command"),
        (["gradcheck", "--entries", "-1"], "Invalid value"),
    ],
)
def test_an_error_of_the_user_gives_one_message_and_exit_code_2(steepest, arguments, message):
    answer = steepest(*arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_explain_prints_every_number_with_its_formula(steepest, tmp_path):
    answer = steepest("gradcheck", "--explain")
    assert answer.returncode == 0, answer.stderr
    for line in (
        "z1_1 = W1_11 * x_1 + W1_12 * x_2 + b1_1 = 0.5 * 1 + (-0.25) * (-2) + 0.1 = 1.1",
        "dL/dz1_1 = dL/da1_1 * a1_1 * (1 - a1_1) = 0.622151362 * 0.750260106 * (1 - 0.750260106) = 0.116572426",
        "W2_11 new = W2_11 - 0.5 * dL/dW2_11 = 1 - 0.5 * 0.164136975 = 0.917931513",
    ):
        assert line in answer.stdout
    (tmp_path / "net.yaml").write_text(
        "inputs: [2]\ntargets: [1]\nlayers:\n  - {W: [[3]], b: 0.5, activation: identity}\n"
    )
    answer = steepest("gradcheck", "--explain", "--example", "net.yaml")
    assert "z1_1 = W1_11 * x_1 + b1 = 3 * 2 + 0.5 = 6.5" in answer.stdout
    assert "a1_1 = z1_1 = 6.5" in answer.stdout
    assert "dL/dW1_11 = dL/dz1_1 * x_1 = 11 * 2 = 22" in answer.stdout


def test_help_does_not_import_torch():
    code = "import sys, steepest.cli; assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_board_names_a_port_in_use_and_a_missing_folder(steepest):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = steepest("board", ".", "--port", str(port))
    assert answer.returncode == 2
    assert f"port {port} is in use: choose another with --port" in answer.stderr
    answer = steepest("board", "nowhere")
    assert answer.returncode == 2
    assert answer.stderr == "nowhere: there is no such folder; give one that contains runs, such as outputs\n"


@pytest.fixture
def served(monkeypatch, tmp_path):
    """`served(host)` runs `steepest board` with a fake TensorBoard. It returns (printed lines, plugins)."""
    import signal
    import threading
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of TensorBoard
        from steepest.observe import board

    def start(host):
        lines, plugins = [], []

        class TensorBoard:
            def __init__(self, given):
                plugins.extend(given)

            def configure(self, argv):
                pass

            def launch(self):
                return f"http://{host}:6006/"

        monkeypatch.setattr(board, "TensorBoard", TensorBoard)
        monkeypatch.setattr(threading.Event, "wait", lambda self, timeout=None: True)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        board.serve(tmp_path, host, 6006, lines.append)
        return lines, plugins

    return start


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "my-machine"])
def test_board_warns_that_other_machines_can_read_the_folder(served, host, tmp_path):
    lines, _ = served(host)
    assert lines[0] == f"Everyone who can reach {host} can read all of {tmp_path}: TensorBoard has no password."


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_board_has_no_warning_if_only_this_machine_can_read_it(served, host):
    assert [line for line in served(host)[0] if "password" in line] == []


def test_board_has_no_projector_because_it_shows_any_file(served):
    names = [getattr(plugin, "plugin_name", "") for plugin in served("localhost")[1]]
    assert "scalars" in names
    assert "projector" not in names


def test_the_version_is_that_of_the_package(steepest):
    from importlib.metadata import version

    assert steepest("--version").stdout == f"steepest {version('steepest')}\n"


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_sweep_may_be_requested_after_the_first_overrides(flag):
    from steepest.entry import sweep_first

    assert sweep_first(["model=mlp", flag, "seed=0,1"]) == [flag, "model=mlp", "seed=0,1"]
    assert sweep_first(["model=mlp", "--cfg", "job"]) == ["model=mlp", "--cfg", "job"]
