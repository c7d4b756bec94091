"""Turns at Python for threads: one thread runs Python code while the others are in compiled code or wait for the disk.

Threads that compete for Python's own lock hand it over at every operation of PyTorch and NumPy, which costs them a
fifth of their time. A lock above it changes hands only where that pays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_own = threading.local()


@contextmanager
def turn(lock: threading.Lock) -> Iterator[None]:
    """Hold the lock in this thread, except inside `released`."""
    with lock:
        _own.lock = lock
        try:
            yield
        finally:
            del _own.lock


@contextmanager
def released() -> Iterator[None]:
    """Let another thread run Python code meanwhile; nothing happens in a thread that takes no turns."""
    lock: threading.Lock | None = getattr(_own, "lock", None)
    if lock is None:
        yield
        return
    lock.release()
    try:
        yield
    finally:
        lock.acquire()
