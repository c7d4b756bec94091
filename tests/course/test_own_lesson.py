"""A lesson of the user's own: the one of docs/own-lesson.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from steepest.course.catalogue import OWN, chapter
from steepest.course.lesson import teach


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with the files of the page."""
    page = (ROOT / "docs" / "own-lesson.md").read_text()
    for name, content in re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_catalogue_has_the_lessons_of_the_working_folder(home):
    assert (chapter("mine").part, chapter("mine").title, chapter("mine").sweep) == (OWN, "Mine", False)
    file = home / "conf" / "experiment" / "course" / "mine.yaml"
    file.write_text(file.read_text().replace("hydra:\n", "hydra:\n  mode: MULTIRUN\n"))
    assert chapter("mine").sweep


def test_a_lesson_of_a_package_that_is_not_trusted_is_refused(home):
    with pytest.raises(ValueError, match=r"hydra.callbacks.lesson.name 'mine.teach' is not approved .* trust=\[mine\]"):
        teach("mine.teach", home)


def test_a_lesson_that_returns_something_else_is_refused(home, monkeypatch):
    (home / "other_lesson.py").write_text("def teach(folder):\n    return 1\n")
    monkeypatch.syspath_prepend(str(home))
    with pytest.raises(ValueError, match="other_lesson.teach returns a int: return a steepest.Finding"):
        teach("other_lesson.teach", home, ["other_lesson"])


@pytest.mark.slow
def test_the_course_runs_a_lesson_of_a_trusted_folder_and_adds_it_to_the_page(home):
    def start(*words):
        command = [str(Path(sys.executable).with_name("steepest")), *words]
        environment = os.environ | {"XDG_CONFIG_HOME": str(home / "config")}
        return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)

    refused = start("course", "mine")
    assert refused.returncode == 1
    assert "trust=[mine]" in refused.stdout
    assert start("trust").returncode == 0
    done = start("course", "mine")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The loss fell from" in done.stdout
    page = (home / "outputs" / "course" / "index.html").read_text()
    assert "the loss fell after every epoch" in page
    assert "Your own lessons" in page
    (home / "mine.py").write_text((home / "mine.py").read_text().replace(".all())", ".any() and False)"))
    wrong = start("course", "mine")
    assert wrong.returncode == 1
    assert "FAILS: the loss fell after every epoch" in wrong.stdout
