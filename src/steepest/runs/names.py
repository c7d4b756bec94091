"""`name=mine`: the folder of a run or a sweep that the user named. This module does not import torch."""

from __future__ import annotations

import re
from pathlib import Path

OUTPUTS = Path("outputs")
TAKEN = ("runs", "sweeps", "course", "cache")  # folders of `OUTPUTS` that the program fills
PLAIN = re.compile(r"\w[\w.-]*")


def named_folder(name: object, default: str) -> str:
    """Return the folder of a run or a sweep: the named one, or `default` without a name. `check_name` checks it."""
    return default if name is None else str(OUTPUTS / str(name))


def check_name(name: object, folder: Path) -> None:
    """Check the name of a new run or sweep, before its folder is created.

    Args:
        name: the config's `name`.
        folder: the folder of the run or the sweep.

    Raises:
        ValueError: if the name is not plain, is taken, or contradicts the chosen folder.
    """
    if name is None:
        return
    text = str(name)
    if not PLAIN.fullmatch(text) or text in TAKEN:
        raise ValueError(
            f"name={text}: use letters, digits, '_', '-' and '.', with a letter or digit first, and none of "
            f"{', '.join(TAKEN)}; for a folder elsewhere: hydra.run.dir=FOLDER, or in a sweep hydra.sweep.dir=FOLDER"
        )
    if folder != OUTPUTS / text:
        raise ValueError(f"name={text} and the folder {folder} contradict each other: leave out one of them")
    if folder.exists():
        more = ""
        if (folder / "sweep.json").exists():
            more = f", or continue the sweep with steepest resume {folder}"
        elif (folder / "config.yaml").exists():
            more = f", or continue the run with resume={folder}"
        raise ValueError(f"name={text}: {folder} exists already: choose another name{more}")
