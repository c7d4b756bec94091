"""What the page of a run and the page of a sweep share: templates, style, pictures as text, the path of the file."""

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
FIRST = ("prediction", "walk_forward", "loss")  # pictures that come before the others


@dataclass
class Images:
    """The pictures of a run.

    Attributes:
        shown: name and data URI of each file in figures/.
        left_out: files that would make the page too large.
    """

    shown: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_images(folder: Path) -> Images:
    """Read the pictures in a run's folder, the predictions first.

    Raises:
        ValueError: with the name of a picture that cannot be read.
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
    """Write a page: report.html in a folder, or `out`.

    Args:
        folder: of the run or of the sweep.
        out: another file, or None.
        page: returns the HTML, from the folder of the file.

    Returns:
        The path of the file.

    Raises:
        ValueError: if `out` is a folder.
    """
    path = out or folder / "report.html"
    if path.is_dir():
        raise ValueError(f"--out {path} is a folder; give the name of a file, such as {path / 'report.html'}")
    text = page(path.parent)
    write_text(path, text.encode(errors="replace").decode())  # a record may contain half a surrogate pair
    return path


def environment(templates: Path) -> Environment:
    """The templates in a folder. All values are escaped, and a missing value is an error."""
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
    """The style and the script of both pages, by their names in the templates."""
    return {
        "style": Markup((HERE / "page.css").read_text()),
        "controls": Markup((HERE / "controls.js").read_text()),
    }


def near(folder: Path) -> str:
    """A folder's path, relative to the working directory if it is below it."""
    full = folder.absolute()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)


def when(moment: str) -> str:
    """A time of a record as text."""
    return moment.replace("T", " ").replace("+00:00", " UTC")
