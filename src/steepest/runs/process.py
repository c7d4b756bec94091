"""Reads a process's cores, folder and memory, filters its warnings, and ends it when the sweep ends.

Importing this module does not import torch.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

PAUSE = 0.2  # seconds between two checks whether the parent is still running
PER_CORE = 4  # maximum number of processes or threads per core
KEPT = 31 << 20  # bytes; the C library accepts at most 32 MiB
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows, SIGTERM ends a process at once
interrupts: list[int] = []  # the Ctrl-C signals of this run, see `remember_interrupts`
PARENT = "STEEPEST_PARENT"  # environment variable: the id of the parent; this process ends when the parent exits
FOLDER = "STEEPEST_FOLDER"  # environment variable of hydra/launcher=ray: the folder in which the sweep was started


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Return the number of bytes of memory that this process may use."""
    if sys.platform == "win32":
        return _windows_memory()
    import resource  # Windows does not have it

    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return total if limit == resource.RLIM_INFINITY else min(total, limit)


def _windows_memory() -> int:
    import ctypes

    kilobytes = ctypes.c_ulonglong()
    ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))  # type: ignore[attr-defined]
    return kilobytes.value * 1024


def processes(trainer: Mapping[str, Any]) -> int:
    """Return the number of processes that Lightning starts for this trainer node."""
    devices = trainer.get("devices", 1)
    if isinstance(devices, str) and "," in devices:
        devices = [name for name in devices.split(",") if name.strip()]
    if isinstance(devices, str) and devices.strip().lstrip("-").isdecimal():
        devices = int(devices)
    if isinstance(devices, list | tuple):
        number = len(devices)
    elif isinstance(devices, int) and devices >= 0:
        number = int(devices)
    else:  # auto or -1: all available devices
        number = _accelerators(str(trainer.get("accelerator", "auto")))
    nodes = trainer.get("num_nodes", 1)
    return max(number, 1) * (nodes if isinstance(nodes, int) else 1)


def _accelerators(kind: str) -> int:
    if kind not in ("auto", "gpu", "cuda"):
        return 1
    import torch

    return torch.cuda.device_count()


def become(command: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    """Replace this process by a command, with additional environment variables. On Windows, wait for it and exit."""
    environment = os.environ | dict(variables)
    if sys.platform == "win32":  # execve would return to the shell while the command runs
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)
    os.execve(command[0], list(command), environment)


def kill_group(leader: int, how: int) -> None:
    """Send a signal to a process and all processes of its group. Windows has no groups: to this process only."""
    if sys.platform == "win32":
        os.kill(leader, how)
    else:
        os.killpg(leader, how)


def enter_folder() -> None:
    """Change to the folder in which the sweep was started: a cluster starts processes in another folder.

    Raises:
        FileNotFoundError: if this machine of the cluster does not have that folder.
    """
    folder = Path(os.environ[FOLDER])
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}, where the sweep was started, is not on {platform.node()}: the machines of a cluster share one "
            "file system; start the sweep from a folder on it"
        )
    os.chdir(folder)


@cache
def end_with(parent: int, *, group: bool = False) -> None:
    """End this process when its parent exits: another process may then continue the sweep in the same folders.

    Further calls with the same arguments do nothing.

    Args:
        parent: the parent's process id; if it has exited already, this process ends at once.
        group: also end the processes of this process's group, which the job started.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PAUSE)
        if group:
            kill_group(os.getpid(), KILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def remember_interrupts() -> None:
    """Record each Ctrl-C in `interrupts`, because Python drops a KeyboardInterrupt that is raised in a destructor."""

    def handler(number: int, frame: Any) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)


def keep_freed_memory() -> None:
    """Make the C library keep freed memory, instead of returning it to the system and asking for it again."""
    import torch

    # After a block of this size is freed, glibc keeps blocks up to that size (mallopt(3), "dynamic mmap threshold").
    torch.empty(KEPT, dtype=torch.uint8)


NOT_ABOUT_THE_RUN = (
    ".*LeafSpec.*",  # Lightning 2.6 on torch 2.13, at every batch
    "Checkpoint directory .* exists and is not empty",  # a run is resumed
    "You passed in a `val_dataloader` but have no `validation_step`",  # the run itself scores the val part
    "GPU available but not used",  # by choice: small models train faster on the CPU
    "Glyph .* missing from font",  # a series name has a character that the font lacks; the picture shows a box
    "constrained_layout not applied",  # the axis labels of a run that almost diverged are too long
    ".*no current CUDA context",  # torch's first matrix product in a backward pass on a GPU; torch then creates one
)


def tame_warnings() -> None:
    """Send warnings to the run's log, except those that do not concern the run."""
    logging.captureWarnings(True)
    for message in NOT_ABOUT_THE_RUN:
        warnings.filterwarnings("ignore", message=message)
    warnings.filterwarnings("ignore", module="matplotlib")
