"""Kills sweeps at random moments, resumes them, and compares them with the uninterrupted sweeps, bit for bit.

    python -m tests.campaign.sweeps --count 60 [--seed 0] [--commands 0.1] [--launchers basic threads] [--course 3]

A draw kills the process of the sweep by a signal, or one of its workers by SIGKILL, or a node of a Ray cluster of three
nodes. `steepest resume SWEEP` then continues the sweep until it has finished. Launchers whose plugin is not installed
are left out. Most sweeps are forks of this process; `--commands` is the share of real commands. `--course` is the
number of draws in which `steepest course` is killed and started again.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from .forked import steepest
from .runs import SIGNALS, TRAIN, differences, enter, folder_of_draws, started, warm_up

PLUGINS = {
    "basic": "hydra", "threads": "hydra_plugins.steepest_launchers", "processes": "hydra_plugins.steepest_launchers",
    "joblib": "hydra_plugins.hydra_joblib_launcher", "ray": "hydra_plugins.hydra_ray_launcher",
    "ray, a node": "hydra_plugins.hydra_ray_launcher",
}  # fmt: skip
WORKERS = {"processes": "train.py", "joblib": "popen_loky", "ray": "ray::_run_job"}
SMALL = ["data=random_walk", "data.rows=300", "data.window=3", "data.batch_size=32", "~callbacks.pictures", "threads=1"]
SWEEPS = {
    "kernel": ["model=mlp_manual", "model.hidden=[4]", "seed=0,1", "optimizer.lr=0.01,0.03", "stop.epochs=40"],
    "mixed": ["model=linear_manual,linear", "seed=0,1", "optimizer=momentum", "stop.epochs=9"],
    "one fails": ["model=linear_manual", "optimizer.lr=0.01,1e30,0.02", "stop.epochs=20"],
    "tuned": [
        "model=linear_manual", "hydra/sweeper=tune", "hydra.sweeper.n_trials=5", "hydra.sweeper.batch=2",
        "optimizer.lr=interval(0.001,0.1)", "stop.epochs=9",
    ],
}  # fmt: skip
WAIT = "wait until it has ended"  # part of the refusal while another process has the folder
MOST = 12  # maximum number of attempts to finish a sweep
LIMIT = 240.0  # seconds after which a sweep counts as hanging
COMMAND = str(Path(sys.executable).with_name("steepest"))
LESSON = "three_steps"


@dataclass
class Counts:
    """The figures of the campaign."""

    draws: int = 0
    commands: int = 0
    kills: Counter = field(default_factory=Counter)  # launcher and what was killed -> number
    resumed: int = 0  # number of `steepest resume`
    waited: int = 0  # attempts refused because another process used the folder
    kept: int = 0  # jobs that had finished before a kill and did not run again
    faults: list[str] = field(default_factory=list)


class Process:
    """A command in a fork of this process, or a real command."""

    def __init__(self, words: Sequence[str], home: Path, real: bool) -> None:
        self.words = words
        if real:
            program = [COMMAND] if words[0] in ("resume", "course") else [sys.executable, TRAIN]
            with (home / "log").open("ab") as log:
                self.pid = subprocess.Popen([*program, *words], cwd=home, stdout=log, stderr=log).pid
        else:
            self.pid = started(partial(_command, words, home))
        self.code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code

    def wait(self, seconds: float) -> int | None:
        """Wait until the process ends, but no longer than this. Return its exit code."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.code

    def workers(self, name: str) -> list[int]:
        """Return the process ids of the descendants whose command contains this name."""
        parents, found = {}, [self.pid]
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return [pid for pid in found[1:] if name in _command_line(pid)]


def _command(words: Sequence[str], home: Path) -> None:
    enter(home, home / "log")
    if words[0] in ("resume", "course"):
        steepest(*words)()
        return
    sys.argv = [TRAIN, *words]
    runpy.run_path(TRAIN, run_name="__main__")


def _command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


