"""Whether the difference between two forecasts' losses is more than chance: the Diebold-Mariano test."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def diebold_mariano(loss_a_T: Float[Tensor, " T"], loss_b_T: Float[Tensor, " T"], horizon: int) -> float | None:
    """Two-sided p-value of the Diebold-Mariano test that two forecasts are equally good.

    The statistic is the mean of d_t = loss_a - loss_b over days t, divided by its standard error. The standard error
    accounts for the autocorrelation that overlapping forecasts and volatile periods cause, by Newey & West's (Bartlett)
    weights over max(horizon - 1, floor(4 (T / 100)^(2/9))) lags. The statistic is asymptotically standard normal if
    the forecasts are equally good.

    Args:
        loss_a_T, loss_b_T: the two forecasts' losses on each of T days, in time order.
        horizon: H, the number of days predicted at once.

    Returns:
        The p-value, or None if there are fewer than 10 days or all losses are equal.

    Diebold & Mariano (1995), J. Business & Economic Statistics 13(3); Newey & West (1987, 1994).
    """
    count = len(loss_a_T)
    if count < 10:
        return None
    d_T = loss_a_T.double() - loss_b_T.double()
    mean = d_T.mean()
    e_T = d_T - mean
    lags = min(max(horizon - 1, math.floor(4 * (count / 100) ** (2 / 9))), count - 1)
    variance = (e_T @ e_T) / count
    for lag in range(1, lags + 1):
        variance = variance + 2 * (1 - lag / (lags + 1)) * (e_T[lag:] @ e_T[:-lag]) / count
    if not variance > 0:
        return None
    statistic = mean.item() / math.sqrt(variance.item() / count)
    return math.erfc(abs(statistic) / math.sqrt(2))


def mean_by_day(loss_N: Float[Tensor, " N"], day_N: Int[Tensor, " N"]) -> Float[Tensor, " T"]:
    """The mean loss of each day (T,), in time order: samples of several series on one day are not independent."""
    day_T, inverse_N = torch.unique(day_N, return_inverse=True)
    total_T = torch.zeros(len(day_T), dtype=torch.float64, device=loss_N.device)
    total_T.index_add_(0, inverse_N, loss_N.double())
    return total_T / torch.bincount(inverse_N, minlength=len(day_T))
