"""Attacks the program with harmful files: `python -m tests.campaign.hostile`.

An attack succeeds if it starts a program or changes a file outside the command's folders. Each attack of `vectors.py`
runs in a fork of a process that has imported everything, and a sample also runs as the real command. Then each class
name of `names.py` is put into each place of a config, and must be refused. The exit code is 1 if an attack succeeded.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .names import combinations, refused
from .vectors import MARKUP, PLAIN, SMALL, VECTORS, Box, Vector, plant_common

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-of-the-environment"
LIMIT = 120.0  # maximum seconds of one attack
STEEPEST = "from steepest.cli import main; main()"


@dataclass(frozen=True)
class Result:
    """The result of an attack.

    Attributes:
        code: the command's exit code, or None if it did not end in time.
        breaches: descriptions of forbidden effects.
        output: the output of the command.
    """

    code: int | None
    breaches: list[str]
    output: str


def attempt(vector: Vector, templates: Path, folder: Path, *, real: bool = False) -> Result:
    """Run one attack in a new folder.

    Args:
        vector: the attack.
        templates: the folder with a finished run and a sweep.
        folder: an empty folder.
        real: whether to start the real command instead of a fork of this process.
    """
    box = Box(folder / "box", folder / "evil", folder / "out", folder / "mark" / "er", templates)
    for path in (box.box, box.evil, box.out, box.mark.parent, folder / "home"):
        path.mkdir()
    plant_common(box)
    (box.out / "secret").write_text(SECRET)
    command = vector.plant(box)
    own = [box.box / "outputs", *box.own]
    before = _snapshot(folder, own)
    environment = {
        **os.environ, "PYTHONPATH": str(box.evil), "HOME": str(folder / "home"), "MY_SECRET": SECRET,
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLCONFIGDIR": str(templates / "fonts"),
    }  # fmt: skip
    code, output = (_command if real else _fork)(command, box.box, environment, folder / "output.txt")
    breaches = [] if code is not None else ["it did not end"]
    breaches += ["the marker exists"] if box.mark.exists() else []
    after = _snapshot(folder, own)
    breaches += [
        f"changed: {path}" for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)
    ]
    breaches += _secrets(own, output) + _active(own)
    return Result(code, breaches, output)


def _snapshot(folder: Path, own: Sequence[Path]) -> dict[str, object]:
    """Return the contents of all files in an attack's folder, except those of the command's results."""
    found: dict[str, object] = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if Path(parent, f) not in own and f != "__pycache__"]
        for name in (*folders, *files):
            path = Path(parent, name)
            key = str(path.relative_to(folder))
            if key != "output.txt" and path not in own:
                found[key] = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def _secrets(own: Sequence[Path], output: str) -> list[str]:
    """Say where the secret value of an environment variable was written."""
    found = ["the secret was printed"] if SECRET in output else []
    for folder in own:
        for path in folder.rglob("*") if folder.is_dir() else ():
            if SECRET in str(path) or (
                path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes()
            ):
                found.append(f"the secret is in {path.relative_to(folder)}")
    return found


def _active(own: Sequence[Path]) -> list[str]:
    """Find pages with injected markup, and CSV files with formulas."""
    files = [path for folder in own if folder.is_dir() for path in folder.rglob("*")]
    found = [f"markup in {path.name}" for path in files if path.suffix == ".html" and MARKUP in path.read_text()]
    for path in (path for path in files if path.name in ("predictions.csv", "results.csv", "parity.csv")):
        with path.open(errors="replace", newline="") as file:
            cells = (cell for row in csv.reader(file) for cell in row)
            found += [f"a formula in {path.name}: {cell}" for cell in cells if re.match(r"[=+@]|-[^0-9.]..", cell)][:1]
    return found


def _command(words: Sequence[str], where: Path, environment: dict[str, str], log: Path) -> tuple[int | None, str]:
    program = [str(ROOT / "train.py")] if words[0] == "train" else ["-c", STEEPEST]
    with log.open("w") as output:
        try:
            code: int | None = subprocess.run(
                [sys.executable, *program, *words[1:]], cwd=where, env=environment, stdout=output,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=LIMIT, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = None
    return code, log.read_text(errors="replace")


def _fork(words: Sequence[str], where: Path, environment: dict[str, str], log: Path) -> tuple[int | None, str]:
    """Run a command in a fork of this process, which has already imported everything."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = _in_child(words, where, environment, log)
        finally:
            os._exit(code)
    ended = time.monotonic() + LIMIT
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > ended:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, log.read_text(errors="replace")
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(done[1]), log.read_text(errors="replace")


