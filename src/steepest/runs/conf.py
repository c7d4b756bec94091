"""Finds the config folder and the `train.py` that reads it."""

from __future__ import annotations

import sys
from pathlib import Path

from steepest.data.home import HOME


def conf_folder() -> Path:
    """Return ``conf/`` of the checkout from which this package is installed, or of the package.

    Raises:
        ValueError: if it has no train.yaml.
    """
    if (HOME / "conf" / "train.yaml").exists():
        return HOME / "conf"
    raise ValueError(f"{HOME / 'conf'} has no train.yaml: install steepest again")


def program() -> Path:
    """Return the `train.py` next to `conf_folder`."""
    return conf_folder().parent / "train.py"


def is_own(file: Path) -> bool:
    """Return whether a config file belongs to this package or to the script that is running."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    homes = [HOME, *([Path(script).resolve().parent] if script else [])]
    return any(file.resolve().is_relative_to(home / "conf") for home in homes)
