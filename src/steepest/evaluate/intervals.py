"""Prediction intervals by conformal prediction, from the errors on the validation part.

Shapes: N samples, T later samples in time order, H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LEVELS = (0.5, 0.8, 0.9, 0.95)  # the shares of prices that intervals should contain
SHOWN = 0.9  # the level of forecasts
RATE = 0.1  # how fast adaptive intervals adapt, relative to their width on the validation part


@dataclass(frozen=True)
class Interval:
    """The intervals of one level.

    Attributes:
        level: the share of prices that the intervals should contain.
        width_H: half the width at each step, as a share of the last known price if `of_price`, else in the data's unit.
        series_width_H: series -> half the width for this series, if there are several. Series with too few samples are
            left out.
        of_price: whether the widths are shares of the price.
        coverage: the share of the test part's prices that are inside, or None if there is no test part.
        mean_width: the mean width of the test part's intervals, in the data's unit, or None.
    """

    level: float
    width_H: list[float]
    series_width_H: dict[str, list[float]]
    of_price: bool
    coverage: float | None
    mean_width: float | None


def half_width(error_NH: Float[Tensor, "N H"], level: float) -> Float[Tensor, " H"]:
    """Half the width of the interval at each step: the k-th smallest absolute error, k = ceil((N + 1) level).

    If the errors of validation and new samples are exchangeable, an interval contains a new value with at least this
    probability (Vovk, Gammerman & Shafer 2005; Lei et al. 2018, J. American Statistical Association 113(523)). Infinite
    if there are too few samples for the level.
    """
    count = len(error_NH)
    place = math.ceil((count + 1) * level)
    if place > count:
        return error_NH.new_full((error_NH.shape[1],), math.inf)
    return error_NH.abs().kthvalue(place, dim=0).values


def intervals(
    val: tuple[Tensor, Tensor, Tensor],
    test: tuple[Tensor, Tensor, Tensor] | None,
    of_price: bool,
    samples: Mapping[str, slice],
) -> list[Interval]:
    """The intervals of every level for which the validation part has enough samples.

    Args:
        val, test: predictions (N, H), actual prices (N, H) and last known prices (N, 1) of a part.
        of_price: measure errors as shares of the last known price. All prices must be above 0.
        samples: the samples of each series in val, or an empty mapping if there is only one series.
    """
    predicted_NH, actual_NH, last_N1 = val
    error_NH = (predicted_NH - actual_NH) / (last_N1 if of_price else 1.0)
    found = []
    for level in LEVELS:
        width_H = half_width(error_NH, level)
        if not width_H.isfinite().all():
            continue
        coverage = mean_width = None
        if test is not None:
            predicted_MH, actual_MH, last_M1 = test
            half_MH = width_H * (last_M1 if of_price else torch.ones_like(last_M1))
            coverage = ((predicted_MH - actual_MH).abs() <= half_MH).double().mean().item()
            mean_width = 2 * half_MH.mean().item()
        of_series = {name: half_width(error_NH[places], level) for name, places in samples.items()}
        known = {name: own_H.tolist() for name, own_H in of_series.items() if own_H.isfinite().all()}
        found.append(Interval(level, width_H.tolist(), known, of_price, coverage, mean_width))
    return found


def adaptive(
    start_H: Float[Tensor, " H"], error_TH: Float[Tensor, "T H"], level: float
) -> tuple[Float[Tensor, " H"], Bool[Tensor, "T H"]]:
    """Adaptive conformal intervals by quantile tracking (Angelopoulos, Candès & Tibshirani 2023, NeurIPS 36).

    The half width starts as q, that of `half_width`. After a miss it grows by RATE * q * level; after a hit it shrinks
    by RATE * q * (1 - level). So over T rows whose errors are at most b, the share within the intervals differs from
    the level by at most (b + RATE * q) / (RATE * q * T), whatever the errors do. The error of step h is known h rows
    later, and changes the width only then.

    Args:
        start_H: half the width at each step, from the errors of the validation part.
        error_TH: errors of the later rows, in time order.
        level: the share of prices that the intervals should contain.

    Returns:
        Half the width at each step after the last row, and whether each of `error_TH` was within its interval.
    """
    width_H = start_H
    step_H, rows, ahead_H = RATE * width_H, len(error_TH), torch.arange(1, len(width_H) + 1)
    miss_TH = torch.zeros(rows, len(width_H), dtype=torch.float64)
    for row in range(rows + 1):
        known_H = row - ahead_H
        missed_H = miss_TH[known_H.clamp(min=0), ahead_H - 1] if rows else torch.zeros_like(width_H)
        changed_H = (width_H + step_H * (missed_H - (1 - level))).clamp(min=0)
        width_H = torch.where(known_H >= 0, changed_H, width_H)
        if row < rows:
            miss_TH[row] = (error_TH[row].abs() > width_H).double()
    return width_H, miss_TH == 0


def widths_after(
    known: Mapping[str, Any], names: Sequence[str], errors: Mapping[str, Float[Tensor, "T H"]], *, adapt: bool
) -> tuple[Float[Tensor, "S H"], float | None]:
    """Half the widths after the last row of each series, and the coverage of such intervals on later prices.

    Args:
        known: the fields of an `Interval`.
        names: the series. Those missing from `known` have the common width.
        errors: series -> absolute errors of the rows after the validation part, in the unit of the widths. If it
            is empty, the coverage is None.
        adapt: whether the widths adapt to these errors.
    """
    widths, inside = [], []
    for name in names:
        width_H = torch.tensor(known["series_width_H"].get(name, known["width_H"]), dtype=torch.float64)
        error_TH = errors.get(name, torch.zeros(0, len(width_H), dtype=torch.float64))
        inside_TH = error_TH <= width_H
        if adapt:
            width_H, inside_TH = adaptive(width_H, error_TH, known["level"])
        widths.append(width_H)
        inside.append(inside_TH.double().flatten())
    shares = torch.cat(inside)
    return torch.stack(widths), shares.mean().item() if len(shares) else None
