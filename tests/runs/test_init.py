"""`steepest init` writes a project that trains and passes its own tests, or nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steepest.runs.project.write import FILES, package_name, write_project

COMMAND = Path(sys.executable).with_name("steepest")


@pytest.fixture
def steepest(tmp_path):
    """`steepest(*words, folder=...)` runs a command; the user's config folder is empty at the start of a test."""

    def start(*words: str, folder: Path = tmp_path, program: Path = COMMAND) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"XDG_CONFIG_HOME": str(tmp_path / "config")}
        return subprocess.run(
            [str(program), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return start


@pytest.mark.parametrize("name", ["mine", "my-models.2", "Prices"])
def test_a_project_has_its_files_and_no_others(tmp_path, name):
    written = write_project(tmp_path / name)
    found = sorted(
        path.relative_to(tmp_path / name).as_posix() for path in (tmp_path / name).rglob("*") if path.is_file()
    )
    assert found == sorted(written)
    assert len(written) == len(FILES)
    assert f"{package_name(tmp_path / name)}/model.py" in written
    for file in written:
        if file.endswith(".py"):
            compile((tmp_path / name / file).read_text(), file, "exec")
        assert "{{" not in (tmp_path / name / file).read_text()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("json", "is the name of a module of Python"),
        ("tests", "of another folder of a project"),
        ("torch", "is the name of an installed package"),
        ("steepest", "is the name of an installed package"),
        ("mlp", r"is the name of a shipped config \(model=mlp\)"),
        ("class", "is not a name for a Python package"),
        ("3x", "is not a name for a Python package"),
        ("naïve", "is not a name for a Python package"),
    ],
)
def test_a_name_with_another_meaning_is_refused_before_anything_is_written(tmp_path, name, why):
    with pytest.raises(ValueError, match=f"'{name}' .*{why}.*: use another name, such as my_models"):
        write_project(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_one_of_the_files_is_unchanged(tmp_path):
    (tmp_path / "mine" / "tests").mkdir(parents=True)
    (tmp_path / "mine" / "README.md").write_text("Mine.")
    with pytest.raises(ValueError, match=r"mine has README.md already: use another folder; no file was changed"):
        write_project(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").rglob("*") if path.is_file()] == ["README.md"]


def test_other_files_of_the_folder_are_kept(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "prices.csv").write_text("date,close\n")
    write_project(tmp_path / "mine")
    assert (tmp_path / "mine" / "prices.csv").read_text() == "date,close\n"


@pytest.mark.slow
def test_a_new_project_trains_and_passes_its_tests(steepest, tmp_path):
    answer = steepest("init", "mine")
    assert answer.returncode == 0, answer.stderr
    assert "Next: cd mine && steepest train model=mine && pytest" in answer.stdout
    mine = tmp_path / "mine"
    for words in (["model=mine", "hydra.run.dir=run"], ["experiment=mine", "debug=quick"]):
        answer = steepest("train", *words, folder=mine)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    assert steepest("predict", "run", folder=mine).returncode == 0
    answer = steepest("-m", "pytest", "-q", folder=mine, program=Path(sys.executable))
    assert answer.returncode == 0, answer.stdout
    assert "3 passed" in answer.stdout


@pytest.mark.slow
def test_a_copied_project_is_refused_until_its_folder_is_trusted(steepest, tmp_path):
    assert steepest("init", "mine").returncode == 0
    (tmp_path / "mine").rename(tmp_path / "copy")
    train = ("train", "model=mine", "debug=quick")
    answer = steepest(*train, folder=tmp_path / "copy")
    assert answer.returncode == 2
    assert "add trust=[mine], or run `steepest trust` once" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "trusted in" in steepest("trust", folder=tmp_path / "copy").stdout
    assert steepest(*train, folder=tmp_path / "copy").returncode == 0
    assert "not trusted" in steepest("trust", "--remove", folder=tmp_path / "copy").stdout
    assert steepest(*train, folder=tmp_path / "copy").returncode == 2
    assert steepest(*train, "trust=[mine]", folder=tmp_path / "copy").returncode == 0


@pytest.mark.slow
def test_without_a_writable_config_folder_the_project_is_written_and_the_override_is_named(steepest, tmp_path):
    (tmp_path / "config").write_text("a file, so that no folder can be created")
    answer = steepest("init", "mine")
    assert answer.returncode == 0
    assert "steepest train model=mine trust=[mine] && pytest" in answer.stdout
    assert "add trust=[mine] to each command" in answer.stdout
    folder = steepest("trust", "mine")
    assert folder.returncode in (1, 2)
    assert "Traceback" not in folder.stderr
