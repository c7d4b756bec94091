"""Finds the config folders and the `train.py` that reads them.

A project can have its own folder `conf/` in the working folder. Hydra searches it first, and then the shipped one
(`hydra_plugins.steepest_searchpath`).
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path, PurePosixPath

from steepest.data.home import HOME

# Groups that only config files use.
INTERNAL_GROUPS = {"data/base", "trainer/base", "stop/course", "hydra/job_logging", "hydra/hydra_logging"}


def conf_folder() -> Path:
    """Return ``conf/`` of the checkout from which this package is installed, or of the package.

    Raises:
        ValueError: if it has no train.yaml.
    """
    if (HOME / "conf" / "train.yaml").exists():
        return HOME / "conf"
    raise ValueError(f"{HOME / 'conf'} has no train.yaml: install steepest again")


def project_conf() -> Path | None:
    """Return ``conf/`` of the working folder. None if there is none, or if it is `conf_folder`."""
    with suppress(OSError):  # the working folder does not exist any more
        folder = Path.cwd() / "conf"
        if folder.is_dir() and folder.resolve() != (HOME / "conf").resolve():
            return folder
    return None


def config_files(pattern: str) -> dict[str, Path]:
    """Return the config files that match a pattern such as ``model/*.yaml``, by their path below ``conf/``.

    A project's file replaces the shipped file with the same path.

    Raises:
        ValueError: as `conf_folder` does.
    """
    folders = [conf_folder(), project_conf()]
    found = {file.relative_to(folder).as_posix(): file for folder in folders if folder for file in folder.glob(pattern)}
    return dict(sorted(found.items()))


def choices() -> dict[str, set[str]]:
    """Return the choices of each config group. Groups that only config files use are left out."""
    found: dict[str, set[str]] = {group: {"basic"} for group in ("hydra/launcher", "hydra/sweeper")}
    for file in map(PurePosixPath, config_files("*/**/*.yaml")):
        if str(file.parent) not in INTERNAL_GROUPS:
            found.setdefault(str(file.parent), set()).add(file.stem)
    return found


def program() -> Path:
    """Return the `train.py` next to `conf_folder`."""
    return conf_folder().parent / "train.py"


def is_own(file: Path) -> bool:
    """Return whether a config file belongs to this package or to the script that is running."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    homes = [HOME, *([Path(script).resolve().parent] if script else [])]
    return any(file.resolve().is_relative_to(home / "conf") for home in homes)
