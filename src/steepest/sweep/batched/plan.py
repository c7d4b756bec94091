"""Which jobs of a sweep are trained together. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steepest.sweep.batched.fits import kind_of, reason_against
from steepest.sweep.compose import Composer, Texts
from steepest.runs.config import Checked, check_plain


@dataclass(frozen=True)
class Job:
    """One job of a sweep, planned.

    Attributes:
        number: in the sweep.
        folder: its own.
        overrides: what the user asked of it.
        checked: its config.
        texts: of the files that say what was asked.
    """

    number: int
    folder: Path
    overrides: list[str]
    checked: Checked
    texts: Texts


def plan(
    composer: Composer, folder: Path, job_overrides: Sequence[Sequence[str]], first: int
) -> tuple[dict[str, list[Job]], dict[str, list[int]]]:
    """Jobs by kind, and numbers of the others by the reason why they are run by themselves.

    Args:
        composer: of their configs.
        folder: the sweep's.
        job_overrides: of each job.
        first: the first one's number.
    """
    together: dict[str, list[Job]] = {}
    alone: dict[str, list[int]] = {}
    for number, overrides in enumerate(job_overrides, start=first):
        planned = composer.plan(overrides, number)
        if planned is None:
            alone.setdefault("its config has parts that only Hydra can resolve", []).append(number)
            continue
        try:
            checked = check_plain(planned.plain)
        except ValueError:
            alone.setdefault("its config is refused", []).append(number)
            continue
        reason = reason_against(checked)
        if reason:
            alone.setdefault(reason, []).append(number)
            continue
        job = Job(number, folder / planned.subfolder, planned.overrides, checked, planned.texts)
        together.setdefault(kind_of(checked), []).append(job)
    return together, alone