def _in_child(words: Sequence[str], where: Path, environment: dict[str, str], log: Path) -> int:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(1, "w")),
        io.TextIOWrapper(io.FileIO(2, "w"), write_through=True),
    )
    os.chdir(where)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(ROOT / "train.py") if words[0] == "train" else "steepest", *words[1:]]
    sys.path[:] = [environment["PYTHONPATH"], *(path for path in sys.path if path not in ("", str(ROOT)))]
    code: object = 0
    try:
        if words[0] == "train":
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        else:
            from steepest.cli import main

            main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    return code if isinstance(code, int) else int(code is not None)


def warm_up() -> None:
    """Import the modules that commands need, so that forks start quickly."""
    import lightning.pytorch  # noqa: F401
    import optuna  # noqa: F401
    import tensorboard.compat.proto.event_pb2  # noqa: F401

    import steepest.cli
    import steepest.course.lesson
    import steepest.entry
    import steepest.lightning.run
    import steepest.sweep.record
    import steepest.sweep.report.page
    import steepest.sweep.tuning  # noqa: F401


def make_templates(folder: Path) -> None:
    """Make a finished run, and a sweep with a finished and a failed job."""
    train = [sys.executable, str(ROOT / "train.py")]
    small = [*PLAIN, "callbacks=none"]
    for words in (
        [*small, f"hydra.run.dir={folder}/run"],
        ["-m", *SMALL, "optimizer.lr=0.01,-1", f"hydra.sweep.dir={folder}/sweep"],
    ):
        subprocess.run([*train, *words], cwd=folder, capture_output=True, check=False)
    assert (folder / "run" / "checkpoints" / "last.ckpt").exists()
    assert (folder / "sweep" / "1" / "error.txt").exists()


def run_all(vectors: Sequence[Vector], real: Sequence[Vector], jobs: int) -> Iterator[tuple[str, Vector, Result]]:
    """Run attacks. Yield the kind (fork or real command), the attack and its result."""
    with tempfile.TemporaryDirectory(prefix="hostile") as name, ThreadPoolExecutor(jobs) as pool:
        folder = Path(name).resolve()
        templates = folder / "templates"
        templates.mkdir()
        make_templates(templates)

        def one(number: int, kind: str, vector: Vector) -> tuple[str, Vector, Result]:
            own = folder / str(number)
            own.mkdir()
            try:
                return kind, vector, attempt(vector, templates, own, real=kind == "command")
            finally:
                shutil.rmtree(own, ignore_errors=True)

        todo = [*(("fork", vector) for vector in vectors), *(("command", vector) for vector in real)]
        yield from pool.map(lambda item: one(item[0], *item[1]), enumerate(todo))


def main() -> int:
    """Run the campaign and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="run every N-th attack (default: all)")
    parser.add_argument("--only", default="", metavar="TEXT", help="run the attacks with this text in their name")
    parser.add_argument("--real", type=int, default=40, metavar="N", help="number of real commands")
    parser.add_argument(
        "--names", type=int, default=1, metavar="N", help="check every N-th name and place (default: all)"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="number of simultaneous attacks")
    parser.add_argument("--verbose", action="store_true", help="print the last line of each command's output")
    given = parser.parse_args()
    started = time.monotonic()
    vectors = [vector for vector in VECTORS if given.only in f"{vector.place}: {vector.name}"][:: given.every]
    real = [vector for vector in vectors if vector.at_start]
    forked = [vector for vector in vectors if not vector.at_start]
    real += forked[:: max(1, len(forked) // given.real)][: given.real] if given.real else []
    warm_up()
    counts, codes, breached = Counter[tuple[str, str]](), Counter[str](), 0
    for kind, vector, result in run_all(forked, real, given.jobs):
        counts[kind, vector.place] += 1
        codes["refused" if result.code == 2 else f"exit code {result.code}"] += 1
        codes["with a traceback"] += "Traceback (most recent call last)" in result.output
        if given.verbose:
            print(
                f"{vector.place}: {vector.name}: {result.code}: {(result.output.strip().splitlines() or [''])[-1][:200]}"
            )
        if result.breaches:
            breached += 1
            print(f"BREACH {kind}, {vector.place}: {vector.name} (exit code {result.code})")
            print("".join(f"  {breach}\n" for breach in result.breaches[:5]), end="", flush=True)
    for (kind, place), count in sorted(counts.items()):
        print(f"{count:5} attacks, {kind}: {place}")
    print(", ".join(f"{count} {code}" for code, count in codes.most_common()))
    pairs = list(combinations())[:: given.names]
    accepted = [f"{name} as {place}" for name, place in pairs if not refused(name, place)]
    print("".join(f"BREACH accepted: {one}\n" for one in accepted), end="")
    print(f"{len(pairs)} combinations of name and place, {len(accepted)} accepted")
    print(f"{sum(counts.values())} attacks, {breached} succeeded; {time.monotonic() - started:.0f} s")
    return 1 if breached or accepted else 0


if __name__ == "__main__":
    sys.exit(main())
