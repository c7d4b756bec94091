"""The findings of a sweep, one sentence per chart: the charts' titles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, geometric_mean

import numpy as np

from steepest.observe.curves import Curve
from steepest.sweep.report.scales import KeyAxis, short
from steepest.sweep.results import NOT_ASKED, Results, shown, value
from steepest.sweep.settings import spread

LISTED = 3  # maximum number of values of a key in a sentence


def of_all_keys(results: Results, axes: Sequence[KeyAxis]) -> str:
    """Which values the best tenth of the jobs share, or of the settings if seeds were varied."""
    known = [row for row in results.ranked if results.score(row) is not None]
    what = "job"
    if results.over_seeds:
        known, what = [setting.first for setting in results.settings if setting.finished], "setting"
    best = known[: max(1, math.ceil(len(known) / 10))]
    shared = []
    for axis in axes:
        values = {value(row, axis.key) for row in best}
        places = [place for place, label in enumerate(axis.labels) if label in values]
        if len(places) == len(axis.labels) or NOT_ASKED in values:
            continue
        labels = [shown(axis.labels[place]) for place in places]
        unbroken = places[-1] - places[0] == len(places) - 1
        if len(labels) > 2 and axis.kind != "category" and unbroken:
            shared.append(f"{axis.key} from {labels[0]} to {labels[-1]}")
        elif len(labels) <= LISTED:
            shared.append(f"{axis.key} {' or '.join(labels)}")
    best_ones = f"The best {len(best)} of {len(known)} {what}s have" if len(best) > 1 else f"The best {what} has"
    return f"{best_ones} {', '.join(shared)}" if shared else ""


def of_key(results: Results, axis: KeyAxis, log: bool) -> str:
    """Which value of a key has the best mean objective and which the worst; if `log`, the mean of the logarithms."""
    mean = geometric_mean if log else fmean
    scores: dict[str, list[float]] = {label: [] for label in axis.labels}
    for row in results.rows:
        score = results.score(row)
        if score is not None:
            scores[value(row, axis.key)].append(score)
    means = sorted(((mean(known), label) for label, known in scores.items() if known), reverse=results.higher)
    by = " on average" if any(len(known) > 1 for known in scores.values()) else ""
    (best, first), (worst, last) = means[0], means[-1]
    if first != last and f"{best:.4g}" == f"{worst:.4g}":
        text = f"{axis.key} makes no difference{by}: {best:.4g}"
    else:
        text = f"{axis.key} {_named(first)} is best{by}: {best:.4g}"
        text += f", against {worst:.4g} with {_named(last)}" if first != last else ""
    without = [_named(label) for label, known in scores.items() if not known]
    return text + (f"; no job with {' or '.join(without)} finished" if 0 < len(without) <= LISTED else "")


def _named(label: str) -> str:
    return "not set" if label == NOT_ASKED else shown(label)


def of_curves(tag: str, who: str, curve: Curve, higher: bool) -> str:
    """Where a curve has its best value; `who` names its job."""
    if not np.isfinite(curve.values).any():
        return ""
    place = int(np.nanargmax(curve.values) if higher else np.nanargmin(curve.values))
    best = short(float(curve.values[place]))
    return f"{who} has its best {tag}, {best}, at update {curve.steps[place]}"


def of_seeds(results: Results) -> str:
    """Describe the best setting's objective over its seeds, and count the other settings that are close."""
    first, *others = [setting for setting in results.settings if setting.objective is not None]
    assert first.objective is not None
    text = f"The best setting has {results.objective} {first.objective} over {_counted(results, first.objective.n)}"
    if first.objective.std is None or not others:
        return text
    best, std = first.objective.mean, first.objective.std
    near = sum(abs(other.objective.mean - best) <= std for other in others if other.objective)
    if len(others) == 1:
        return f"{text}; the other setting is{'' if near else ' not'} within one standard deviation"
    verb = "is" if near == 1 else "are"
    return f"{text}; {near or 'none'} of the other {len(others)} settings {verb} within one standard deviation"


def of_only_seeds(results: Results) -> str:
    """Describe the spread of a sweep that varies only seeds."""
    over = spread(results.score(row) for row in results.rows)
    return f"{results.objective} is {over} over {_counted(results, over.n)}" if over else ""


def _counted(results: Results, jobs: int) -> str:
    """Count seeds if the jobs differ in one kind of seed, else count jobs."""
    name = "seed" if len(results.seeds) == 1 else "job"
    return f"{jobs} {name}{'' if jobs == 1 else 's'}"
