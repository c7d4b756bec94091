"""`steepest course`: what it runs, what it refuses, how it reports lessons that fail. (All lessons: -m course.)"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from steepest.course.catalogue import chapter
from steepest.course.guide import taught_course, teach_course
from steepest.course.page import write_page

COMMAND = Path(sys.executable).with_name("steepest")
# Quick, and without the curves that the lesson needs.
BLIND = ("callbacks=none", "logger=none", "stop.epochs=1")


def blind(name):
    found = chapter(name)
    return type(found)(found.name, found.part, found.title, found.sweep, BLIND)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A course's folder with a lesson that did not finish."""
    out = tmp_path_factory.mktemp("course")
    return out, list(teach_course([blind("three_steps")], out, short=True, jobs=1))


def test_a_lesson_without_curves_fails_and_says_what_it_needs(broken):
    _, (taught,) = broken
    assert taught.fails == ["it did not finish"]
    assert "lesson three_steps: " in taught.output
    assert "callbacks=default and logger=tensorboard" in taught.output
    assert taught.command == "python train.py experiment=course/three_steps " + " ".join(BLIND)


def test_the_page_says_which_lessons_failed_and_which_have_not_run(broken):
    page = write_page(broken[0]).read_text()
    assert "Not everything held" in page
    assert "did not finish" in page
    assert "callbacks=default and logger=tensorboard" in page
    assert "Not run yet: <code>steepest course saddle</code>" in page


@pytest.mark.slow
def test_a_lessons_folder_is_replaced_and_other_folders_are_left_alone(broken):
    out, _ = broken
    (out / "three_steps" / "left").touch()
    list(teach_course([blind("three_steps")], out, short=True, jobs=1))
    assert not (out / "three_steps" / "left").exists()
    (out / "saddle").mkdir()
    (out / "saddle" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="saddle exists and no lesson created it: choose another folder"):
        list(teach_course([chapter("saddle")], out, short=True, jobs=1))
    assert (out / "saddle" / "thesis.txt").exists()
    assert list(taught_course(out)) == ["three_steps"]


def test_a_claim_that_does_not_hold_is_a_failure(broken, tmp_path):
    out, _ = broken
    found = {"sentence": "The earth is flat.", "checks": {"it is flat": False, "it is": True}, "numbers": {}}
    (tmp_path / "saddle").mkdir()
    (tmp_path / "saddle" / "lesson.json").write_text(json.dumps(found))
    record = json.loads((out / "course.json").read_text())
    (tmp_path / "course.json").write_text(json.dumps({"saddle": record["three_steps"]}))
    assert taught_course(tmp_path)["saddle"].fails == ["it is flat"]


def test_an_unknown_lesson_ends_with_one_message_and_exit_code_2(tmp_path):
    answer = subprocess.run([COMMAND, "course", "sadle"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("course: there is no lesson sadle; choose one of functions, three_steps")
    assert len(answer.stderr.splitlines()) == 1
