"""Shared by the reports of runs and sweeps: templates, style, embedded pictures, the path of the file."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from steepest.runs.files import unreadable, write_text

HERE = Path(__file__).parent
BYTES = 6_000_000  # maximum size of all pictures on a page
FIRST = ("prediction", "walk_forward", "loss")  # pictures shown first


@dataclass
class Images:
    """The pictures of a run.

    Attributes:
        shown: the name and data URI of each file in figures/.
        left_out: files that would make the page too large.
    """

    shown: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_images(folder: Path) -> Images:
    """Read the pictures in a run's folder, the predictions first.

    Raises:
        ValueError: if a picture cannot be read.
    """
    found, total = Images(), 0
    place = {name: number for number, name in enumerate(FIRST)}
    paths = (folder / "figures").glob("*.png")
    for path in sorted(paths, key=lambda path: (place.get(path.stem, len(FIRST)), path.name)):
        try:
            size = path.stat().st_size
            if total + size > BYTES:
                found.left_out.append(path.name)
                continue
            total += size
            data = base64.b64encode(path.read_bytes()).decode()
        except OSError as error:
            raise unreadable(path, error) from None
        found.shown.append((path.stem.replace("_", " "), f"data:image/png;base64,{data}"))
    return found


def write_page(folder: Path, out: Path | None, page: Callable[[Path], str]) -> Path:
    """Write a report to `out`, or to report.html in a folder.

    Args:
        folder: the folder of the run or the sweep.
        out: the file to write; None: report.html in the folder.
        page: returns the HTML, given the folder of the file.

    Returns:
        The path of the file.

    Raises:
        ValueError: if `out` is a folder.
    """
    path = out or folder / "report.html"
    if path.is_dir():
        raise ValueError(f"--out {path} is a folder: use a file name, such as {path / 'report.html'}")
    text = page(path.parent)
    write_text(path, text.encode(errors="replace").decode())  # a record may contain a lone surrogate
    return path


def environment(templates: Path) -> Environment:
    """The template environment of a folder. Values are escaped, and missing values are errors."""
    made = Environment(
        loader=FileSystemLoader([templates, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["when"] = when
    return made


def shared_parts() -> dict[str, Markup]:
    """The shared style and script, by their names in the templates."""
    return {
        "style": Markup((HERE / "page.css").read_text()),
        "controls": Markup((HERE / "controls.js").read_text()),
    }


def near(folder: Path) -> str:
    """Return a folder's path, relative to the working directory if it is inside it."""
    full = folder.absolute()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)


def when(moment: str) -> str:
    """Format a time of a record."""
    return moment.replace("T", " ").replace("+00:00", " UTC")
