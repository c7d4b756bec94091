"""Defines the names of the scores, the scores of each data set, how they are shown, and whether lower is better.

This module does not import torch.
"""

from __future__ import annotations

import math
from typing import Literal

SIGNIFICANT = 0.05  # a lead is statistically significant if its p-value is at most this
HIGHER_IS_BETTER = {"directional_accuracy", "accuracy", "skill"}
HIGHER_OF_USER: set[str] = set()  # the user's own metrics of which higher is better; see `runs/own.py`
VALUE_METRICS = ("mse", "mae", "rmse", "mape", "mase", "directional_accuracy", "skill", "mse_scaled", "mae_scaled")
FINAL_METRICS = ("bias", "smape", "r2", "rmsse", "information_coefficient")  # of values, at the end of a run
DIRECTION_METRICS = ("cross_entropy", "directional_accuracy", "skill")
CLASS_METRICS = ("cross_entropy", "accuracy", "skill")  # of plain rows
HEADINGS = {"directional_accuracy": "direction", "cross_entropy": "cross-entropy"}  # shorter headings of table columns


def better(metric: str) -> Literal["min", "max"]:
    """``min`` or ``max``: whether a lower or a higher value of a metric such as ``val/mse_scaled`` is better."""
    return "max" if metric.rsplit("/", 1)[-1] in HIGHER_IS_BETTER | HIGHER_OF_USER else "min"


def worst(metric: str) -> float:
    """The worst possible value of a metric. A job without a score returns it to the sweeper, which NaN might stop."""
    return -math.inf if better(metric) == "max" else math.inf


def score_text(metric: str, value: float | None) -> str:
    """Format a score for a table cell. Shares are percentages."""
    if value is None:
        return "-"
    if metric in ("mape", "directional_accuracy", "accuracy"):
        return f"{value:.2%}"
    return f"{round(value, 4) + 0.0:.4f}" if metric == "skill" and abs(value) < 10 else f"{value:.5g}"
