"""Finds the git revision of the checkout that this code runs from, without letting git start other programs.

Environment variables and the repository's configuration (fsmonitor, hooks, filters, includes) can make git start
programs. `git status` therefore runs in an empty temporary git folder that uses the repository's index and objects.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
SAFE = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")


@cache
def checkout(here: Path = HERE) -> dict[str, Any]:
    """Return the revision and whether files differ from it. Both are None outside a checkout and without git."""
    program = shutil.which("git", path=os.defpath)
    if program is None:
        return {"revision": None, "dirty": None}

    def git(*words: str, **place: str) -> str:
        environment = {
            "PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0",
        }  # fmt: skip
        command = [program, *SAFE, *words]
        return subprocess.run(
            command, cwd=here, env=environment | place, capture_output=True, text=True, check=True
        ).stdout.strip()

    revision = None
    try:
        paths = ("--git-path", "index", "--git-path", "objects", "--git-path", "info/exclude")
        revision, root, *found = git("rev-parse", "HEAD", "--show-toplevel", *paths).splitlines()
        index, objects, exclude = (str(Path(here, path)) for path in found)
        with TemporaryDirectory() as empty:
            Path(empty, "refs").mkdir()
            Path(empty, "HEAD").write_text(f"{revision}\n")
            shutil.copyfile(index, Path(empty, "index"))
            place = {"GIT_DIR": empty, "GIT_WORK_TREE": root, "GIT_OBJECT_DIRECTORY": objects}
            changes = git("-c", f"core.excludesFile={exclude}", "status", "--porcelain", "--ignore-submodules", **place)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return {"revision": revision, "dirty": None}
    return {"revision": revision, "dirty": bool(changes)}
