"""A project's own folder: its conf/ is searched first, and its package is imported only if the user trusts it."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from steepest.entry import _groups
from steepest.runs.choices import choice_of
from steepest.runs.composed import composed
from steepest.runs.errors import explain
from steepest.runs.trust import locate
from steepest.runs.trusted import list_file, read_list, remember

MODEL = "_target_: steepest.MLPPredictor\nhidden: [3]\n"
OUTPUT_TO_A_PROGRAM = "handlers: {file: {(): os.system}}\nroot: {handlers: [file]}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty working folder. The user's list of trusted folders is empty, too."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def write(project):
    """`write(name, text)` writes a file of the project."""

    def start(name, text):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return start


def message(*overrides: str) -> str:
    with pytest.raises((HydraException, ValueError)) as caught:
        composed(list(overrides))
    return str(explain(caught.value))


def test_a_config_of_the_project_is_found_listed_and_suggested(write):
    write("conf/model/small.yaml", MODEL)
    assert composed(["model=small"]).model.hidden == [3]
    assert (
        "model: dlinear, gru, linear, linear_manual, lstm, mlp, mlp_manual, nlinear, rlinear, small, tcn" in _groups()
    )
    assert "did you mean 'small'?" in message("model=smal")
    assert choice_of("model", "steepest.MLPPredictor", {"hidden": [3]}) == "model=small"


def test_a_config_of_the_project_replaces_the_shipped_one_with_its_name(write):
    write("conf/model/mlp.yaml", MODEL)
    assert composed(["model=mlp"]).model == {"_target_": "steepest.MLPPredictor", "hidden": [3]}
    assert "seed" in composed(["model=mlp_manual"]).model
    assert _groups().count(" mlp,") == 1


def test_another_hydra_app_does_not_get_the_configs_of_the_folder(write, tmp_path):
    write("conf/model/small.yaml", MODEL)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.yaml").write_text("defaults: [model: small]\n")
    with initialize_config_dir(str(tmp_path / "app"), version_base="1.3"), pytest.raises(HydraException):
        compose("main")


@pytest.mark.parametrize(
    ("name", "text", "overrides", "key"),
    [
        ("experiment/x", "# @package _global_\ntrust: [mine]\n", ["experiment=x"], "trust"),
        ("model/x", "# @package _global_\nresume: /elsewhere\n", ["model=x"], "resume"),
        ("hydra/job_logging/steepest", OUTPUT_TO_A_PROGRAM, [], "hydra.job_logging.handlers.file.()"),
        ("hydra/hydra_logging/steepest", OUTPUT_TO_A_PROGRAM, [], "hydra.hydra_logging.handlers.file.()"),
        ("train", "hydra: {run: {dir: /elsewhere}}\n", [], "hydra.run.dir"),
    ],
)
def test_a_config_of_the_project_cannot_set_what_only_the_user_may_set(write, name, text, overrides, key):
    file = write(f"conf/{name}.yaml", text)
    assert f"{file} sets {key}" in message(*overrides)


def test_a_package_of_the_folder_is_imported_only_if_it_is_trusted(project, write):
    write("package_a/__init__.py", "")
    write("package_a/model.py", "class Net: pass\n")
    with pytest.raises(ValueError, match=r"if you trust the code in this folder, add trust=\[package_a\], or run"):
        locate("package_a.model.Net", "model")
    assert "package_a" not in sys.modules
    assert locate("package_a.model.Net", "model", ["package_a"]).__name__ == "Net"


def test_a_folder_that_the_user_trusts_needs_no_override_and_other_folders_do(project, write, tmp_path, monkeypatch):
    write("package_b/__init__.py", "class Net: pass\n")
    remember(project, ["package_b"])
    assert locate("package_b.Net", "model").__name__ == "Net"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(ValueError, match="not approved"):
        locate("package_b.Net", "model")
    monkeypatch.chdir(project)
    remember(project, [])
    with pytest.raises(ValueError, match="not approved"):
        locate("package_b.Net", "model")


def test_a_file_of_the_folder_does_not_replace_an_installed_package(project, write):
    write("package_c/__init__.py", "import colorsys\nclass Net: where = colorsys.__file__\n")
    write("colorsys.py", "raise SystemExit('the wrong file')\n")
    assert str(project) not in locate("package_c.Net", "model", ["package_c"]).where


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        (None, "package_d.Net", r"there is no package 'package_d' in .*project or among the installed packages"),
        ("class Net: pass", "package_e.Nett", r"the package is .*project/package_e/__init__.py: correct the name 'package_e.Nett'"),
        ("import nothing_here", "package_f.Net", r"package_f/__init__.py:1: ModuleNotFoundError: No module named 'nothing_here'"),
        ("1 / 0", "package_g.Net", r"importing it fails: .*package_g/__init__.py:1: ZeroDivisionError"),
        ("def", "package_h.Net", r"importing it fails: SyntaxError: invalid syntax \(__init__.py, line 1\)"),
    ],
)  # fmt: skip
def test_a_trusted_package_that_cannot_be_imported_gives_a_message_with_the_place(write, text, target, said):
    package = target.partition(".")[0]
    if text is not None:
        write(f"{package}/__init__.py", f"{text}\n")
    with pytest.raises(ValueError, match=said):
        locate(target, "model", [package])


@pytest.mark.parametrize("content", ["", "[]", "{", '{"/x": 3}', "\xff", "[" * 100_000])
def test_a_damaged_list_trusts_nothing_and_is_not_overwritten(project, content):
    list_file().parent.mkdir(parents=True)
    list_file().write_bytes(content.encode("latin-1"))
    folders, problem = read_list()
    assert folders == {}
    if problem:
        assert str(list_file()) in problem
        with pytest.raises(ValueError, match="correct or remove it"):
            remember(project, ["mine"])
        assert list_file().read_bytes() == content.encode("latin-1")


def test_without_a_home_folder_nothing_is_trusted():
    code = "from steepest.runs.trusted import trusted_here; print(trusted_here())"
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "threads", "processes"])
def test_sweeps_use_the_configs_and_the_package_of_the_folder(project, write, launcher):
    write("mine/__init__.py", "from steepest import MLPPredictor\nclass Net(MLPPredictor): pass\n")
    write("conf/model/net.yaml", "_target_: mine.Net\nhidden: [3]\nseed: 0\n")
    write("conf/data/few.yaml", "defaults: [random_walk]\nrows: 300\n")
    remember(project, ["mine"])
    words = ["-m", f"hydra/launcher={launcher}", "model=net", "data=few", "data.window=3", "hydra.sweep.dir=s"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words, "model.hidden=[3],[4]", "debug=quick"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [job["status"] for job in json.loads((project / "s" / "sweep.json").read_text())["jobs"]] == 2 * ["finished"]
    job = str(project / "s" / "0")
    again = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), f"resume={job}", "stop.epochs=3"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
