"""The folder of the configs."""

from __future__ import annotations

from pathlib import Path


def conf_folder() -> Path:
    """``conf/`` of the current folder, or of the checkout that this package is installed from.

    Raises:
        ValueError: if neither has a train.yaml.
    """
    for folder in (Path.cwd() / "conf", Path(__file__).resolve().parents[3] / "conf"):
        if (folder / "train.yaml").exists():
            return folder
    raise ValueError(
        "there is no conf/train.yaml here: run this in the checkout of steepest, in the folder of train.py"
    )
