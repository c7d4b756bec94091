"""Prediction intervals by conformal prediction, from the errors on the validation part.

Shapes: N samples, T later samples in time order, H horizon.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steepest.data.windows import Pricing
from steepest.nets.losses import by_quantile

LEVELS = (0.5, 0.8, 0.9, 0.95)  # the shares of prices that intervals should contain
SHOWN = 0.9  # the level of forecasts
RATE = 0.1  # how fast adaptive intervals adapt, relative to their width on the validation part
Unit = Literal["price", "data", "quantiles"]


class Forecasts(NamedTuple):
    """Predictions for a part, with the unit of their intervals.

    Attributes:
        predicted_NH, actual_NH: predicted and actual prices.
        below_NH, above_NH: the unit below and above each prediction, as `sides` returns it; also (N, 1).
    """

    predicted_NH: Float[Tensor, "N H"]
    actual_NH: Float[Tensor, "N H"]
    below_NH: Float[Tensor, "N _"]
    above_NH: Float[Tensor, "N _"]

    def errors(self) -> Float[Tensor, "N H"]:
        """Absolute errors in units: an interval contains a price whose error is at most its half width."""
        gap_NH = self.actual_NH - self.predicted_NH
        error_NH = gap_NH.abs() / torch.where(gap_NH < 0, self.below_NH, self.above_NH)
        return torch.where(gap_NH == 0, 0.0, error_NH)


def sides(unit: Unit, pricing: Pricing, outputs_NO: Float[Tensor, "N O"]) -> tuple[Tensor, Tensor]:
    """The unit of an interval below and above each prediction, (N, H) or (N, 1), in the data's unit; see `Interval`.

    With ``quantiles``, the intervals are those of conformalised quantile regression (Romano, Patterson & Candès 2019,
    NeurIPS 32), with errors scaled as by Sesia & Candès (2020, Stat 9(1)): relative to the distance from the median.
    """
    if unit == "quantiles":
        median_NH, low_NH, high_NH = (pricing(p_NH) for p_NH in by_quantile(outputs_NO))
        return (median_NH - low_NH).clamp(min=0), (high_NH - median_NH).clamp(min=0)
    size_N1 = pricing.last_N1 if unit == "price" else torch.ones_like(pricing.last_N1)
    return size_N1, size_N1


@dataclass(frozen=True)
class Interval:
    """The intervals of one level.

    Attributes:
        level: the share of prices that the intervals should contain.
        width_H: half the width at each step, in units.
        series_width_H: series -> half the width for this series, if there are several. Series with too few samples are
            left out.
        unit: what widths are multiples of. ``price``: the last known price. ``data``: the data's unit. ``quantiles``:
            the distance from the predicted median to the predicted quantile on the same side, so that the two sides
            can differ.
        coverage: the share of the test part's prices that are inside, or None if there is no test part.
        mean_width: the mean width of the test part's intervals, in the data's unit, or None.
    """

    level: float
    width_H: list[float]
    series_width_H: dict[str, list[float]]
    unit: Unit
    coverage: float | None
    mean_width: float | None


def half_widths(error_N: Float[np.ndarray, " N"], levels: Sequence[float]) -> list[float]:
    """Half the width of the interval of each level: the k-th smallest absolute error, k = ceil((N + 1) level).

    If the errors of validation and new samples are exchangeable, an interval contains a new value with at least this
    probability (Vovk, Gammerman & Shafer 2005; Lei et al. 2018, J. American Statistical Association 113(523)). Infinite
    if there are too few samples for the level. `error_N` are absolute errors.
    """
    places = [math.ceil((len(error_N) + 1) * level) - 1 for level in levels]
    possible = [place for place in places if place < len(error_N)]
    ordered_N = np.partition(error_N, possible) if possible else error_N
    return [float(ordered_N[place]) if place < len(error_N) else math.inf for place in places]


def intervals(
    val: Iterable[Forecasts],
    test: Iterable[Forecasts],
    unit: Unit,
    count: int,
    samples: Mapping[str, slice],
    steps: int = sys.maxsize,
) -> list[Interval]:
    """The intervals of every level for which the validation part has enough samples.

    Args:
        val, test: predictions of a part, in blocks. `val` is iterated several times if the horizon is above `steps`.
        unit: their unit.
        count: the number of samples in val.
        samples: the samples of each series in val, or an empty mapping if there is only one series.
        steps: the number of steps of the horizon whose errors on val are in memory together.
    """
    groups = {None: slice(None)} | dict(samples)
    widths: dict[tuple[float, str | None], list[float]] = {(level, name): [] for name in groups for level in LEVELS}
    # Small results between large temporary tensors would fragment the heap, so there is one array of errors.
    error_hN, start, horizon = np.empty((0, count)), 0, 1
    while start < horizon:
        stop = 0
        for one in val:
            error_MH = one.errors()
            horizon = error_MH.shape[1]
            if not len(error_hN):
                error_hN = np.empty((min(steps, horizon), count))
            first, stop = stop, stop + len(error_MH)
            part_Mh = error_MH[:, start : start + steps]
            error_hN[: part_Mh.shape[1], first:stop] = part_Mh.T.numpy()
        for error_N in error_hN[: horizon - start]:
            for name, of_series in groups.items():
                for level, width in zip(LEVELS, half_widths(error_N[of_series], LEVELS), strict=True):
                    widths[level, name].append(width)
        start += steps
    known = {key: torch.tensor(one_H, dtype=torch.float64) for key, one_H in widths.items()}
    width_H = {key: one_H for key, one_H in known.items() if one_H.isfinite().all()}
    levels = [level for level in LEVELS if (level, None) in width_H]
    inside, total, tested = dict.fromkeys(levels, 0), dict.fromkeys(levels, 0.0), 0
    for one in test if levels else ():
        error_MH, tested = one.errors(), tested + one.predicted_NH.numel()
        for level in levels:
            inside[level] += int((error_MH <= width_H[level, None]).sum())
            both_MH = (width_H[level, None] * (one.below_NH + one.above_NH)).expand_as(error_MH)
            total[level] += both_MH.sum().item()
    return [
        Interval(
            level,
            width_H[level, None].tolist(),
            {name: width_H[level, name].tolist() for name in samples if (level, name) in width_H},
            unit,
            inside[level] / tested if tested else None,
            total[level] / tested if tested else None,
        )
        for level in levels
    ]


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
