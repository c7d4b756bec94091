"""Remembers which packages a user trusts in which folders, and makes the working folder importable.

`steepest init` and `steepest trust` add entries; a run in one of these folders then needs no ``trust=[PACKAGE]``. The
list is in the user's config folder, because a file in the project could come from someone else. This module does not
import torch.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from contextlib import suppress
from pathlib import Path

from steepest.runs.files import write_text

NOT_PARTS = ("conftest", "setup")  # modules of a project that no config names

imported: set[str] = set()  # trusted packages from which this process has imported parts


def list_file() -> Path:
    """Return the path of the list of trusted folders."""
    import typer  # only runs with custom classes need it

    return Path(typer.get_app_dir("steepest")) / "trusted.json"


def read_list() -> tuple[dict[str, list[str]], str | None]:
    """Return the trusted folders with their packages, and why the file cannot be read, or None if it can."""
    path = list_file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        folders = {folder: [*map(str, packages)] for folder, packages in content.items() if isinstance(packages, list)}
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        return {}, f"{path} cannot be read ({error}): correct or remove it"
    return folders, None


def trusted_here() -> list[str]:
    """Return the packages that the user trusts in the working folder."""
    with suppress(OSError):
        return read_list()[0].get(str(Path.cwd().resolve()), [])
    return []


def remember(folder: Path, packages: list[str]) -> None:
    """Set the packages that the user trusts in a folder. An empty list removes the folder.

    Raises:
        ValueError: if the list cannot be read.
        OSError: if it cannot be written.
    """
    folders, problem = read_list()
    if problem:
        raise ValueError(problem)
    folders = {name: kept for name, kept in folders.items() if name != str(folder.resolve())}
    if packages:
        folders[str(folder.resolve())] = packages
    path = list_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(dict(sorted(folders.items())), indent=2) + "\n")


def packages_in(folder: Path) -> list[str]:
    """Return the packages in a folder, and its modules such as ``mine.py``.

    Names of installed packages are left out: a config would get the installed one.
    """
    names = {file.parent.name for file in folder.glob("*/__init__.py")} | {file.stem for file in folder.glob("*.py")}
    return sorted(name for name in names if name.isidentifier() and name not in NOT_PARTS and _is_of(folder, name))


def _is_of(folder: Path, name: str) -> bool:
    """Return whether the import of this name would not find another package, which is installed."""
    if name in sys.stdlib_module_names:
        return False
    found = importlib.util.find_spec(name)
    return found is None or (found.origin is not None and Path(found.origin).is_relative_to(folder.resolve()))


def make_importable() -> None:
    """Let Python import packages of the working folder, after the installed ones: a `torch.py` there does not count."""
    with suppress(OSError):
        if (folder := str(Path.cwd())) not in sys.path:
            sys.path.append(folder)
