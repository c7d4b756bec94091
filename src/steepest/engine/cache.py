"""The cache of compiled code. This file does not import torch, and imports Numba only to compile.

The cache folder's name contains a hash of this package's sources and of the versions that compile them, so stale code
is not used after an edit or an upgrade. One process compiles at a time; the others wait for its result.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

HERE = Path(__file__).parent


@cache
def folder() -> Path | None:
    """The cache folder, created if necessary. None if neither the package's nor the user's folder is writable."""
    key = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(HERE.glob("*.py"))))
    for package in ("numba", "llvmlite", "numpy"):
        key.update(importlib.metadata.version(package).encode())
    key.update(sys.version.encode())
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for parent in (HERE / "__pycache__", users / "steepest"):
        path = parent / f"kernels-{key.hexdigest()[:16]}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                return path
        except OSError:
            continue
    return None


def is_compiled(precision: str) -> bool:
    """Whether the kernel is cached for this precision (``float32`` or ``float64``)."""
    path = folder()
    return path is not None and (path / precision).exists()


@cache
def ready(precision: str) -> None:
    """Load the kernel for this precision. If it is not cached, print a message and compile it."""
    path = folder()
    if path is None:
        log.warning("compiling the training kernel, at every start: neither %s nor ~/.cache is writable", HERE)
    elif not is_compiled(precision):
        log.warning("compiling the training kernel for %s, once on this machine", precision)
        compile_once(precision)
    _compile(precision)


def compile_once(precision: str) -> None:
    """Compile the kernel for this precision into the cache, or wait for the process that compiles it."""
    from filelock import FileLock

    path = folder()
    if path is None:
        return
    with FileLock(path / "lock"):
        if not is_compiled(precision):
            _compile(precision)
            (path / precision).touch()


def compile_in_background(precision: str) -> None:
    """Compile the kernel in another process while this one imports torch and Lightning. `ready` waits for it."""
    if folder() is not None and not is_compiled(precision):
        subprocess.Popen([sys.executable, "-P", "-m", "steepest.engine", precision], stderr=subprocess.DEVNULL)


def _compile(precision: str) -> None:
    from steepest.engine import kernels

    kernels.compile_for(precision)
