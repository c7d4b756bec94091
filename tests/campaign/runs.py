"""Runs and kills `train.py`, in a fork of this process or as the real command, and compares two runs.

A fork starts in milliseconds, because this process has already imported everything.
"""

from __future__ import annotations

import json
import math
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

ROOT = Path(__file__).resolve().parents[2]
TRAIN = str(ROOT / "train.py")
TIMEOUT = 180.0  # seconds after which a run counts as hanging
HIT = "hit"  # this file exists after a signal was sent

# Kill point -> the functions in which a fork is killed.
POINTS = {
    "import": [("steepest.entry", "job")],
    "first epochs": [("steepest.runs.tracker", "Tracker.epoch_end"), ("steepest.runs.tracker", "Tracker.begin")],
    "checkpoint": [("steepest.runs.checkpoints", "save")],
    "evaluation": [("steepest.lightning.run", "finish")],
    "folds": [("steepest.runs.walk_forward", "Walk.pooled"), ("steepest.runs.walk_forward", "Walk._result")],
    "pictures": [("steepest.lightning.pictures", "draw_scores"), ("steepest.lightning.pictures", "draw_descent")],
    "end": [("steepest.lightning.pictures", "show"), ("steepest.entry", "_report")],
}
SIGNALS = {
    "SIGKILL": [signal.SIGKILL],
    "SIGTERM": [signal.SIGTERM],
    "SIGINT": [signal.SIGINT],
    "SIGINT twice": [signal.SIGINT, signal.SIGINT],
    "SIGHUP": [signal.SIGHUP],
}


@dataclass(frozen=True)
class Kill:
    """The place and the way in which a run is killed.

    Attributes:
        point: the name of a kill point.
        signals: a name of `SIGNALS`.
        call: the number of the call of the point's function, counted from 0.
        event: the number of the function call inside it. If there are fewer, the run is killed at its end.
        place: the index of the function in the point's list.
        pause: seconds between two signals.
        period: the minimum number of seconds between two checkpoints of the run.
        after: the share of its usual duration after which a real command is killed.
    """

    point: str
    signals: str
    call: int
    event: int
    place: int
    pause: float
    period: float
    after: float

    @classmethod
    def draw(cls, rng: random.Random) -> Kill:
        """Return a random kill."""
        point = rng.choice(list(POINTS))
        return cls(
            point,
            rng.choice(list(SIGNALS)),
            rng.choice([0, 0, 1, 2, 4]) if point in ("first epochs", "checkpoint") else 0,
            int(math.exp(rng.uniform(0, math.log(30000)))),
            rng.randrange(len(POINTS[point])),
            rng.uniform(0, 0.3),
            rng.choice([0.0, 0.0, 0.02, 1.0]),
            rng.random(),
        )

    def __str__(self) -> str:
        return (
            f"{self.signals} at {self.point} (call {self.call}, event {self.event}, checkpoints every {self.period} s)"
        )


