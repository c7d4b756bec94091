"""Locks a run's folder, so that only one process at a time trains a run. This module does not import torch."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steepest.runs.files import now

try:
    import fcntl
except ImportError:  # Windows does not have fcntl
    fcntl = None  # type: ignore[assignment]

NAME = "run.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run's folder within a `with` block. The lock file names the process for error messages.

    The operating system releases the lock when the process ends, even if it was killed. An old lock file therefore
    does not lock the folder.

    Raises:
        ValueError: if another process has locked the folder.
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
        except OSError:  # the file system does not support locks
            pass
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # another process removed the file after it was opened here
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()} (since {now()})")
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
