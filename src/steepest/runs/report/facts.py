"""Reads the files that a run's report shows: run.json, metrics.json, folds.csv, config.yaml. The files are untrusted.

Keys that older versions did not write have defaults, and the page leaves them out.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, TypeAdapter

from steepest.data.faults import counted
from steepest.runs.claim import CONFIG_FILE
from steepest.runs.files import IntervalFacts, Metrics, Objective, RunFacts, Scores, check_links, read_json, unreadable

PARTS = ("train", "val", "test")
ERROR_FILE = "error.txt"
T = TypeVar("T")
Day = Annotated[datetime, AfterValidator(lambda time: time.replace(tzinfo=None))]  # in the file's time zone


@dataclass
class Recognised:
    """The description of a price file."""

    unit: str = "row"
    first: str | None = None
    last: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class DataFacts:
    """The entry `data` of run.json; see `record.data_facts`. Parts without samples, and plain rows, have no days."""

    source: str = ""
    sha256: str = ""
    rows: int = 0
    series: list[str] = field(default_factory=list)
    samples: dict[str, int] = field(default_factory=dict)
    targets: dict[str, tuple[Day, Day] | None] = field(default_factory=dict)
    fitted_to: Day | None = None
    gap: int | None = None
    recognised: Recognised | None = None


@dataclass
class Checkout:
    """The state of the repository."""

    revision: str | None = None
    dirty: bool | None = None


@dataclass
class PageFacts(RunFacts):
    """The content of run.json."""

    command: str = ""
    git: Checkout | None = None
    objective: str = ""
    device: str = ""
    engine_reason: str | None = None
    data: DataFacts | None = None  # type: ignore[assignment]


@dataclass
class KeptObjective(Objective):
    """The objective, and the epoch whose model is kept."""

    epoch: float | None = None


@dataclass
class Width(IntervalFacts):
    """Intervals of one level."""

    mean_width: float | None = None


@dataclass
class Critical:
    """Where the descent ended."""

    sentence: str


@dataclass
class WalkForwardFacts:
    """The entry `walk_forward` of metrics.json."""

    folds: int
    trainings: int
    without_refit: Scores
    refit_p_value: float | None


@dataclass
class PageMetrics(Metrics):
    """The content of metrics.json."""

    objective: KeptObjective = field(default_factory=KeptObjective)
    intervals: list[Width] = field(default_factory=list)  # type: ignore[assignment]
    verdict: str | None = None
    series: dict[str, Scores] = field(default_factory=dict)
    beaten_on: list[str] | None = None
    coefficients: dict[str, float] | None = None
    line: str | None = None
    hint: str | None = None
    critical: Critical | None = None
    walk_forward: WalkForwardFacts | None = None


@dataclass
class Fold:
    """A row of folds.csv, without the scores of the fold."""

    fold: int
    first_day: str
    last_day: str
    predictions: int
    train_from: str
    trained_to: str
    samples: int
    best_epoch: int


@dataclass
class RunFiles:
    """A run's files.

    Attributes:
        folder: the run's folder.
        run: run.json.
        metrics: metrics.json.
        folds: each fold and its scores.
        config: the text of config.yaml, or None.
        error: the text of error.txt, which failed jobs of a sweep have, or None.
        model: whether a checkpoint with a model exists.
        absent: the names of missing files.
    """

    folder: Path
    run: PageFacts
    metrics: PageMetrics
    folds: list[tuple[Fold, Scores]]
    config: str | None
    error: str | None
    model: bool
    absent: list[str]

    @property
    def parts(self) -> dict[str, dict[str, Scores]]:
        """Part -> the scores of the model and of each baseline, by name."""
        found = {}
        for part in PARTS:
            own: Scores = getattr(self.metrics, part)
            rows = {name: parts.get(part, {}) for name, parts in self.metrics.baselines.items()}
            if own:
                found[part] = {"model": own} | rows
        return found

    def ending(self) -> str:
        """Describe how the run ended, in a sentence."""
        reason = self.run.stop_reason
        if not self.run.status and self.error:  # a job of a sweep that failed before it wrote a record
            return f"The run failed: {self.error.splitlines()[0].removesuffix('.')}."
        words = {"running": "has not recorded its end", "stopped": "was stopped", "": "has no record of its status"}
        return f"The run {words.get(self.run.status, self.run.status)}{f': {reason}' if reason else ''}."

    def trained(self) -> str:
        """Describe the length of the training and the kept epoch, in sentences."""
        metrics, objective = self.metrics, self.metrics.objective
        length = f"{counted(metrics.updates, 'update')}, {counted(metrics.epochs, 'epoch')}, {metrics.seconds:.1f} s."
        if objective.epoch is None:
            return f"{length} No epoch had a finite {objective.name or 'objective'}, so no model is kept."
        value = "" if objective.value is None else f" ({objective.value:.5g})"
        return f"{length} The run keeps the model of epoch {objective.epoch:g}, the best by {objective.name}{value}."


def read_files(folder: Path) -> RunFiles:
    """Read a run's files.

    Raises:
        ValueError: if the folder contains no run, a link that points outside it, or a damaged file.
    """
    if not any((folder / name).exists() for name in ("run.json", CONFIG_FILE, ERROR_FILE)):
        raise ValueError(
            f"{folder} is not the folder of a run or a sweep: it contains neither run.json nor sweep.json; use the "
            "folder of a run or a sweep"
        )
    check_links(folder)
    names = ("run.json", "metrics.json", CONFIG_FILE)
    return RunFiles(
        folder,
        _content(folder / "run.json", PageFacts),
        _content(folder / "metrics.json", PageMetrics),
        _folds(folder / "folds.csv"),
        _text(folder / CONFIG_FILE),
        _text(folder / ERROR_FILE),
        (folder / "checkpoints" / "best.ckpt").exists(),
        [name for name in names if not (folder / name).exists()],
    )


def _content(path: Path, shape: type[T]) -> T:
    """Read a JSON file as an object of this type."""
    return _checked(path, read_json(path), shape)


def _checked(path: Path, content: Any, shape: type[T]) -> T:
    try:
        return TypeAdapter(shape).validate_python(content)
    except ValueError as error:  # (pydantic's error is a ValueError)
        raise unreadable(path, error) from None


def _text(path: Path) -> str | None:
    """Read a text file, or return None if it does not exist."""
    if not path.exists():
        return None
    try:
        return path.read_text()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def _folds(path: Path) -> list[tuple[Fold, Scores]]:
    """Read folds.csv."""
    text = _text(path)
    try:
        rows = list(csv.DictReader((text or "").splitlines(), strict=True))
    except csv.Error as error:
        raise unreadable(path, error) from None
    facts = _checked(path, rows, list[Fold])
    own = {one.name for one in fields(Fold)} | {"training", "val_from", "updates", "epochs", "objective", "stop_reason"}
    scores = [{name: text or None for name, text in row.items() if name not in own} for row in rows]
    return list(zip(facts, _checked(path, scores, list[Scores]), strict=True))