class Campaign:
    """Runs draws in a temporary folder.

    Args:
        folder: the folder of the sweeps.
        seed: the seed of the draws.
        commands: the share of draws with real commands.
        launchers: names of `PLUGINS`.
    """

    def __init__(self, folder: Path, seed: int, commands: float, launchers: Sequence[str]) -> None:
        self.folder, self.rng, self.commands, self.launchers = folder, random.Random(seed), commands, launchers
        self.whole: dict[tuple[str, str], tuple[Path, float]] = {}  # sweep and launcher -> folder and seconds
        self.counts = Counts()

    def draw(self, number: int) -> None:
        """Run one draw and add its result to the counts."""
        rng = self.rng
        launcher, sweep = self.launchers[number % len(self.launchers)], rng.choice(list(SWEEPS))
        real = rng.random() < self.commands
        home = self.folder / str(number)
        home.mkdir()
        self.counts.draws += 1
        self.counts.commands += real
        try:
            with _cluster(launcher, home) as (options, kill_node):
                words = ["-m", *SMALL, *SWEEPS[sweep], *options, "hydra.sweep.dir=sweep"]
                whole, seconds = self._uninterrupted(sweep, launcher, words)
                found = self._resumed(launcher, words, seconds, home, real, kill_node)
            found = found or sweep_differences(whole, home / "sweep")
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        self._note(f"draw {number}: {launcher}: {sweep}{' (real command)' if real else ''}", found, home)

    def course(self, number: int) -> None:
        """Kill a course at a random moment and start it again."""
        words = ["course", LESSON, "--short", "--out", "course"]
        home = self.folder / f"course{number}"
        home.mkdir()
        self.counts.draws += 1
        self.counts.commands += 1
        try:
            key = ("course", LESSON)
            if key not in self.whole:
                whole = self.folder / "course"
                whole.mkdir()
                began = time.monotonic()
                if Process(words, whole, real=True).wait(LIMIT) != 0:
                    raise RuntimeError(f"the uninterrupted course failed: {_tail(whole)}")
                self.whole[key] = whole / "course", time.monotonic() - began
            whole, seconds = self.whole[key]
            process = Process(words, home, real=True)
            kind = self.rng.choice(list(SIGNALS))
            if process.wait(self.rng.uniform(0.2, 1) * seconds) is None:
                self._signal(process, kind)
                self.counts.kills[f"course, {kind}"] += 1
            process.wait(LIMIT)
            code = Process(words, home, real=True).wait(LIMIT)
            found = [] if code == 0 else [f"the course ended with {code}: {_tail(home)}"]
            found = found or course_differences(whole, home / "course")
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        self._note(f"course {number}", found, home)

    def _note(self, title: str, found: list[str], home: Path) -> None:
        if found:
            self.counts.faults.append("\n    ".join([title, *found[:6], f"({len(found)} differences; {home})"]))
            print(self.counts.faults[-1], flush=True)
        else:
            shutil.rmtree(home)

    def _uninterrupted(self, sweep: str, launcher: str, words: Sequence[str]) -> tuple[Path, float]:
        key = (sweep, launcher)
        if key not in self.whole:
            home = self.folder / f"whole{len(self.whole)}"
            home.mkdir()
            began = time.monotonic()
            code = Process(words, home, real=False).wait(LIMIT)
            if code != (1 if sweep == "one fails" else 0):
                raise RuntimeError(f"the uninterrupted sweep ended with {code}: {_tail(home)}")
            self.whole[key] = home / "sweep", time.monotonic() - began
        return self.whole[key]

    def _resumed(
        self, launcher: str, words: Sequence[str], seconds: float, home: Path, real: bool, kill_node: Callable[[], None]
    ) -> list[str]:
        """Kill a sweep once or twice, resume it until it has finished, and return the faults."""
        counts, rng, kills = self.counts, self.rng, self.rng.choice([1, 1, 2])
        done: dict[str, str] = {}
        for _ in range(MOST):
            again = (home / "sweep" / "sweep.json").exists()
            typed = [word for word in words if ".init.address=" in word]  # a file must not set it
            process = Process(["resume", "sweep", *typed] if again else words, home, real)
            counts.resumed += again
            if kills and process.wait(rng.random() * seconds) is None:
                kind = rng.choice(["worker", "sweep"] if launcher in WORKERS else ["sweep"])
                if launcher == "ray, a node":
                    kind = "killed"
                    kill_node()
                elif kind == "sweep":
                    kind = rng.choice(list(SIGNALS))
                    self._signal(process, kind)
                else:
                    workers: list[int] = []
                    deadline = time.monotonic() + seconds
                    while not workers and process.poll() is None and time.monotonic() < deadline:
                        workers = process.workers(WORKERS[launcher])
                    if workers:
                        with suppress(ProcessLookupError):
                            os.kill(rng.choice(workers), signal.SIGKILL)
                counts.kills[f"{launcher}, {kind}"] += 1
            kills -= bool(kills)
            code = process.wait(LIMIT)
            if code is None:
                os.kill(process.pid, signal.SIGKILL)
                return [f"{' '.join(process.words)[:60]} did not end within {LIMIT:g} s: {_tail(home)}"]
            if again and code == 2 and WAIT in _tail(home):
                counts.waited += 1
                time.sleep(0.5)
                continue
            if again and code == 2:
                return [f"the sweep could not be resumed: {_tail(home)}"]
            now = finished_jobs(home / "sweep")
            repeated = [name for name in done if done[name] != now.get(name)]
            if repeated:
                return [f"job {', '.join(repeated)} had finished and ran again"]
            counts.kept += len(done) if again else 0
            done = now
            if not kills and _complete(home / "sweep"):
                return []
        return [f"not finished after {MOST} attempts: {_tail(home)}"]

    def _signal(self, process: Process, kind: str) -> None:
        for number in SIGNALS[kind]:
            with suppress(ProcessLookupError):
                if process.poll() is None:
                    os.kill(process.pid, number)
                    time.sleep(self.rng.uniform(0, 0.3))


