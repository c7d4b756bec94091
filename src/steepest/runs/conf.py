"""Where the configs are."""

from __future__ import annotations

from pathlib import Path


def conf_folder() -> Path:
    """The folder of train.yaml: ``conf/`` here, or that of the checkout this package is installed from.

    Raises:
        ValueError: where there is neither.
    """
    for folder in (Path.cwd() / "conf", Path(__file__).resolve().parents[3] / "conf"):
        if (folder / "train.yaml").exists():
            return folder
    raise ValueError("there is no conf/train.yaml here: run this in the checkout of steepest, where train.py is")
