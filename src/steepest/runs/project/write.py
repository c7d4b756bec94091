"""Writes the files of `steepest init`. This module does not import torch.

The files are the templates beside this module, named by `FILES`.
"""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from importlib.machinery import PathFinder
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from steepest.runs.conf import conf_folder

FILES = {  # template -> the file in the project; NAME stands for the package
    "readme.md.j2": "README.md",
    "package.py.j2": "NAME/__init__.py",
    "model.py.j2": "NAME/model.py",
    "model.yaml.j2": "conf/model/NAME.yaml",
    "experiment.yaml.j2": "conf/experiment/NAME.yaml",
    "test_model.py.j2": "tests/test_model.py",
    "gitignore.j2": ".gitignore",
    "pyproject.toml.j2": "pyproject.toml",
}
TAKEN = ("conf", "data", "docs", "outputs", "test", "tests")  # other folders of a project


def write_project(folder: Path) -> list[str]:
    """Write a project into a folder. The package gets the folder's name.

    Returns:
        The names of the files.

    Raises:
        ValueError: if the folder's name cannot be the package's, or if a file exists. Then nothing is written.
    """
    name = package_name(folder)
    files = {template: file.replace("NAME", name) for template, file in FILES.items()}
    check_free(folder, list(files.values()))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the files are not HTML
    )
    given = {"name": name, "kind": "".join(word.title() for word in name.split("_")) or "Mine"}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".init-") as temporary:  # nothing is left half written
        for template, file in files.items():
            path = Path(temporary, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(environment.get_template(template).render(given), encoding="utf-8")
        for file in files.values():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(temporary, file), folder / file)
    return list(files.values())


def package_name(folder: Path) -> str:
    """Return the name of the package of a project in this folder.

    Raises:
        ValueError: if Python or a config could mistake it for something else.
    """
    text = folder.resolve().name
    name = re.sub(r"[ .-]+", "_", text.lower())
    why = None
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name.startswith("_"):
        why = "is not a name for a Python package"
    elif name in sys.stdlib_module_names or name in TAKEN:
        why = "is the name of a module of Python or of another folder of a project"
    elif (found := PathFinder.find_spec(name)) is not None and found.origin is not None:
        why = f"is the name of an installed package ({found.origin})"
    elif any((conf_folder() / group / f"{name}.yaml").exists() for group in ("model", "experiment")):
        why = f"is the name of a shipped config (model={name})"
    if why:
        raise ValueError(f"{text!r} {why}, and the package gets the folder's name: use another name, such as my_models")
    return name


def check_free(folder: Path, files: list[str]) -> None:
    """Check that none of these files exists.

    Raises:
        ValueError: with the files that exist.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: give the name of a new folder")
    if existing := [file for file in files if (folder / file).exists() or (folder / file).is_symlink()]:
        raise ValueError(f"{folder} has {', '.join(existing)} already: use another folder; no file was changed")
