"""The page formats numbers, and shows texts with markup as plain text."""

import json

import pytest

from steepest.course.catalogue import COURSE
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
    evil, name = "<script>alert(1)</script>", COURSE[0].name
    record = {
        name: {"command": evil, "short": False, "seconds": 1.0},
        COURSE[1].name: {"command": evil, "short": True, "seconds": 1.0},
    }
    (tmp_path / "course.json").write_text(json.dumps(record))
    (tmp_path / name / "figures").mkdir(parents=True)
    (tmp_path / name / "figures" / "lesson.png").write_bytes(b"")
    (tmp_path / COURSE[1].name).mkdir()
    (tmp_path / COURSE[1].name / "output.txt").write_text(evil)

    numbers = {"days": 1, "lr": evil, "updates": 1, "gap": 1.0, "error_to_persistence": 1.0}
    lesson = {"name": name, "sentence": evil, "checks": {evil: True}, "moving": False, "numbers": numbers}
    (tmp_path / name / "lesson.json").write_text(json.dumps(lesson))
    page = write_page(tmp_path).read_text()
    assert evil not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5
