"""Finds the config folder and the `train.py` that reads it."""

from __future__ import annotations

import sys
from pathlib import Path

INSTALLED = Path(__file__).resolve().parents[3]  # the checkout from which this package is installed


def conf_folder() -> Path:
    """Return ``conf/`` of the checkout from which this package is installed, or of the current folder.

    Raises:
        ValueError: if neither has a train.yaml.
    """
    for folder in (INSTALLED / "conf", Path.cwd() / "conf"):
        if (folder / "train.yaml").exists():
            return folder
    raise ValueError(
        "there is no conf/train.yaml here: run this in the checkout of steepest, in the folder of train.py"
    )


def program() -> Path:
    """Return the `train.py` next to `conf_folder`."""
    return conf_folder().parent / "train.py"


def is_own(file: Path) -> bool:
    """Return whether a config file belongs to this package or to the script that is running."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    homes = [INSTALLED, *([Path(script).resolve().parent] if script else [])]
    return any(file.resolve().is_relative_to(home / "conf") for home in homes)