@contextmanager
def _cluster(launcher: str, home: Path) -> Iterator[tuple[list[str], Callable[[], None]]]:
    """Yield the options of a launcher and a function that kills a node, with a Ray cluster of three if it needs one."""
    if launcher != "ray, a node":
        names = {"processes": ["n_jobs=2"], "threads": ["n_jobs=2"], "joblib": ["n_jobs=2"]}.get(launcher, [])
        yield [f"hydra/launcher={launcher}", *(f"hydra.launcher.{name}" for name in names)], lambda: None
        return
    code = (
        "import sys; from ray.cluster_utils import Cluster; "
        "c = Cluster(initialize_head=True, head_node_args={'num_cpus': 1, 'include_dashboard': False}); "
        "nodes = [c.add_node(num_cpus=1) for _ in range(2)]; print('at', c.address, flush=True); "
        "[c.remove_node(nodes.pop(), allow_graceful=False) for line in sys.stdin if nodes and line.strip()]; c.shutdown()"
    )
    with (home / "cluster").open("w") as log:
        cluster = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    stdin = cluster.stdin
    address = next((line.split()[1] for line in cluster.stdout if line.startswith("at ")), None)
    if address is None:
        raise RuntimeError(f"no cluster: {(home / 'cluster').read_text()[-500:]}")

    def kill_node() -> None:
        stdin.write("kill\n")
        stdin.flush()

    try:
        yield ["hydra/launcher=ray", f"hydra.launcher.ray.init.address={address}"], kill_node
    finally:
        stdin.close()
        cluster.wait(60)


def finished_jobs(folder: Path) -> dict[str, str]:
    """Return the folder and the start of each finished job of a sweep."""
    found = {}
    for path in folder.glob("*/job.json"):
        with suppress(OSError, ValueError):
            if json.loads((path.parent / "run.json").read_text())["status"] == "finished":
                found[path.parent.name] = json.loads(path.read_text())["started"]
    return found


