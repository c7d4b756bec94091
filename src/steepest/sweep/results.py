"""Collects a sweep's results: one row per job, the varied keys, the ranking, and the statistics over seeds.

This module does not import torch.

Only the objective, a score of the validation part, ranks the jobs. Scores of the test part are only shown.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from steepest.evaluate.cells import inert
from steepest.evaluate.names import SIGNIFICANT, better
from steepest.runs.quoting import train_command
from steepest.sweep.manifest import JobState, Manifest, read_record
from steepest.sweep.settings import Row, Setting, spread

SEEDS = ("seed", "model.seed", "data.seed")  # varied to measure how much a score depends on chance
PERSISTENCE = "tomorrow = today"  # the baseline's name for readers
NOT_ASKED = "-"  # shown for a key that only other jobs set
CALLED = {"directional_accuracy": "direction", "cross_entropy": "cross-entropy"}


def result(job: JobState, sweep: Path) -> Row:
    """One row of the results: a job's overrides, status and scores."""
    folder = None if job.folder is None else sweep / job.folder
    records = [({}, None) if folder is None else read_record(folder / name) for name in ("run.json", "metrics.json")]
    (run, problem), (metrics, other_problem) = records
    row: Row = {
        "job": job.job,
        "folder": job.folder,
        "overrides": job.overrides,
        "again": run.get("again", job.overrides),
        "seed": run.get("seed"),
        "status": job.status,
        "stop_reason": job.error or problem or other_problem or run.get("stop_reason"),
        "objective": job.objective,
        "updates": metrics.get("updates"),
        "epochs": metrics.get("epochs"),
        "seconds": metrics.get("seconds"),
    }
    for part in ("train", "val", "test"):
        row |= {f"{part}/{name}": score for name, score in metrics.get(part, {}).items()}
    persistence = metrics.get("baselines", {}).get("persistence", {})
    row |= {f"persistence/test/{name}": score for name, score in persistence.get("test", {}).items()}
    row |= {"beat_reference": metrics.get("beat_reference"), "p_value": metrics.get("p_value")}
    part, _, name = metrics.get("objective", {}).get("name", "").partition("/")
    return row | {"persistence/objective": persistence.get(part, {}).get(name)}


