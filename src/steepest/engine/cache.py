"""Where compiled code is kept between processes. Imports neither torch nor Numba.

The folder's name holds a hash of the kernel's source and of the versions that compiled it, so an edit or an upgrade
never meets stale code. One process compiles at a time; the others wait for its result instead of writing over it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("kernels.py")


@cache
def folder() -> Path | None:
    """The cache's folder, made if need be; None where neither the package's own nor the user's can be written."""
    key = hashlib.sha256(SOURCE.read_bytes())
    for package in ("numba", "llvmlite", "numpy"):
        key.update(importlib.metadata.version(package).encode())
    key.update(sys.version.encode())
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for parent in (SOURCE.parent / "__pycache__", users / "steepest"):
        found = parent / f"kernels-{key.hexdigest()[:16]}"
        try:
            found.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=found):
                return found
        except OSError:
            continue
    return None


def is_compiled(precision: str) -> bool:
    """Whether the kernel is on disk for this precision (``float32`` or ``float64``)."""
    found = folder()
    return found is not None and (found / precision).exists()


@contextmanager
def compiling(precision: str) -> Iterator[None]:
    """Hold the cache while it is filled; other processes wait, and find it filled."""
    found = folder()
    if found is None or is_compiled(precision):
        yield
        return
    from filelock import FileLock

    with FileLock(found / "lock"):
        yield
        (found / precision).touch()
