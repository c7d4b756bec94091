"""The catalogue, the configs, the lessons and their texts agree."""

import re
from dataclasses import replace

import pytest
from conftest import ROOT
from omegaconf import OmegaConf
from typer.testing import CliRunner

from steepest.cli import app
from steepest.course.catalogue import COURSE, chapter

CONFIGS = ROOT / "conf" / "experiment" / "course"
LESSONS = ROOT / "src" / "steepest" / "course" / "lessons"
NAMES = [c.name for c in COURSE]


def test_each_experiment_of_the_course_has_a_chapter_a_lesson_and_a_text():
    assert sorted(NAMES) == sorted(p.stem for p in CONFIGS.glob("*.yaml"))
    assert sorted(NAMES) == sorted(p.stem for p in LESSONS.glob("*.py") if p.stem != "__init__")
    assert sorted(NAMES) == sorted(p.name.split(".")[0] for p in LESSONS.glob("*.html.j2"))


@pytest.mark.parametrize("found", COURSE, ids=NAMES)
def test_each_config_agrees_with_its_chapter(found):
    config = OmegaConf.load(CONFIGS / f"{found.name}.yaml")
    assert config.hydra.callbacks.lesson.name == found.name
    assert (config.hydra.get("mode") == "MULTIRUN") == found.sweep


def test_the_code_of_a_lesson_is_at_most_110_lines():
    files = [*LESSONS.glob("*.py"), *(LESSONS.parent / "parts").glob("*.py")]
    lengths = {f"{p.parent.name}/{p.stem}": len(p.read_text().splitlines()) for p in files}
    assert {name: n for name, n in lengths.items() if n > 110} == {}


def test_the_readmes_table_lists_every_lesson_by_its_part():
    rows = re.findall(r"^\| ([^|]+) \| (`[^|]+`) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    listed = {part: re.findall(r"`(\w+)`", lessons) for part, lessons in rows}
    parts = {part: [c.name for c in COURSE if c.part == part] for part in dict.fromkeys(c.part for c in COURSE)}
    assert listed == parts
    for page in ("README.md", "docs/course.md"):
        assert f"{len(COURSE)} lessons" in (ROOT / page).read_text()


def test_the_page_about_the_course_lists_every_lesson_in_order():
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "course.md").read_text(), re.MULTILINE)
    assert listed == NAMES


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="there is no lesson sadle; choose one of functions, three_steps, "):
        chapter("sadle")


def test_a_lesson_whose_package_is_missing_is_refused_with_the_extra(monkeypatch):
    lesson = replace(COURSE[0], needs="no_such_package")
    assert lesson.lacks == f"lesson {lesson.name} needs no_such_package: pip install 'steepest[course]'"
    assert COURSE[0].lacks is None
    monkeypatch.setattr("steepest.course.catalogue.COURSE", (lesson, *COURSE[1:]))
    done = CliRunner().invoke(app, ["course", lesson.name])
    assert isinstance(done.exception, ValueError)
    assert str(done.exception) == lesson.lacks
