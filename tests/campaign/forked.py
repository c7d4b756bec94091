"""Runs commands in forks of a process that has already imported everything, so that each takes 0.1 s instead of 8 s.

Each command gets an empty folder, limits of memory and time, and an audit hook that records changes outside the folder.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.mkdir": 1,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
}
CHANGES |= {"os.chmod": 1, "shutil.rmtree": 1, "shutil.move": 2}  # event -> number of paths


@dataclass
class Ended:
    """The result of a command.

    Attributes:
        code: its exit code, or minus the number of the signal that killed it.
        text: its output and error output.
        seconds: processor time.
        wall: elapsed seconds.
        bytes: the largest resident memory.
        outside: paths that it changed outside its folder.
        interrupted: whether it was training when `patience` ended, and was interrupted.
    """

    code: int
    text: str
    seconds: float
    wall: float
    bytes: int
    outside: list[str] = field(default_factory=list)
    interrupted: bool = False


def warm() -> None:
    """Import the modules that commands need, and load the compiled kernel."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ["MPLBACKEND"] = "agg"
    import matplotlib.pyplot  # noqa: F401
    import torch
    from hydra.core.plugins import Plugins

    import steepest.cli
    import steepest.course.lesson
    import steepest.entry
    import steepest.lightning.run
    import steepest.runs.drive
    import steepest.sweep.estimate
    import steepest.sweep.processes
    import steepest.sweep.report.page
    import steepest.sweep.threads  # noqa: F401
    from steepest.engine.cache import ready
    from steepest.engine.descent import without_dynamo

    torch.set_num_threads(1)
    without_dynamo()
    for precision in ("float32", "float64"):
        ready(precision)
    Plugins.instance()


def train(*words: str) -> Callable[[], None]:
    """Return a function that runs `python train.py WORDS`."""

    def command() -> None:
        sys.argv = [str(ROOT / "train.py"), *words]
        runpy.run_path(sys.argv[0], run_name="__main__")

    return command


def steepest(*words: str) -> Callable[[], None]:
    """Return a function that runs `steepest WORDS`. A `train.py` that it starts runs in the same process."""

    def command() -> None:
        from steepest.cli import main

        subprocess.run = _inline  # type: ignore[assignment]
        sys.argv = ["steepest", *words]
        main()

    return command


def _inline(words: Sequence[str], *positional: Any, **options: Any) -> subprocess.CompletedProcess:
    if len(words) < 2 or not str(words[1]).endswith("train.py"):
        return _run(words, *positional, **options)
    os.environ.update(options.get("env") or {})
    os.environ.pop("STEEPEST_PARENT", None)  # which is this process
    os.chdir(options.get("cwd") or ".")
    try:
        train(*words[2:])()
    except SystemExit as end:
        return subprocess.CompletedProcess(words, end.code if isinstance(end.code, int) else 0)
    return subprocess.CompletedProcess(words, 0)


_run = subprocess.run


def call(
    command: Callable[[], Any],
    folder: Path,
    *,
    limit: int = 6 * GIB,
    patience: float = 20.0,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command in a fork.

    Args:
        command: the function to call. It may raise `SystemExit`.
        folder: its working folder, which may already contain files.
        limit: the number of bytes of memory that it may use in addition to those of this process.
        patience: the number of seconds after which a command is interrupted if it trains, and killed otherwise.
        environment: the environment variables to set.
    """
    before = time.perf_counter()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as changes:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.setsid()
                for number in (1, 2):
                    os.dup2(output.fileno(), number)
                os.environ.update(environment or {})
                code = _child(command, folder, changes.fileno(), limit)
            finally:
                os._exit(code)
        interrupted, status, used = _wait(child, folder, before + patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # its child processes may still be running
        output.seek(0)
        changes.seek(0)
        outside = sorted(set(changes.read().decode(errors="replace").split("\0")) - {""})
        text = output.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    return Ended(
        code,
        text,
        used.ru_utime + used.ru_stime,
        time.perf_counter() - before,
        used.ru_maxrss * 1024,
        outside,
        interrupted,
    )


def _child(command: Callable[[], Any], folder: Path, changes: int, limit: int) -> int:
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + limit, mapped + limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (GIB, GIB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(file=2)
    atexit._clear()  # the handlers of the parent
    _note_changes(folder.resolve(), changes)
    try:
        command()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(end.code)
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    else:
        code = 0
    atexit._run_exitfuncs()  # a refused command removes its folder there
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _note_changes(folder: Path, changes: int) -> None:
    """Write the path of each file or folder that this process changes outside `folder`, apart from caches."""
    from steepest.engine.cache import folder as compiled

    allowed = [str(folder), "/dev/null", "/proc/self", str(compiled()), str(Path.home() / ".cache")]
    allowed.append(f"{tempfile.gettempdir()}/tmp")  # files of the tempfile module

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            paths = [path] if isinstance(flags, int) and flags & WRITES else []
        elif event == "shutil.copyfile":
            paths = arguments[1:]
        else:
            paths = arguments[: CHANGES.get(event, 0)]
            if event in ("os.remove", "os.rmdir") and arguments[1] != -1:
                return  # below a folder that `shutil.rmtree` opened, and reported
        for path in paths:
            if not isinstance(path, str | bytes | os.PathLike):
                continue
            name = os.path.realpath(os.fsdecode(path))
            if (
                not any(name == one or name.startswith(one if one.endswith("/tmp") else one + "/") for one in allowed)
                and "/__pycache__" not in name
            ):
                os.write(changes, f"{event} {name}\0".encode(errors="replace"))

    sys.addaudithook(note)


def _wait(child: int, folder: Path, deadline: float) -> tuple[bool, int, resource.struct_rusage]:
    interrupted = False
    while True:
        found, status, used = os.wait4(child, os.WNOHANG)
        if found:
            return interrupted, status, used
        if time.perf_counter() > deadline:
            if interrupted or not _trains(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                _, status, used = os.wait4(child, 0)
                return interrupted, status, used
            interrupted, deadline = True, time.perf_counter() + 15
            os.kill(child, signal.SIGINT)
        time.sleep(0.005)


def _trains(folder: Path) -> bool:
    """Return whether a run in this folder has written an event file or run.json, so that its checks are finished."""
    return any(folder.rglob("run.json")) or any(folder.rglob("sweep.json"))
