"""The course on one self-contained HTML page: texts, pictures, numbers and commands. It does not import torch."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from steepest.course.catalogue import OWN, Chapter
from steepest.course.guide import Taught, chapters_of, taught_course
from steepest.course.lecture import LECTURE
from steepest.course.lesson import NARROW, PICTURE, frame
from steepest.runs.files import now, write_text

HERE = Path(__file__).parent
OUTDATED = """<p class="notice">These results are of another version of steepest; run it again:
<code>steepest course {}</code></p>"""


def write_page(out: Path) -> Path:
    """Write index.html into a course's folder, from the results of the lessons in it."""
    page = out / "index.html"
    environment = Environment(
        loader=FileSystemLoader([HERE, HERE / "lessons"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    taught, script = taught_course(out), (HERE / "player.js").read_text()
    lessons = [_lesson(environment, number, c, taught.get(c.name), out) for number, c in enumerate(chapters_of(out), 1)]
    given = {
        "parts": [(part, list(some)) for part, some in groupby(lessons, key=lambda lesson: lesson["part"])],
        "lessons": lessons,
        "taught": taught,
        "failing": [name for name, one in taught.items() if one.fails],
        "short": any(one.short for one in taught.values()),
        "seconds": sum(one.seconds for one in taught.values()),
        "lecture": LECTURE,
        "titles": {lesson["name"]: (lesson["number"], lesson["title"]) for lesson in lessons},
        "script": Markup(script),
        "hash": base64.b64encode(sha256(script.encode()).digest()).decode(),
        "made": now()[:10],
        "versions": {name: version(name) for name in ("steepest", "torch", "lightning", "hydra-core")},
        "style": Markup((HERE / "page.css").read_text()),
    }
    write_text(page, environment.get_template("page.html.j2").render(given))
    return page


def _lesson(environment: Environment, number: int, chapter: Chapter, taught: Taught | None, out: Path) -> dict:
    found = taught.found if taught else {}
    written = found and chapter.part != OWN  # the user's own lessons have no text here
    try:
        text = environment.get_template(f"{chapter.name}.html.j2").render(n=found["numbers"]) if written else ""
    except (UndefinedError, TypeError):  # the text needs, or formats, a number that the results do not have
        text = OUTDATED.format(chapter.name)
    figures = out / chapter.name / "figures"
    return {
        "number": number,
        "name": chapter.name,
        "part": chapter.part,
        "title": chapter.title,
        "command": taught.command if taught else chapter.command,
        "taught": taught,
        "text": Markup(readable(text)),
        "sentence": readable(found.get("sentence", "")),
        "checks": {readable(claim): holds for claim, holds in found.get("checks", {}).items()},
        "picture": _inline(figures / PICTURE, "png") if found else "",
        "narrow": _inline(figures / NARROW, "png") if (figures / NARROW).exists() else "",
        "frames": [
            [_inline(frame(out / chapter.name, number, narrow=narrow), "png") for narrow in (False, True)]
            for number in range(found.get("frames", 0))
        ],
    }


def readable(text: str) -> str:
    """The text with powers of ten written as in school: 9e-16 becomes 9 · 10⁻¹⁶."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

    def school(found: re.Match[str]) -> str:
        factor, power = found[1], int(found[2])
        return "0" if float(factor) == 0 else f"{factor} · 10{str(power).translate(raised)}"

    return re.sub(r"\b(\d+(?:\.\d+)?)e([+-]\d+)\b", school, text)


def _inline(path: Path, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
