"""The picture of a walk-forward evaluation: when the models of the folds were better than the reference.

Shapes: N samples of the test part, T days.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from steepest.data.calendar import next_dates, row_unit
from steepest.data.faults import counted
from steepest.evaluate.evaluation import REFERENCES
from steepest.evaluate.pooled import WalkForwardScores
from steepest.observe.predictions import few_dates
from steepest.observe.theme import LIGHT, Theme, compared, percent, save

MAX_BOUNDARIES = 60  # with more folds, no lines are drawn between them


def draw_walk_forward(
    scores: WalkForwardScores, reference: str, model: str, path: Path, theme: Theme = LIGHT, *, classes: bool = False
) -> None:
    """Draw the cumulative reduction in loss, with and without refitting, and the reduction in each fold.

    The former is the cumulative loss difference of Welch & Goyal (2008), Review of Financial Studies 21(4).

    Args:
        scores: the scores of the folds.
        reference: the baseline of the verdict.
        model: a description of the model, for the caption.
        path: the file to write.
        theme: the theme of the picture.
        classes: whether the losses are shares of wrong classes, not squared errors.
    """
    what = "share of wrong directions" if classes else "squared error"
    name = REFERENCES[reference].removeprefix("persistence (").removesuffix(")")
    day_T, loss_T, reference_T, alone_T = _by_day(scores)
    total = reference_T.sum() or 1.0
    folds, refitted = scores.folds, scores.trainings > 1
    title = f"Walk-forward: the {what} is {compared(loss_T.sum() / total)} that of {name}"
    if refitted:
        title += f"; without refitting, {compared(alone_T.sum() / total)}"
    days = counted(round(len(day_T) / len(folds)), row_unit(day_T))
    caption = f"{model}, {len(folds)} folds of about {days}, predicted by {counted(scores.trainings, 'model')}"
    with theme.active():
        figure = theme.sheet(title, 5.0, caption)
        saved, skill = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
        for axes in (saved, skill):
            axes.axhline(0, color=theme.muted, lw=0.8)
            axes.yaxis.set_major_formatter(percent)
            axes.margins(x=0.01)
        if len(folds) <= MAX_BOUNDARIES:
            for first in folds["first_day"].iloc[1:]:
                saved.axvline(first, color=theme.faint, lw=1, zorder=0)
        for lost_T, text, colour in (
            (alone_T, "without refitting", theme.orange),
            (loss_T, "refitted", theme.blue),
        )[0 if refitted else 1 :]:
            saved_T = (reference_T - lost_T).cumsum() / total
            saved.plot(day_T, saved_T, color=colour, lw=1.4)
            theme.label(saved, day_T[-1], saved_T[-1], text if refitted else percent(saved_T[-1]), colour)
        saved.set_title(f"Cumulative reduction in {what}, relative to {name}")
        end = next_dates(pd.DatetimeIndex(day_T), 1)[0]
        edges = pd.DatetimeIndex([*folds["first_day"], end])
        skill.stairs(_skills(scores, day_T, loss_T, reference_T), edges, fill=True, color=theme.blue, alpha=0.85)
        skill.set_title("Reduction in each fold")
        few_dates(skill, 8)
        save(figure, path)


def _by_day(scores: WalkForwardScores) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The days, and the total losses per day of the folds' models, the reference and the first model."""
    losses: list[Tensor] = [scores.loss_N, scores.reference_loss_N, scores.without_refit_loss_N]
    table = pd.DataFrame(np.stack([loss_N.numpy() for loss_N in losses], 1)).groupby(scores.day_N).sum()
    return table.index.to_numpy(), table[0].to_numpy(), table[1].to_numpy(), table[2].to_numpy()


def _skills(scores: WalkForwardScores, day_T: np.ndarray, loss_T: np.ndarray, reference_T: np.ndarray) -> list[float]:
    """1 - the model's loss / the reference's, for each fold."""
    starts = np.searchsorted(day_T, scores.folds["first_day"].to_numpy())
    sums = [np.add.reduceat(values_T, starts) for values_T in (loss_T, reference_T)]
    return [1 - mine / other if other else 0.0 for mine, other in zip(*sums, strict=True)]
