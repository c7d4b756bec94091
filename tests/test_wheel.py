"""The installed package, not the checkout: every command of the README that needs no checkout, in an empty folder."""

import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()
OF_THE_CHECKOUT = ("pip install", "pytest", "mkdocs")  # .ci/run runs these in a fresh environment
SHORTER = {"steepest course": "steepest course three_steps lifelong --short"}  # pytest -m course runs all lessons


def blocks_of_readme(language):
    """The blocks of the README in this language, also those in a list."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)


def commands_of_readme():
    """The commands that need no checkout. `python train.py` is `steepest train`, as the README says."""
    lines = [line.split("  #")[0].strip() for block in blocks_of_readme("bash") for line in block.splitlines()]
    commands = [part.strip() for line in lines for part in line.split(" && ") if part.strip()]
    commands = [one.replace("python train.py", "steepest train") for one in commands]
    commands = list(dict.fromkeys(one for one in commands if not one.startswith(OF_THE_CHECKOUT)))
    return [pytest.param(SHORTER.get(one, one), marks=pytest.mark.slow, id=one) for one in commands]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The Python of an environment with the wheel; the dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    paths = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    # (Paths that Python adds behind the wheel's own; .pth files in them, such as that of the checkout, do not count.)
    packages = [path for path in sys.path if Path(path).name == "site-packages"]
    (Path(paths.stdout.strip()) / "dependencies.pth").write_text("\n".join(packages) + "\n")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return python, wheel


def steepest(python, folder, *words):
    """The finished process of a `steepest` command in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python.parent / "steepest", *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.slow
def test_the_wheel_contains_every_config_and_price_file(installed):
    names = {name.removeprefix("steepest/shipped/") for name in zipfile.ZipFile(installed[1]).namelist()}
    listed = subprocess.run(["git", "ls-files", "conf", "data"], cwd=ROOT, check=True, capture_output=True, text=True)
    needed = {"train.py", *listed.stdout.split()}
    assert needed | {"steepest/py.typed"} <= names


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder that has only a file of prices, as the README describes it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    lines = gzip.decompress((ROOT / "data" / "sp500.csv.gz").read_bytes()).decode().splitlines()
    (folder / "prices.csv").write_text("\n".join([lines[0], *lines[-1500:]]))
    return folder


def test_the_readme_has_the_commands_that_are_run():
    commands = [command.id.split()[:2] for command in commands_of_readme()]
    for word in ("train", "gradcheck", "board", "course"):
        assert ["steepest", word] in commands


@pytest.mark.parametrize("command", commands_of_readme())
def test_a_command_of_the_readme_runs_from_the_wheel(installed, elsewhere, command):
    program, *words = shlex.split(command)
    assert program == "steepest"
    if words == ["board"]:
        assert_serves(installed[0], elsewhere)
        return
    done = steepest(installed[0], elsewhere, *words)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_serves(python, folder):
    """`steepest board` shows an address, and Ctrl-C stops it."""
    done = steepest(python, folder, "train", "model=linear_manual", "stop.epochs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    command = [python.parent / "steepest", "board", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as served:
        assert re.match(r"http://\S+ shows the ", served.stdout.readline())
        served.send_signal(signal.SIGINT)
        assert served.communicate(timeout=60)[0].endswith("Stopped.\n")
    assert served.returncode == 0


@pytest.mark.slow
def test_the_python_of_the_readme_runs_from_the_wheel(installed, elsewhere):
    (block,) = blocks_of_readme("python")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [installed[0], "-c", block], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "tensor(" in done.stdout


@pytest.mark.slow
def test_an_installed_package_trains_sweeps_and_checks_in_an_empty_folder(installed, tmp_path):
    python, _ = installed
    where = subprocess.run(
        [python, "-c", "import steepest; print(steepest.__file__)"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(python.parent.parent) in where.stdout, "the wheel, not the checkout"
    done = steepest(python, tmp_path, "train", "model=mlp", "stop.epochs=2")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (tmp_path / "outputs" / "runs").iterdir()
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert (run / "figures" / "loss.png").exists()
    words = ["train", "-m", "model=linear_manual", "seed=0,1", "stop.epochs=2", "hydra.sweep.dir=sweep"]
    for launcher in ("threads", "processes"):
        done = steepest(python, tmp_path, *words, f"hydra/launcher={launcher}", f"hydra.sweep.dir={launcher}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / launcher / "results.csv").exists()
    for command in (
        ("gradcheck",), ("predict", str(run)), ("evaluate", str(run)), ("report", str(run)),
        ("train", "--help"), ("train", "model=linear", "data=line", "stop.epochs=1"),
    ):  # fmt: skip
        done = steepest(python, tmp_path, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "model: " in steepest(python, tmp_path, "train", "--help").stdout


@pytest.mark.slow
def test_a_wrong_word_in_an_installed_package_ends_with_2_and_the_command_that_exists(installed, tmp_path):
    done = steepest(installed[0], tmp_path, "train", "model=nothing")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    stopped = steepest(installed[0], tmp_path, "train", "model=mlp_manual", "optimizer.lr=1e30", "hydra.run.dir=r")
    assert stopped.returncode == 1, stopped.stderr
    assert "python train.py" not in stopped.stdout + stopped.stderr


@pytest.mark.slow
def test_an_installed_package_passes_its_check_and_trains_a_new_project(installed, tmp_path):
    python, _ = installed
    for folder, command in (
        (tmp_path, ("doctor",)),
        (tmp_path, ("init", "mine")),
        (tmp_path / "mine", ("train", "model=mine", "debug=quick")),
        (tmp_path / "mine", ("schema",)),
    ):
        done = steepest(python, folder, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    tests = [python, "-m", "pytest", "-q"]
    done = subprocess.run(tests, cwd=tmp_path / "mine", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
