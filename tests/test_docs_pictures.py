"""The pictures in docs/ equal those that the current code draws. docs/pictures.md names the command of each.

Screenshots go to outputs/screenshots/. tests/test_board.py compares those of TensorBoard.
"""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, needs_browser
from pictures import COMMANDS, DOCS, MAX_DIFFERENT, SCREENSHOTS, assert_same, compared, share_of_differences
from PIL import Image

FIGURES = {"prediction.png": "figures/prediction.png", "parity.png": "figures/parity.png"}
PAGES = {  # page, the part of it, and the width of the window
    "report.png": ("nets/report.html", None, 800),
    "course.png": ("outputs/course/index.html", "#local_minima", 1000),
}


def test_every_picture_of_the_docs_has_its_command():
    assert set(COMMANDS) == {path.name for path in DOCS.glob("*.png")} == set(MAX_DIFFERENT)


@pytest.mark.parametrize("picture", sorted(COMMANDS))
def test_a_picture_that_lacks_a_quarter_of_its_content_is_detected(picture):
    with Image.open(DOCS / picture) as kept:
        kept = compared(picture, kept)
        rows = np.flatnonzero((np.asarray(kept) != kept.getpixel((1, 1))).any(axis=(1, 2)))
        top = int(rows[len(rows) * 3 // 4])
        cut = kept.copy()
        cut.paste(kept.getpixel((1, 1)), (0, top, kept.width, kept.height))
        assert share_of_differences(kept, cut) > MAX_DIFFERENT[picture]
        assert share_of_differences(kept, kept) == 0


@pytest.mark.slow
@pytest.mark.parametrize("picture", FIGURES)
def test_a_figure_equals_the_one_that_its_command_draws(command, tmp_path, picture):
    _, _, *arguments = shlex.split(COMMANDS[picture])
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    (drawn,) = (tmp_path / "outputs" / "runs").glob(f"*/{FIGURES[picture]}")
    assert_same(picture, drawn)


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("picture", PAGES)
def test_a_screenshot_equals_the_page_of_its_command(chromium, tmp_path, picture):
    for line in COMMANDS[picture].split(" && "):
        program, *words = shlex.split(line)
        if program == "python":
            program, words = sys.executable, [str(ROOT / words[0]), *words[1:]]
        else:
            program = str(Path(sys.executable).with_name(program))
        done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    file, part, width = PAGES[picture]
    page = chromium.new_page(viewport={"width": width, "height": 1500})
    page.goto((tmp_path / file).as_uri())
    page.wait_for_timeout(3_000)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    (page.locator(part) if part else page).screenshot(path=SCREENSHOTS / picture)
    page.close()
    assert_same(picture, SCREENSHOTS / picture)
