"""Tests whether one forecast's lead over another on a part is statistically significant, overall and per series.

Shapes: N samples of a part.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from steepest.data.faults import counted
from steepest.data.windows import Windows
from steepest.evaluate.scoring import PartScorer
from steepest.evaluate.significance import days_needed, diebold_mariano, holm, loss_by_day


def lead_p_value(
    windows: Windows, scorer: PartScorer, model_N: Tensor, reference_N: Tensor
) -> tuple[float | None, str]:
    """Return the p-value of the Diebold-Mariano test of two losses, or None with the reason.

    The losses are compared day by day, or row by row for plain rows.
    """
    day_N = scorer.origin_N
    if len(windows.names) > 1:
        dates = windows.index.get_level_values("date").asi8[day_N.cpu().numpy()]
        day_N = torch.from_numpy(dates.copy()).to(day_N.device)
    model_T, reference_T = loss_by_day(model_N, day_N), loss_by_day(reference_N, day_N)
    # If the series have different dates, a horizon spans more days of their union.
    overlap = math.ceil(windows.horizon * len(model_T) / int(windows.parts[scorer.part].count_S.max()))
    p_value, needed = diebold_mariano(model_T, reference_T, overlap), days_needed(overlap)
    if p_value is not None:
        return p_value, ""
    if len(model_T) >= needed:
        return None, "the losses do not differ"
    if not windows.ordered:
        return None, f"the test part has only {counted(len(model_T), 'row')}, and the test needs at least {needed}"
    days = counted(len(model_T), windows.unit)
    return None, (f"the test part has forecasts on only {days}, and horizon {windows.horizon} needs at least {needed}")


def leads_by_series(
    windows: Windows, scorer: PartScorer, model_N: Tensor, reference_N: Tensor
) -> tuple[dict[str, float | None], list[str]]:
    """Return each series' p-value, and the series with a significant lead of the model after Holm's correction."""
    ahead, p_values = list[str](), dict[str, float | None]()
    for name, samples in scorer.samples_by_series.items():
        p_values[name] = diebold_mariano(model_N[samples], reference_N[samples], windows.horizon)
        if model_N[samples].mean() < reference_N[samples].mean():
            ahead.append(name)
    significant = holm({name: p for name, p in p_values.items() if p is not None})
    return p_values, [name for name in ahead if name in significant]
