"""Compares two trainings bit for bit: on the real data, and on data with a changed future."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steepest.data.windows import Windows
from steepest.runs.config import Checked
from steepest.runs.lookahead.comparison import (
    Comparison,
    Difference,
    first_difference,
    listed,
    numbered,
    rows_comparison,
    scaler_comparison,
)
from steepest.runs.lookahead.path import Prepared
from steepest.runs.lookahead.training import Fit


def follows_val(checked: Checked) -> bool:
    """Whether the updates themselves depend on val, because a plateau scheduler monitors a val score."""
    scheduler = checked.groups.get("scheduler")
    plateau = (
        scheduler is not None and isinstance(scheduler.target, type) and issubclass(scheduler.target, ReduceLROnPlateau)
    )
    return plateau and checked.run.objective.startswith("val/")


def refit_comparisons(
    real: Prepared,
    changed: Prepared,
    before: Fit,
    after: Fit | None,
    day: pd.Timestamp,
    *,
    val_is_known: bool,
) -> Iterator[Comparison]:
    """Yield the comparisons of the rows read, the scaler, the training windows and the training.

    If the changed rows include val, the stop rule may end the training at another epoch, and the best epoch may differ.
    Then only the epochs common to both trainings are compared. If `after` is None, the trainings are not compared.
    """
    for step in (rows_comparison, scaler_comparison, _training_windows):
        comparison = step(real, changed, day)
        yield comparison
        if comparison.difference is not None:
            return
    if after is not None:
        yield _training(before, after, whole=val_is_known)


def _training_windows(real: Prepared, changed: Prepared, day: pd.Timestamp) -> Comparison:
    known, found = (_samples(data.placed) for data in (real, changed))
    index = real.windows.index[real.placed.parts["train"].origins(torch.arange(len(known[0]))).numpy()]
    difference = None
    for one, other, what in zip(known, found, ("input", "target"), strict=True):
        name = f"{what} {{}} of the training window"
        difference = difference or first_difference(one, other, numbered(name), index)
    return Comparison("windows", sum(t.numel() for t in known), difference)


def _samples(windows: Windows) -> tuple[Tensor, Tensor]:
    """The inputs (N, D) and targets (N, H) of the training part."""
    batches = [batch for _, batch in windows.walk("train")]
    return torch.cat([batch.x_ND for batch in batches]), torch.cat([batch.y_NH for batch in batches])


def _training(before: Fit, after: Fit, *, whole: bool) -> Comparison:
    """Compare the loss of each update, the parameters after each epoch, and, if val is known, the scores."""
    epochs = min(len(before.parameters_EP), len(after.parameters_EP))
    updates = min(len(before.losses_K), len(after.losses_K))
    count = updates + before.parameters_EP[:epochs].numel()
    ends = len(before.epochs), len(after.epochs)
    if whole and ends[0] != ends[1]:
        return Comparison("training", count, Difference("the number of epochs", str(ends[0]), str(ends[1])))
    one, other = before.losses_K[None, :updates], after.losses_K[None, :updates]
    if found := first_difference(one, other, numbered("the training loss of update {}")):
        return Comparison("training", count, found)
    for epoch in range(epochs):
        name = numbered(f"parameter {{}} after epoch {epoch + 1}")
        if found := first_difference(before.parameters_EP[None, epoch], after.parameters_EP[None, epoch], name):
            return Comparison("training", count, found)
    if not whole:
        return Comparison("training", count, None)
    names = list(before.epochs[0])
    one, other = (np.array([[row[name] for name in names] for row in t.epochs]) for t in (before, after))
    count += one.size + 1
    if found := first_difference(one, other, listed([f"the score {name}" for name in names])):
        return Comparison("training", count, found)
    best = None if before.best == after.best else Difference("the best epoch", str(before.best), str(after.best))
    return Comparison("training", count, best)