def warm_up(folder: Path) -> None:
    """Import everything and load the compiled kernels, so that forks start quickly."""
    from hydra import compose, initialize_config_dir

    import steepest.entry
    import steepest.observe.gallery
    from steepest.lightning.run import run

    torch.set_num_threads(1)
    for number, options in enumerate((["model=mlp_manual"], ["model=mlp_manual", "trainer.precision=64-true"])):
        (folder / str(number)).mkdir(parents=True)
        small = ["data=random_walk", "data.rows=200", "data.window=3", "stop.epochs=2", "~callbacks.progress"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("train", [*small, *options])
        run(config, folder / str(number), options)
    assert steepest.entry.job
    assert threading.active_count() == 1, "a fork of a process with several threads can hang"


def forked(arguments: Sequence[str], cwd: Path, log: Path, kill: Kill | None = None) -> int:
    """Run `train.py` in a fork. Return its exit code, which is negative for a signal."""
    return ended(started(partial(_be_the_command, arguments, cwd, log, kill)))


def together(arguments: Sequence[str], cwd: Path, logs: Sequence[Path], pause: float) -> list[int]:
    """Run `train.py` in several forks at once. Return their exit codes.

    Args:
        arguments: the arguments of each fork.
        cwd: the working folder of each fork.
        logs: the log of each fork.
        pause: seconds between two starts.
    """
    children = []
    for log in logs:
        children.append(started(partial(_be_the_command, arguments, cwd, log, None)))
        time.sleep(pause)
    return [ended(child) for child in children]


def started(command: Callable[[], None]) -> int:
    """Call a function in a fork. Return its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            command()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def ended(child: int, limit: float = TIMEOUT) -> int:
    """Wait for a fork. Return its exit code, which is negative for a signal."""
    deadline = time.monotonic() + limit
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"a process took more than {limit:g} s")
        time.sleep(0.005)


def commanded(arguments: Sequence[str], cwd: Path, log: Path, kill: Kill | None = None, usual: float = 0.0) -> int:
    """Run the real command, and send the signals after a share of its usual duration. Return its exit code."""
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, TRAIN, *arguments], cwd=cwd, stdout=out, stderr=out)
        try:
            if kill is not None:
                time.sleep(kill.after * usual)
                for number in SIGNALS[kill.signals]:
                    if process.poll() is None:
                        process.send_signal(number)
                        (cwd / HIT).touch()
                        time.sleep(kill.pause)
            return process.wait(TIMEOUT)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def enter(cwd: Path, log: Path) -> None:
    """Make a fork like a process that a shell has started in a folder."""
    os.chdir(cwd)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _be_the_command(arguments: Sequence[str], cwd: Path, log: Path, kill: Kill | None) -> None:
    enter(cwd, log)
    sys.argv = [TRAIN, *arguments]
    if kill is not None:
        _arm(kill, cwd / HIT)
    runpy.run_path(TRAIN, run_name="__main__")


def _arm(kill: Kill, hit: Path) -> None:
    """Replace the kill point's function with one that sends the signals while it runs."""
    import importlib

    import steepest.lightning.callbacks

    steepest.lightning.callbacks.PAUSE = kill.period
    module_name, path = POINTS[kill.point][kill.place]
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    state = {"calls": 0, "events": 0, "sent": 0}

    def send() -> None:
        sys.setprofile(None)
        if state["sent"]:
            return
        state["sent"] = 1
        hit.touch()
        first, *others = SIGNALS[kill.signals]
        for other in others:
            timer = threading.Timer(kill.pause, os.kill, (os.getpid(), other))
            timer.daemon = True
            timer.start()
        os.kill(os.getpid(), first)

    def profile(frame: Any, event: str, argument: Any) -> None:
        state["events"] += 1
        if state["events"] == kill.event:
            send()

    def inside(*positional: Any, **named: Any) -> Any:
        state["calls"] += 1
        if state["calls"] - 1 != kill.call:
            return original(*positional, **named)
        sys.setprofile(profile)
        try:
            result = original(*positional, **named)
        finally:
            sys.setprofile(None)
        send()
        return result

    owner_modules = [m for n, m in list(sys.modules.items()) if n.startswith("steepest.")] if not parents else []
    for module in owner_modules:  # modules that imported the function by name
        if getattr(module, name, None) is original:
            setattr(module, name, inside)
    setattr(owner, name, inside)


def differences(expected: Path, folder: Path) -> list[str]:
    """Describe the differences between a finished run and the uninterrupted one."""
    found = []
    one, other = (json.loads((f / "metrics.json").read_text()) for f in (expected, folder))
    for metrics in (one, other):
        metrics.pop("seconds")
    found += _differ("metrics.json", one, other)
    one, other = (json.loads((f / "run.json").read_text()) for f in (expected, folder))
    kept = ("status", "stop_reason", "overrides", "seed", "objective", "data", "engine", "notes")
    found += _differ("run.json", *({key: facts[key] for key in kept} for facts in (one, other)))
    for name in ("predictions.csv", "parity.csv", "folds.csv"):
        texts = [(f / name).read_bytes() if (f / name).exists() else None for f in (expected, folder)]
        if texts[0] != texts[1]:
            found.append(f"{name} differs")
    for name in ("last.ckpt", "best.ckpt"):
        contents = [torch.load(f / "checkpoints" / name, weights_only=True) for f in (expected, folder)]
        for content in contents:
            _without_times(content)
        found += _differ(name, *contents)
    events = [_points(f) for f in (expected, folder)]
    for key in sorted(set(events[0]) | set(events[1])):
        if events[0][key] != events[1][key]:
            tag, step, value = key
            found.append(f"events: {tag} at {step}: {value!s:.20} occurs {events[1][key]} times, not {events[0][key]}")
    files = [Counter(_name(p.relative_to(f)) for p in f.rglob("*") if p.is_file()) for f in (expected, folder)]
    for names in files:
        names.pop("checkpoints/previous.ckpt", None)  # exists only after two checkpoints
    found += [f"files: {name} is missing" for name in sorted(files[0] - files[1])]
    found += [f"files: {name} should not exist" for name in sorted(files[1] - files[0])]
    return found


def _name(path: Path) -> str:
    """Return a file's name without the time and the process id."""
    return "events" if path.name.startswith("events.out.tfevents.") and path.suffix != ".part" else str(path)


def _without_times(content: dict[str, Any]) -> None:
    """Remove the entries that differ between two equal runs."""
    content.pop("loops", None)


def _differ(where: str, one: Any, other: Any) -> list[str]:
    """Describe the places in which two values differ."""
    if type(one) is not type(other):
        return [f"{where}: {type(other).__name__} instead of {type(one).__name__}"]
    if isinstance(one, dict):
        missing = [f"{where}/{key}: only in one" for key in one.keys() ^ other.keys()]
        return missing + [
            line for key in one if key in other for line in _differ(f"{where}/{key}", one[key], other[key])
        ]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(other)} entries instead of {len(one)}"]
        return [line for n, pair in enumerate(zip(one, other, strict=True)) for line in _differ(f"{where}/{n}", *pair)]
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
        return [] if same else [f"{where}: the tensors differ"]
    both_nan = isinstance(one, float) and math.isnan(one) and math.isnan(other)
    return [] if one == other or both_nan else [f"{where}: {other!r} instead of {one!r}"]


def _points(folder: Path) -> Counter:
    """Count each point (tag, step, value) in a run's event files. Times and speeds are left out."""
    points: Counter = Counter()
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.tag.startswith("speed/"):
                    continue
                kind = value.WhichOneof("value")
                content: Any = getattr(value, kind) if kind in ("simple_value", "histo") else kind
                if kind == "histo":
                    content = content.SerializeToString()
                points[value.tag, event.step, content if content == content else "nan"] += 1
    return points


@contextmanager
def folder_of_draws(prefix: str, *, keep: bool) -> Iterator[Path]:
    """Yield a temporary folder. Ctrl-C ends the block, so that the figures so far can be printed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore SIGINT
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    except KeyboardInterrupt:
        print("interrupted; the figures so far:")
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
