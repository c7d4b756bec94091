"""A lock that lets one thread run Python code while the others run compiled code or wait for the disk.

Threads that compete for Python's global lock pass it on at every operation of PyTorch and NumPy, which costs them a
fifth of their time. This second lock changes hands only around compiled code and disk writes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_thread = threading.local()


@contextmanager
def hold(lock: threading.Lock) -> Iterator[None]:
    """Hold the lock in this thread, except inside `released`."""
    with lock:
        _thread.lock = lock
        try:
            yield
        finally:
            del _thread.lock


@contextmanager
def released() -> Iterator[None]:
    """Let another thread run Python code in this block. Without `hold` in this thread, it does nothing."""
    lock: threading.Lock | None = getattr(_thread, "lock", None)
    if lock is None:
        yield
        return
    lock.release()
    try:
        yield
    finally:
        lock.acquire()
