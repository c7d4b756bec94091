"""Processes: how many go side by side, and that none outlives the sweep it belongs to. No torch."""

from __future__ import annotations

import os
import signal
import threading
import time

PAUSE = 0.2  # seconds between two looks at whether the parent is there


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with(parent: int, *, group: bool = False) -> None:
    """End this process when its parent is no more: another one may go on with the sweep, in the same folders.

    Args:
        parent: whose child this process is; nothing is done if it is not (the children of a job inherit its
            environment).
        group: end the processes of its group, too: those that a job started.
    """
    if os.getppid() != parent:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PAUSE)
        if group:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
