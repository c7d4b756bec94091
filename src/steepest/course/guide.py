"""`steepest course`: runs the lessons, each as the very command that its page shows. No torch."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steepest.course.catalogue import COURSE, Chapter
from steepest.course.lesson import NAME
from steepest.runs.conf import conf_folder
from steepest.runs.files import read_json, write_text

RECORD, OUTPUT = "course.json", "output.txt"
TAIL = 12  # lines of output shown of a lesson that did not come to its end


@dataclass(frozen=True)
class Taught:
    """A lesson that was run.

    Attributes:
        name: of the lesson.
        command: to type for the same.
        short: whether in its short form.
        seconds: it took, start of Python included.
        found: its lesson.json; empty where it did not come so far.
        said: the last lines of its output, then.
    """

    name: str
    command: str
    short: bool
    seconds: float
    found: dict[str, Any]
    said: str = ""

    @property
    def fails(self) -> list[str]:
        """What does not hold."""
        if not self.found:
            return ["it did not come to its end"]
        return [claim for claim, holds in self.found["checks"].items() if not holds]


def teach_course(chapters: Sequence[Chapter], out: Path, *, short: bool, jobs: int) -> Iterator[Taught]:
    """Run lessons, some at a time; each as it ends.

    Args:
        chapters: to run.
        out: the course's folder; each lesson has one in it, which is made anew.
        short: in their short form.
        jobs: how many at a time.

    Raises:
        ValueError: where a lesson's folder holds something that this did not make.
    """
    record = read_json(out / RECORD)
    for chapter in chapters:
        if (out / chapter.name).exists() and chapter.name not in record:
            raise ValueError(
                f"--out {out}: {out / chapter.name} is there already and is no lesson's: take another folder"
            )
    lock = threading.Lock()

    def note(name: str, entry: dict[str, Any]) -> None:
        with lock:
            record[name] = entry
            write_text(out / RECORD, json.dumps(record, indent=2) + "\n")

    def teach(chapter: Chapter) -> Taught:
        folder = out / chapter.name
        note(chapter.name, {})
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        words = [f"experiment=course/{chapter.name}", *(chapter.short if short else ())]
        kept = f"hydra.{'sweep' if chapter.sweep else 'run'}.dir={folder.absolute()}"
        started = time.monotonic()
        with (folder / OUTPUT).open("w") as output:
            subprocess.run(
                [sys.executable, str(conf_folder().parent / "train.py"), *words, kept],
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,  # a lesson is judged by what it found: one of them diverges on purpose
            )
        entry = {
            "command": shlex.join(["python", "train.py", *words]),
            "short": short,
            "seconds": time.monotonic() - started,
        }
        note(chapter.name, entry)
        return _read(chapter.name, entry, out)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for done in as_completed([pool.submit(teach, chapter) for chapter in chapters]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def taught_course(out: Path) -> dict[str, Taught]:
    """The lessons that a course's folder holds, by name."""
    record = read_json(out / RECORD)
    return {c.name: _read(c.name, record[c.name], out) for c in COURSE if record.get(c.name)}


def _read(name: str, entry: dict[str, Any], out: Path) -> Taught:
    found, path = read_json(out / name / NAME), out / name / OUTPUT
    said = "" if found or not path.exists() else "\n".join(path.read_text().splitlines()[-TAIL:])
    return Taught(name, entry["command"], entry["short"], entry["seconds"], found, said)
