"""How the page writes numbers."""

import pytest

from steepest.course.page import readable


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