def _complete(folder: Path) -> bool:
    """Return whether each job of a finished sweep has ended by itself."""
    with suppress(OSError, ValueError):
        sweep = json.loads((folder / "sweep.json").read_text())
        ended = [job["status"] == "finished" or "diverged" in str(job["error"]) for job in sweep["jobs"]]
        return sweep["status"] == "finished" and all(ended)
    return False


def sweep_differences(expected: Path, folder: Path) -> list[str]:
    """Describe the differences between a finished sweep and the uninterrupted one."""
    tables = []
    for path in (expected, folder):
        sweep = json.loads((path / "sweep.json").read_text())
        jobs = [{k: v for k, v in job.items() if k not in ("started", "ended")} for job in sweep["jobs"]]
        rows = list(csv.DictReader((path / "results.csv").read_text().splitlines()))
        tables.append(({k: sweep[k] for k in ("status", "objective", "config")}, jobs, _without_seconds(rows)))
    found = [
        f"{name}: {two!r:.300} instead of {one!r:.300}"
        for name, one, two in zip(("sweep.json", "jobs", "results.csv"), *tables, strict=True)
        if one != two
    ]
    for job in tables[0][1]:
        if job["status"] == "finished":
            names = [
                f"job {job['folder']}: {line}" for line in differences(expected / job["folder"], folder / job["folder"])
            ]
            found += names
    extra = {p.name for p in folder.iterdir()} ^ {p.name for p in expected.iterdir()}
    extra -= {"sweep.lock"}  # of a process that was killed at its end; it does not lock the folder
    return found + [f"{name} is in one of the sweeps" for name in sorted(extra)]


def _without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def course_differences(expected: Path, folder: Path) -> list[str]:
    """Describe the differences between a course that was started again and the uninterrupted one."""
    found = differences(expected / LESSON, folder / LESSON)
    for name in ("lesson.json", "course.json"):
        paths = [f / name if name == "course.json" else f / LESSON / name for f in (expected, folder)]
        one, two = (json.loads(path.read_text()) for path in paths)
        for content in (one, two) if name == "course.json" else ():
            content[LESSON].pop("seconds")
        found += [] if one == two else [f"{name}: {two!r:.300} instead of {one!r:.300}"]
    return found + ([] if (folder / "index.html").exists() else ["index.html is missing"])


def _tail(home: Path) -> str:
    return " | ".join((home / "log").read_text(errors="replace").splitlines()[-4:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign. Return 1 if a resumed sweep differs, else 0."""
    installed = [name for name, plugin in PLUGINS.items() if importlib.util.find_spec(plugin)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="number of draws")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    parser.add_argument("--commands", type=float, default=0.1, help="share of real commands")
    parser.add_argument("--launchers", nargs="+", choices=installed, default=installed, help="launchers")
    parser.add_argument("--course", type=int, default=0, help="number of draws of the course")
    parser.add_argument("--keep", action="store_true", help="keep the folders of sweeps that differ")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    with folder_of_draws("sweeps_", keep=given.keep) as folder:
        campaign = Campaign(folder, given.seed, given.commands, given.launchers)
        warm_up(folder / "warm")
        for number in range(given.count):
            campaign.draw(number)
        for number in range(given.course):
            campaign.course(number)
    counts = campaign.counts
    print(
        f"{counts.draws} draws ({counts.commands} with real commands), launchers {', '.join(given.launchers)}, ", end=""
    )
    print(f"{sum(counts.kills.values())} kills, {time.monotonic() - began:.0f} s, seed {given.seed}")
    for name, number in sorted(counts.kills.items()):
        print(f"  {name}: {number}")
    print(f"  steepest resume: {counts.resumed}, of which {counts.waited} had to wait for another process")
    print(f"  finished jobs that a resumed sweep kept: {counts.kept}")
    print(f"differences: {len(counts.faults)}")
    return 1 if counts.faults else 0


if __name__ == "__main__":
    sys.exit(main())