def results_csv(results: Results) -> str:
    """One row per job: a column for each override, then status, objective and metrics.

    If the jobs have settings over seeds, those of the best setting come first. ``setting`` is the rank of a job's
    setting, and ``objective_mean`` and ``objective_std`` are the mean and the sample standard deviation over its seeds.
    Otherwise the rows are in the order of the jobs.
    """
    rows: list[Row] = results.rows
    if results.over_seeds:
        rows = [row | _of_setting(s) for s in results.settings for row in sorted(s.rows, key=lambda row: row["job"])]
    flat = []
    for row in rows:
        varied = dict(text.split("=", 1) for text in row["overrides"] if "=" in text)
        rest = {k: v for k, v in row.items() if k not in ("job", "overrides", "again")}
        flat.append({"job": row["job"]} | varied | rest)
    columns = list(dict.fromkeys(key for row in flat for key in row))
    text = io.StringIO()
    writer = csv.writer(text)
    for cells in [columns, *([row.get(column, "") for column in columns] for row in flat)]:
        writer.writerow([inert(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue()


def _of_setting(setting: Setting) -> Row:
    mean, std, _ = setting.objective or (None, None, 0)
    return {"setting": setting.rank, "objective_mean": mean, "objective_std": std}


def read_results(folder: Path) -> tuple[Manifest, Results]:
    """A sweep's manifest and results so far, whether it has ended or not.

    Raises:
        ValueError: if the folder holds no readable sweep.
    """
    manifest = Manifest.read(folder)
    manifest.look()
    jobs = sorted(manifest.jobs.values(), key=lambda job: job.job)
    return manifest, Results([result(job, folder) for job in jobs], manifest.objective, manifest.higher_is_better)


def again(row: Row, command: dict[str, Any]) -> str:
    """The shell command that runs a row's job as a single run.

    Args:
        row: a row of the results.
        command: the manifest's command. Without ``-m``, the mode came from a config that the job uses too.
    """
    by_config = command and "hydra.mode=MULTIRUN" not in command["hydra"]
    overrides = row["again"] if "again" in row else row["overrides"]
    return train_command(map(legible, [*overrides, *(["hydra.mode=RUN"] if by_config else [])]))


def legible(override: str) -> str:
    """Remove Hydra's optional backslashes before single spaces between words of an override."""
    return re.sub(r"(?<=\w)\\ (?=\w)", " ", override)


def asked(overrides: Iterable[str]) -> dict[str, str]:
    """A job's overrides: key -> value as typed by the user."""
    found = {}
    for override in overrides:
        key, _, value = override.partition("=")
        found[key.lstrip("+")] = legible(value)
    return found


def value(row: Row, key: str) -> str:
    """The value of a key in a row's job, as typed by the user."""
    return asked(row["overrides"]).get(key, NOT_ASKED)


@lru_cache(maxsize=65536)
def number(text: str) -> float | None:
    """Parse a typed number, or a list with one number. Return None for other values and for invalid syntax."""
    try:
        typed = OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException:
        return None
    typed = typed[0] if isinstance(typed, list) and len(typed) == 1 else typed
    return float(typed) if isinstance(typed, int | float) and not isinstance(typed, bool) else None


def shown(text: str) -> str:
    """A typed value for a narrow column: a long number is rounded to five digits."""
    found = number(text) if len(text) > 8 else None
    return text if found is None else f"{found:.5g}"


class Results:
    """The rows of a sweep, ranked by its objective alone.

    Args:
        rows: from `result`.
        objective: the name of the score that ranks.
        higher: whether a higher objective is better; None: as `better` says.
    """

    def __init__(self, rows: list[Row], objective: str, higher: bool | None = None) -> None:
        self.rows, self.objective = rows, objective
        self.higher = better(objective) == "max" if higher is None else higher

    @cached_property
    def varied(self) -> list[str]:
        """The keys whose typed values differ between jobs."""
        rows = [asked(row["overrides"]) for row in self.rows]
        keys = dict.fromkeys(key for row in rows for key in row)
        return [key for key in keys if len({row.get(key, NOT_ASKED) for row in rows}) > 1]

    @property
    def seeds(self) -> list[str]:
        """The varied keys that are seeds."""
        return [key for key in self.varied if key in SEEDS]

    @property
    def keys(self) -> list[str]:
        """The varied keys that are not seeds: their values make a setting."""
        return [key for key in self.varied if key not in SEEDS]

    def values(self, key: str) -> list[str]:
        """Each row's value of a key, as typed by the user."""
        return [value(row, key) for row in self.rows]

    def score(self, row: Row) -> float | None:
        """Return the objective of a finished job, or None if the job is not finished or the value is not finite."""
        found = row["objective"]
        return found if row["status"] == "finished" and found is not None and math.isfinite(found) else None

    def worse(self, score: float | None) -> float:
        """Return a sort key that is larger for a worse objective, and largest without an objective."""
        return math.inf if score is None else -score if self.higher else score

    @cached_property
    def ranked(self) -> list[Row]:
        """The rows, the best first; ties go to the job that was launched first."""
        return sorted(self.rows, key=lambda row: (self.worse(self.score(row)), row["status"] != "finished", row["job"]))

    @property
    def luckiest(self) -> Row | None:
        """Return the job with the best objective, or None if no job has one."""
        return self.ranked[0] if self.ranked and self.score(self.ranked[0]) is not None else None

    @property
    def best_setting(self) -> Setting | None:
        """Return the best setting, or None if the sweep compares jobs, or if no job has an objective."""
        return self.settings[0] if self.over_seeds and self.luckiest is not None else None

    @property
    def best(self) -> Row | None:
        """Return the winner, or None if no job has an objective.

        Over seeds, the winner is the first finished job of the best setting: the best setting by its mean, and in it a
        job that was not chosen by its score.
        """
        return self.luckiest if self.best_setting is None else self.best_setting.first

    @property
    def luck(self) -> str | None:
        """What the best single job owes to its seed. None without seeds, or if no job is better than the best mean."""
        best, job = self.best_setting, self.luckiest
        if best is None or job is None or best.objective is None:
            return None
        if self.worse(self.score(job)) >= self.worse(best.objective.mean):
            return None
        own = next(setting for setting in self.settings if job in setting.rows)
        asked = ", ".join(f"{key}={shown(value(job, key))}" for key in self.varied)
        text = f"The best single job is {job['job']} ({asked}): {self.objective} {job['objective']:.5g}."
        if not own.complete:
            return f"{text} Only {len(own.finished)} of the {len(own.rows)} jobs of its setting finished."
        return f"{text} Its setting has a mean of {own.objective}: the job's lead is luck of the seed."

    def persistence(self, column: str = "objective") -> str | None:
        """A score of tomorrow = today as text: one value, or "LOWEST to HIGHEST" of the jobs. None if unknown.

        Args:
            column: ``objective``, or a score of the test part such as ``test/rmse``.
        """
        values = sorted({found for row in self.rows if (found := self.persistence_of(row, column)) is not None})
        return " to ".join(f"{found:g}" for found in dict.fromkeys([values[0], values[-1]])) if values else None

    def persistence_of(self, row: Row, column: str = "objective") -> float | None:
        """A score of tomorrow = today on the days of one finished job, to five digits, or None if unknown."""
        found = row.get(f"persistence/{column}")
        if self.score(row) is None or found is None or not math.isfinite(found):
            return None
        return float(f"{found:.5g}")

    @property
    def winners_lead(self) -> str | None:
        """Whether the winner beats the reference on the test part after correction for the number of candidates.

        The Bonferroni correction multiplies the p-value of the best of K candidates by K. None if there was no test.
        """
        if self.best is None:
            return None
        reference = "the reference" if self.best.get("persistence/objective") is None else PERSISTENCE
        if self.best_setting is not None:
            return self._settings_lead(self.best_setting, reference)
        tried = sum(self.score(row) is not None for row in self.rows)
        p_value = self.best.get("p_value")
        if p_value is None or tried < 2:
            return None
        corrected = min(1.0, tried * p_value)
        after = f"after correction for {tried} jobs (p = {p_value:.2g}, corrected {corrected:.2g}; Bonferroni)"
        if not self.best.get("beat_reference"):
            return f"The best job did not beat {reference} on the test part (p = {p_value:.2g})."
        if corrected > SIGNIFICANT:
            return f"The best job's lead over {reference} on the test part is not statistically significant {after}."
        return f"The best job beat {reference} on the test part, even {after}."

    def _settings_lead(self, best: Setting, reference: str) -> str | None:
        """The same for the best setting.

        The seeds share the days of the test part, so their p-values depend on each other. Twice their mean is a p-value
        under any dependence (Vovk and Wang, Combining p-values via averaging, Biometrika 2020).
        """
        p_values = [row["p_value"] for row in best.finished if row.get("p_value") is not None]
        if not p_values:
            return None
        beat = sum(bool(row.get("beat_reference")) for row in best.finished)
        count = f"{beat if beat else 'None'} of the {len(best.finished)} jobs of the best setting beat {reference}"
        if beat < len(best.finished):
            return f"{count} on the test part."
        tried = sum(setting.objective is not None for setting in self.settings)
        combined = min(1.0, 2 * fmean(p_values))
        corrected = min(1.0, tried * combined)
        after = f"after correction for {tried} settings" if tried > 1 else "over all seeds"
        after += f" (p = {combined:.2g}, twice the mean of the jobs' p-values"
        after += f", corrected {corrected:.2g}; Bonferroni)" if tried > 1 else ")"
        count = f"All {beat} jobs of the best setting beat {reference} on the test part"
        if corrected > SIGNIFICANT:
            return f"{count}, but the setting's lead is not statistically significant {after}."
        return f"{count}, and the setting's lead is statistically significant {after}."

    @cached_property
    def settings(self) -> list[Setting]:
        """The settings, the best mean objective first.

        A setting with a job that has no objective comes after all complete ones. Ties go to the setting with more
        finished jobs.
        """
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in self.ranked:
            groups.setdefault(tuple(value(row, key) for key in self.keys), []).append(row)
        settings = []
        for values, rows in groups.items():
            finished = [row for row in rows if self.score(row) is not None]
            objective = spread(row["objective"] for row in finished)
            settings.append(Setting(dict(zip(self.keys, values, strict=True)), rows, finished, objective))
        settings.sort(
            key=lambda s: (
                not s.complete,
                self.worse(s.objective.mean if s.objective else None),
                -len(s.finished),
                min(row["job"] for row in s.rows),
            )
        )
        return [replace(setting, rank=rank) for rank, setting in enumerate(settings, start=1)]

    @property
    def over_seeds(self) -> bool:
        """Whether any setting has more than one seed."""
        return bool(self.seeds) and any(len(setting.rows) > 1 for setting in self.settings)

    def columns(self, parts: Sequence[str], test: Sequence[str]) -> list[str]:
        """The scores that tables show: for each part the RMSE in the data's units or the cross-entropy, and more.

        Args:
            parts: the parts of the data.
            test: additional scores of the test part.
        """
        wanted = [[f"{part}/rmse", f"{part}/cross_entropy"] for part in parts] + [[f"test/{name}"] for name in test]
        known = {name for row in self.rows for name, score in row.items() if score is not None}
        return [name for names in wanted if (name := next((n for n in names if n in known), None))]


def heading(column: str) -> str:
    """A column's name in a table: ``test/directional_accuracy`` is "test direction"."""
    return " ".join(CALLED.get(word, word) for word in column.split("/"))
