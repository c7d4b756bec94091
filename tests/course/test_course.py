"""Every experiment of the course, its claims, and the page of all of them (`pytest -m course`).

Pictures of the page go to outputs/screenshots/.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, needs_browser
from filelock import FileLock

from steepest.course.catalogue import COURSE, chapter
from steepest.course.guide import taught_course, teach_course

pytestmark = pytest.mark.course

COMMAND = Path(sys.executable).with_name("steepest")
SCREENSHOTS = ROOT / "outputs" / "screenshots"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder of `steepest course`, run once for all workers."""
    base = tmp_path_factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "course"
    with FileLock(f"{out}.lock"):
        if not (out / "index.html").exists():
            subprocess.run([COMMAND, "course", "--out", out], check=False, capture_output=True)
    return out


@pytest.mark.parametrize("name", [c.name for c in COURSE])
def test_the_claims_of_the_lesson_hold(course, name):
    taught = taught_course(course)[name]
    assert taught.fails == [], taught.output
    assert taught.found["checks"], "a lesson needs at least one check"
    assert taught.found["sentence"]


def test_a_repeated_lesson_has_the_same_numbers(course, tmp_path):
    (again,) = teach_course([chapter("compress")], tmp_path, short=False, jobs=1)
    assert again.found["numbers"] == taught_course(course)["compress"].found["numbers"]


@pytest.mark.parametrize("name", ["windows", "structured", "explain", "compress"])
def test_the_claims_of_a_short_form_hold(tmp_path, name):
    (taught,) = teach_course([chapter(name)], tmp_path, short=True, jobs=1)
    assert taught.fails == [], taught.output
    assert len(taught.command) > len(chapter(name).command)


def test_a_claim_fails_if_the_run_contradicts_it(tmp_path):
    crawling = replace(chapter("three_steps"), short=("optimizer.lr=0.001",))
    (taught,) = teach_course([crawling], tmp_path, short=True, jobs=1)
    assert len(taught.fails) == 1
    assert taught.fails[0].startswith("it equals the line of the closed form within")


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_with_every_picture_and_fits_the_browsers_width(course, chromium, width):
    wrong = []
    context = chromium.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
    page.emulate_media(reduced_motion="reduce")
    page.goto((course / "index.html").as_uri())
    pictures = page.eval_on_selector_all(
        "picture:not([hidden]) img", "all => all.map(one => [one.complete, one.naturalWidth, one.alt])"
    )
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"course_{width}.png", full_page=True)
    beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    # Formulas, tables and pictures that cannot be stacked may be wider than their lesson, because they scroll.
    wide = page.eval_on_selector_all(
        "section, section *",
        """all => all.filter(one => !one.closest('.scroll > *:not(picture), .wide *, math'))
            .filter(one => one.getBoundingClientRect().right > one.closest('section').getBoundingClientRect().right)
            .map(one => one.outerHTML.slice(0, 90))""",
    )
    stacked = page.eval_on_selector_all(
        "picture:not([hidden]) img", "all => all.filter(one => one.naturalHeight > one.naturalWidth).length"
    )
    shown = page.locator("main section").count()
    assert page.locator("p.phone").is_visible() == (width == 390), "it explains left and right"
    context.close()
    assert wrong == []
    assert len(pictures) == shown == len(COURSE)
    assert all(complete and natural > 600 and alt for complete, natural, alt in pictures)
    assert beyond <= 0
    assert wide == []
    assert stacked == (len(COURSE) - 1 if width == 390 else 0), (
        "on a phone, all pictures except that of piecewise are stacked"
    )
