"""A lock on a run's folder: one process at a time trains a run. No torch."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steepest.runs.files import now

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

NAME = "run.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder. The file names the process that holds it, for the message to another one.

    The operating system frees the lock when its process ends, however it ends: a file that a killed process left does
    not lock the folder.

    Raises:
        ValueError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    while True:
        file = path.open("a+")
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise ValueError(
                f"{folder}: {holder} is training this run: wait until it has ended, or end it, and try again"
            ) from None
        except OSError:  # a file system without locks
            pass
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # its holder has removed the file between the two calls
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()} (since {now()})")
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
