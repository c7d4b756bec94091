"""Histograms as TensorBoard keeps them, of many rows of numbers at once.

Shapes: R rows, N numbers of a row, B bins.
"""

from __future__ import annotations

import numpy as np
from tensorboard.compat.proto.summary_pb2 import HistogramProto


def histograms(numbers_RN: np.ndarray, bins: int = 30) -> list[HistogramProto | None]:
    """A histogram of each row, in bins of one width from its least number to its greatest.

    None for rows with numbers that overflowed: they have no bins; that shows in the norms.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        numbers_RN = numbers_RN.astype(float)
        least_R1, greatest_R1 = numbers_RN.min(1, keepdims=True), numbers_RN.max(1, keepdims=True)
        spread_R1 = greatest_R1 - least_R1
        width_R1 = np.where(spread_R1 == 0, 1.0, spread_R1) / bins  # of a single value: bins above it
        known_R = np.isfinite(spread_R1[:, 0])
        distance_RN = (numbers_RN - least_R1) / width_R1
    distance_RN[~known_R] = 0
    rows = len(numbers_RN)
    places_RN = np.minimum(distance_RN.astype(int), bins - 1) + bins * np.arange(rows)[:, None]
    counts_RB = np.bincount(places_RN.ravel(), minlength=rows * bins).reshape(rows, bins)
    return [
        HistogramProto(
            min=least,
            max=greatest,
            num=numbers_RN.shape[1],
            sum=total,
            sum_squares=squares,
            bucket_limit=limits,
            bucket=counts,
        )
        if known
        else None
        for known, least, greatest, total, squares, limits, counts in zip(
            known_R.tolist(),
            least_R1[:, 0].tolist(),
            greatest_R1[:, 0].tolist(),
            numbers_RN.sum(1).tolist(),
            np.einsum("rn,rn->r", numbers_RN, numbers_RN).tolist(),
            (least_R1 + width_R1 * np.arange(1, bins + 1)).tolist(),
            counts_RB.tolist(),
            strict=True,
        )
    ]
