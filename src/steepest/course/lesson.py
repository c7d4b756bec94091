"""A lesson at the end of its experiment: what was found, held against what should be, with one picture.

A Hydra callback, so a lesson needs nothing but its config: it reads the folder that the run or the sweep left. No torch
at import.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from steepest.course.catalogue import chapter
from steepest.runs.errors import explain, fail_at_the_end
from steepest.runs.files import write_text
from steepest.runs.jobs import SWEEP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, PICTURE, MOVING = "lesson.json", "lesson.png", "lesson.gif"


@dataclass(frozen=True)
class Finding:
    """What a lesson found.

    Attributes:
        sentence: in one sentence, with its numbers.
        checks: what should be, in words -> whether it is.
        numbers: for the lesson's text.
        figure: the picture that teaches it.
        moving: whether the lesson has put a moving picture, `MOVING`, into figures/ besides.
    """

    sentence: str
    checks: Mapping[str, bool]
    figure: Figure
    numbers: Mapping[str, Any] = field(default_factory=dict)
    moving: bool = False


class Lesson(Callback):
    """Teaches, when its run or sweep has ended.

    Args:
        name: of the lesson (`catalogue.COURSE`); none for any other experiment.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After a run that came to its end; jobs that a sweep runs in processes of their own are the sweep's."""
        ended = kwargs["job_return"].status is JobStatus.COMPLETED
        alone = SWEEP not in os.environ and not int(os.environ.get("LOCAL_RANK", "0"))
        if self.name is not None and ended and alone:
            code = _said(self.name, Path(str(config.hydra.runtime.output_dir)))
            if code:
                raise SystemExit(code)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After a sweep. Hydra closes the sweep's record after this, so an error shows in the exit code only then."""
        if self.name is not None:
            code = _said(self.name, Path(str(config.hydra.sweep.dir)))
            if code:
                fail_at_the_end(code)


def _said(name: str, folder: Path) -> int:
    """Teach; 0, or the exit code of an error, which is said here: Hydra would make a warning of it."""
    try:
        teach(name, folder)
    except Exception as error:  # whatever it is
        message = explain(error)
        sys.stderr.write(f"lesson {name}: {message}\n" if message else traceback.format_exc())
        return 2 if message else 1
    return 0


def teach(name: str, folder: Path) -> dict[str, Any]:
    """Write lesson.json and figures/lesson.png into a run's or a sweep's folder, and print what was found.

    Raises:
        ValueError: where the folder does not hold what the lesson is about.
    """
    from rich.console import Console

    title = chapter(name).title
    found: Finding = import_module(f"steepest.course.lessons.{name}").teach(folder)
    path = folder / "figures" / PICTURE
    path.parent.mkdir(parents=True, exist_ok=True)
    found.figure.savefig(path, dpi=110)
    checks = {claim: bool(holds) for claim, holds in found.checks.items()}
    record = {
        "name": name,
        "sentence": found.sentence,
        "checks": checks,
        "numbers": dict(found.numbers),
        "moving": found.moving,
    }
    write_text(folder / NAME, json.dumps(record, indent=2, default=float) + "\n")
    console = Console()
    console.print(f"\n{title}", style="bold", markup=False)
    console.print(found.sentence, markup=False, soft_wrap=True)
    for claim, holds in checks.items():
        console.print(
            f"  {'holds' if holds else 'FAILS'}: {claim}",
            style=None if holds else "bold red",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"Picture: {path}", markup=False, soft_wrap=True)
    return record
