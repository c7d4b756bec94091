"""The page formats numbers, and shows texts with markup as plain text."""

import json

import pytest
from conftest import needs_browser
from PIL import Image

from steepest.course.catalogue import COURSE
from steepest.course.lecture import LECTURE
from steepest.course.lesson import frame
from steepest.course.page import readable, write_page


@pytest.mark.parametrize(
    ("text", "school"),
    [
        ("differ by 9e-16, or so", "differ by 9 · 10⁻¹⁶, or so"),
        ("(1.5e+09)", "(1.5 · 10⁹)"),
        ("0e+00 in slope", "0 in slope"),
        ("at 1e-07", "at 1 · 10⁻⁷"),
        ("the 3rd, #e5e5e5, 2.5 and 10", "the 3rd, #e5e5e5, 2.5 and 10"),
    ],
)
def test_powers_of_ten_are_written_as_in_school(text, school):
    assert readable(text) == school


def test_markup_in_a_courses_records_is_shown_as_text(tmp_path):
    evil, name = "<script>alert(1)</script>", "three_steps"
    record = {
        name: {"command": evil, "short": False, "seconds": 1.0},
        "functions": {"command": evil, "short": True, "seconds": 1.0},
    }
    (tmp_path / "course.json").write_text(json.dumps(record))
    (tmp_path / name / "figures").mkdir(parents=True)
    (tmp_path / name / "figures" / "lesson.png").write_bytes(b"")
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "output.txt").write_text(evil)

    numbers = {"days": 1, "lr": evil, "updates": 1, "gap": 1.0, "error_to_persistence": 1.0}
    lesson = {"name": name, "sentence": evil, "checks": {evil: True}, "frames": 0, "numbers": numbers}
    (tmp_path / name / "lesson.json").write_text(json.dumps(lesson))
    page = write_page(tmp_path).read_text()
    assert evil not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


def test_results_of_an_older_version_are_named_and_the_rest_is_shown(tmp_path):
    (tmp_path / "course.json").write_text(json.dumps({"three_steps": {"command": "", "short": False, "seconds": 1.0}}))
    (tmp_path / "three_steps" / "figures").mkdir(parents=True)
    (tmp_path / "three_steps" / "figures" / "lesson.png").write_bytes(b"")
    lesson = {"name": "three_steps", "sentence": "", "checks": {"true": True}, "numbers": {}}
    (tmp_path / "three_steps" / "lesson.json").write_text(json.dumps(lesson))
    page = write_page(tmp_path).read_text()
    assert "another version of steepest; run it again: <code>steepest course three_steps</code>" in " ".join(
        page.split()
    )


def test_every_idea_of_the_lecture_links_to_its_lessons_and_every_lesson_is_linked(tmp_path):
    (tmp_path / "course.json").write_text("{}")
    page = write_page(tmp_path).read_text()
    linked = {name for ideas in LECTURE.values() for names in ideas.values() for name in names}
    assert linked == {chapter.name for chapter in COURSE}
    for name in linked:
        assert page.count(f'href="#{name}"') >= 2, "once in the list of lessons, once in that of ideas"
        assert page.count(f'<section id="{name}"') == 1


@needs_browser
def test_an_animation_can_be_paused_and_stepped(tmp_path, chromium):
    name = "three_steps"
    (tmp_path / "course.json").write_text(json.dumps({name: {"command": "", "short": False, "seconds": 1.0}}))
    for number in range(3):
        for narrow in (False, True):
            path = frame(tmp_path / name, number, narrow=narrow)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 60), (80 * number, 0, 200)).save(path)
    Image.new("RGB", (80, 60)).save(tmp_path / name / "figures" / "lesson.png")
    numbers = {"days": 1, "lr": 0.1, "updates": 1, "gap": 1.0, "error_to_persistence": 1.0}
    lesson = {"name": name, "sentence": "", "checks": {"true": True}, "frames": 3, "numbers": numbers}
    (tmp_path / name / "lesson.json").write_text(json.dumps(lesson))

    page = chromium.new_page()
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.clock.install()
    page.goto(write_page(tmp_path).as_uri())
    where, player = page.locator(".player output"), page.locator(".player")
    assert where.inner_text() == "1 of 3"
    page.clock.run_for(1000)
    assert where.inner_text() == "2 of 3", "it moves by itself"
    player.get_by_role("button", name="Pause").click()
    page.clock.run_for(5000)
    assert where.inner_text() == "2 of 3"
    player.get_by_role("button", name="Forward").click()
    player.get_by_role("button", name="Forward").click()
    assert where.inner_text() == "1 of 3", "after the last picture comes the first"
    player.get_by_role("button", name="Back").click()
    assert where.inner_text() == "3 of 3"
    assert page.locator(".player picture:visible").count() == 1
    player.get_by_role("button", name="Play").click()
    page.clock.run_for(1000)
    assert where.inner_text() == "1 of 3"
    page.close()
    assert wrong == [], "the page's policy allows its own script"
