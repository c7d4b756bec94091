"""The folders of the configs, and the program that reads them."""

from __future__ import annotations

import sys
from pathlib import Path

INSTALLED = Path(__file__).resolve().parents[3]  # the checkout that this package is installed from


def conf_folder() -> Path:
    """``conf/`` of the checkout that this package is installed from, or of the current folder.

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
    """The `train.py` beside `conf_folder`."""
    return conf_folder().parent / "train.py"


def is_own(file: Path) -> bool:
    """Whether a config file belongs to the program: to this package, or to the script that runs."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    homes = [INSTALLED, *([Path(script).resolve().parent] if script else [])]
    return any(file.resolve().is_relative_to(home / "conf") for home in homes)
