"""Processes: how many go side by side, where they work, their memory, that none outlives its sweep.

No torch at import.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import threading
import time
import warnings
from pathlib import Path

PAUSE = 0.2  # seconds between two looks at whether the parent is there
KEPT = 31 << 20  # bytes: 32 MiB is the most that the C library takes
FOLDER = "STEEPEST_FOLDER"  # set by hydra/launcher=ray: where the sweep was started


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def enter_folder() -> None:
    """Go where the sweep was started: processes of a cluster begin where the cluster was.

    Raises:
        FileNotFoundError: this machine of the cluster does not have that folder.
    """
    folder = Path(os.environ[FOLDER])
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}, where the sweep was started, is not on {platform.node()}: the machines of a cluster share one "
            "file system; start the sweep from a folder on it"
        )
    os.chdir(folder)


def end_with(parent: int, *, group: bool = False) -> None:
    """End this process when its parent is no more: another one may go on with the sweep, in the same folders.

    Args:
        parent: whose child this process is; if it is not any more, it ends at once.
        group: end the processes of its group, too: those that a job started.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PAUSE)
        if group:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def keep_freed_memory() -> None:
    """Have the C library keep memory that is freed, instead of asking for it page by page again and again."""
    import torch

    # glibc keeps what it was once given back in one piece, up to this size (mallopt(3), "dynamic mmap threshold").
    torch.empty(KEPT, dtype=torch.uint8)


def tame_warnings() -> None:
    """Let warnings reach the run's log; those that say nothing of the run do not."""
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 on torch 2.13, at every batch
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # a resumed run's own
