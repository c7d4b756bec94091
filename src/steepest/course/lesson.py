"""The end of a lesson's experiment: its results, claims that are checked, and one picture.

It is a Hydra callback, so a lesson needs only its config. It reads the folder of the run or the sweep. Importing this
file does not import torch.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from steepest.course.catalogue import chapter
from steepest.runs.claim import first_process
from steepest.runs.errors import explain, fail_at_the_end
from steepest.runs.files import write_text
from steepest.runs.jobs import SWEEP
from steepest.runs.trust import locate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, PICTURE, NARROW = "lesson.json", "lesson.png", "lesson_narrow.png"
COLOURS = 64  # of a frame of an animation: a fifth of the size of the full picture


@dataclass(frozen=True)
class Finding:
    """The result of a lesson.

    Attributes:
        sentence: the result in one sentence, with its numbers.
        checks: each claim as a sentence -> whether it is true.
        numbers: the numbers for the lesson's text.
        figure: the picture.
        frames: the number of frames of an animation that the lesson has written with `save_frame`.
    """

    sentence: str
    checks: Mapping[str, bool]
    figure: Figure
    numbers: Mapping[str, Any] = field(default_factory=dict)
    frames: int = 0


def frame(folder: Path, number: int, *, narrow: bool) -> Path:
    """The file of a frame of a lesson's animation, for a desktop or for a phone."""
    return folder / "figures" / "frames" / f"{'narrow' if narrow else 'wide'}_{number:02}.png"


def save_frame(figure: Figure, folder: Path, number: int, *, narrow: bool, dpi: int) -> None:
    """Write a frame of a lesson's animation."""
    from PIL import Image

    path, drawn = frame(folder, number, narrow=narrow), BytesIO()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(drawn, dpi=dpi)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(path, optimize=True)


class Lesson(Callback):
    """Teaches a lesson when its run or sweep has ended.

    Args:
        name: the name of the lesson (`catalogue.COURSE`), the dotted name of the user's own function, such as
            ``mine.teach``, or None for other experiments.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Teach after a completed run, unless the run is a job of a sweep or another process of DDP."""
        ended = kwargs["job_return"].status is JobStatus.COMPLETED
        alone = SWEEP not in os.environ and first_process()
        if self.name is None or not ended or not alone:
            return
        if "." not in self.name and chapter(self.name).sweep:
            sys.stdout.write(
                f"lesson {self.name}: no lesson, because it compares the jobs of a sweep (hydra.mode=MULTIRUN)\n"
            )
        else:
            code = _teach_and_report(self.name, Path(str(config.hydra.runtime.output_dir)), config.trust)
            if code:
                raise SystemExit(code)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Teach after a sweep. An error sets the exit code later, because Hydra must close the sweep's record first."""
        if self.name is not None:
            code = _teach_and_report(self.name, Path(str(config.hydra.sweep.dir)), config.trust)
            if code:
                fail_at_the_end(code)


def _teach_and_report(name: str, folder: Path, trust: Iterable[str]) -> int:
    """Teach; return 0, or print the error and return its exit code. (Hydra would turn the error into a warning.)"""
    try:
        teach(name, folder, [*map(str, trust)])
    except Exception as error:  # any error: Hydra hides those of callbacks
        message = explain(error)
        sys.stderr.write(f"lesson {name}: {message}\n" if message else traceback.format_exc())
        return 2 if message else 1
    return 0


def _teacher(name: str, trust: Sequence[str]) -> tuple[str, Callable[[Path], Finding]]:
    """The title of a lesson and the function that teaches it. The title of the user's own is its docstring's."""
    if "." not in name:
        return chapter(name).title, import_module(f"steepest.course.lessons.{name}").teach
    try:
        function = locate(name, "", trust)
    except ValueError as error:
        raise ValueError(str(error).replace("_target_", "hydra.callbacks.lesson.name", 1)) from None
    return (inspect.getdoc(function) or name).splitlines()[0], function


def teach(name: str, folder: Path, trust: Sequence[str] = ()) -> dict[str, Any]:
    """Write lesson.json and the pictures of a lesson into the folder of a run or a sweep, and print the result.

    figures/lesson.png is the picture; figures/lesson_narrow.png has its panels one above the other, for a phone.

    Raises:
        ValueError: if the folder lacks something that the lesson needs.
    """
    from steepest.course.narrow import stack
    from steepest.evaluate.terminal import print_sentence, terminal

    title, function = _teacher(name, trust)
    found = function(folder)
    if not isinstance(found, Finding):
        raise ValueError(f"{name} returns a {type(found).__name__}: return a steepest.Finding")
    path = folder / "figures" / PICTURE
    path.parent.mkdir(parents=True, exist_ok=True)
    found.figure.savefig(path, dpi=110)
    if stack(found.figure):
        found.figure.savefig(path.with_name(NARROW), dpi=160, bbox_inches="tight")
    checks = {claim: bool(holds) for claim, holds in found.checks.items()}
    record = {
        "name": name,
        "sentence": found.sentence,
        "checks": checks,
        "numbers": dict(found.numbers),
        "frames": found.frames,
    }
    write_text(folder / NAME, json.dumps(record, indent=2, default=float) + "\n")
    console = terminal()
    console.print(f"\n{title}", style="bold", markup=False)
    print_sentence(console, found.sentence)
    for claim, holds in checks.items():
        print_sentence(console, f"  {'holds' if holds else 'FAILS'}: {claim}", "" if holds else "bold red")
    console.print(f"Picture: {path}", markup=False, soft_wrap=True)
    return record
