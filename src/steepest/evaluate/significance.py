"""Whether the difference between two forecasts' losses is statistically significant: the Diebold-Mariano test."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import scipy.fft
import scipy.special
import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.evaluate.names import SIGNIFICANT

# Days that give 2 cosine terms. A single one is 0 by chance too often if losses are shares of wrong classes.
FEWEST = 12


def significance_in_words(p_value: float) -> str:
    """Describe a p-value in a sentence, without the full stop."""
    is_ = "is" if p_value <= SIGNIFICANT else "is not"
    return f"The difference {is_} statistically significant (p = {p_value:.2g})"


def days_needed(horizon: int) -> int:
    """The lowest number of days that `diebold_mariano` tests: below it, the variance has a single cosine term."""
    return max(FEWEST, 2 * horizon)


def diebold_mariano(loss_a_T: Float[Tensor, " T"], loss_b_T: Float[Tensor, " T"], horizon: int) -> float | None:
    """Two-sided p-value of the Diebold-Mariano test that two forecasts are equally good.

    Forecasts that overlap, and volatile periods, make the differences d_t = loss_a - loss_b of nearby days dependent.
    So their long-run variance is estimated by the equal-weighted cosine estimator, from the B lowest frequencies:

        Lambda_j = sqrt(2 / T) sum_{t=1..T} d_t cos(pi j (t - 1/2) / T),   j = 1 .. B
        variance = 1/B sum_j Lambda_j^2,   B = min(floor(0.4 T^(2/3)), floor(T / horizon))
        statistic = mean(d) / sqrt(variance / T)

    If the forecasts are equally good, the statistic has approximately Student's t distribution with B degrees of
    freedom. The paper gives the variance, the distribution and B without the limit T / horizon. That limit keeps the
    frequencies below 1 / (2 horizon), where the spectrum of overlapping forecasts is still almost flat.

    Args:
        loss_a_T, loss_b_T: the two forecasts' losses on each of T days, in time order.
        horizon: H, the number of days predicted at once.

    Returns:
        The p-value, or None if there are fewer than `days_needed(horizon)` days, if all losses are equal, or if a
        difference is not finite.

    Diebold & Mariano (1995), J. Business & Economic Statistics 13(3). Lazarus, Lewis, Stock & Watson (2018), "HAR
    Inference: Recommendations for Practice", J. Business & Economic Statistics 36(4).
    """
    count = len(loss_a_T)
    if count < days_needed(horizon):
        return None
    d_T = (loss_a_T.double() - loss_b_T.double()).cpu()
    largest = d_T.abs().max()
    if not (largest > 0 and largest.isfinite()):
        return None
    d_T = d_T / largest  # squares of very small or large losses would leave the range of float64
    error, terms = error_of_mean(d_T.numpy(), horizon)
    statistic = abs(d_T.mean().item()) / error if error else math.inf
    return 2 * float(scipy.special.stdtr(terms, -statistic))


def error_of_mean(values_T: Float[np.ndarray, " T"], horizon: int = 1) -> tuple[float, int]:
    """The standard error of the mean of dependent values, and B, its degrees of freedom: see `diebold_mariano`."""
    count = len(values_T)
    terms = min(math.floor(0.4 * count ** (2 / 3)), count // horizon)
    lambda_B = scipy.fft.dct(values_T - values_T.mean(), norm="ortho")[1 : terms + 1]
    return math.sqrt((lambda_B @ lambda_B) / terms / count), terms


def holm(p_values: Mapping[str, float]) -> set[str]:
    """The names of the hypotheses that Holm's procedure rejects. It errs in at most 5 % of all families.

    The k-th smallest of m p-values must be at most 5 % / (m - k + 1), and so must be all smaller ones. Holm (1979),
    Scandinavian J. Statistics 6(2).
    """
    rejected: set[str] = set()
    for name in sorted(p_values, key=lambda name: p_values[name]):
        if p_values[name] > SIGNIFICANT / (len(p_values) - len(rejected)):
            break
        rejected.add(name)
    return rejected


def loss_by_day(loss_N: Float[Tensor, " N"], day_N: Int[Tensor, " N"]) -> Float[Tensor, " T"]:
    """The losses of N samples of several series, summed by day and divided by N / T: (T,), in time order.

    Samples of one day are not independent. The mean over days is the mean over samples, also if some days have fewer
    series.
    """
    day_T, inverse_N = torch.unique(day_N, return_inverse=True)
    total_T = torch.zeros(len(day_T), dtype=torch.float64, device=loss_N.device)
    total_T.index_add_(0, inverse_N, loss_N.double())
    return total_T * (len(day_T) / len(loss_N))
