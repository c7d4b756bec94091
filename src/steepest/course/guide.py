"""`steepest course`: runs each lesson with the command that the page shows. This file does not import torch."""

from __future__ import annotations

import json
import os
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
from steepest.course.catalogue import chapter as chapter_of
from steepest.course.lesson import NAME
from steepest.runs.conf import program
from steepest.runs.files import read_json, write_text
from steepest.runs.process import PARENT
from steepest.runs.quoting import train_command

RECORD, OUTPUT = "course.json", "output.txt"
TAIL = 12  # last lines of output to show for a lesson that did not finish


@dataclass(frozen=True)
class Taught:
    """A lesson that has run.

    Attributes:
        name: the name of the lesson.
        command: the command that runs it again.
        short: whether it ran in its short form.
        seconds: its running time, including the start of Python.
        found: the content of its lesson.json, or an empty dict if it did not finish.
        output: the last lines of its output, if it did not finish.
    """

    name: str
    command: str
    short: bool
    seconds: float
    found: dict[str, Any]
    output: str = ""

    @property
    def fails(self) -> list[str]:
        """The claims that do not hold."""
        if not self.found:
            return ["it did not finish"]
        return [claim for claim, holds in self.found["checks"].items() if not holds]


def teach_course(chapters: Sequence[Chapter], out: Path, *, short: bool, jobs: int) -> Iterator[Taught]:
    """Run lessons in parallel, and yield each when it ends.

    Args:
        chapters: the lessons to run.
        out: the course's folder. Each lesson's folder in it is replaced.
        short: whether to run the short forms.
        jobs: the number of lessons to run at a time.

    Raises:
        ValueError: if a lesson's folder exists and this function did not create it.
    """
    record = read_json(out / RECORD)
    for chapter in chapters:
        if (out / chapter.name).exists() and chapter.name not in record:
            raise ValueError(
                f"--out {out}: {out / chapter.name} exists and no lesson created it: choose another folder"
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
                [sys.executable, str(program()), *words, kept],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {PARENT: str(os.getpid())},
                check=False,  # lesson.json decides, not the exit code: one lesson diverges on purpose
            )
        entry = {
            "command": train_command(words),
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
    """The lessons in a course's folder, by name."""
    record = read_json(out / RECORD)
    return {c.name: _read(c.name, record[c.name], out) for c in chapters_of(out) if record.get(c.name)}


def chapters_of(out: Path) -> list[Chapter]:
    """The lessons of a course's page: those of the course, and the user's own that have run."""
    known = {c.name for c in COURSE}
    return [*COURSE, *(chapter_of(name) for name in read_json(out / RECORD) if name not in known)]


def _read(name: str, entry: dict[str, Any], out: Path) -> Taught:
    found, path = read_json(out / name / NAME), out / name / OUTPUT
    output = "" if found or not path.exists() else "\n".join(path.read_text().splitlines()[-TAIL:])
    return Taught(name, entry["command"], entry["short"], entry["seconds"], found, output)
