"""The results of a finished run, for metrics.json and for TensorBoard's HPARAMS tab. No Lightning."""

from __future__ import annotations

from typing import Any

from torch import nn

from steepest.data.windows import Windows
from steepest.evaluate.critical import CODES
from steepest.evaluate.evaluation import Evaluation
from steepest.evaluate.table import extrapolation_hint, line_in_words


def assessment(evaluation: Evaluation, model: nn.Module, windows: Windows) -> dict[str, Any]:
    """The part of metrics.json about the quality of a finished run's model."""
    verdict = evaluation.verdict()
    return evaluation.model | {
        "baselines": evaluation.baselines,
        "series": evaluation.series,
        "verdict": verdict.sentence,
        "beat_reference": verdict.beat,
        "p_value": verdict.p_value,
        "line": line_in_words(model, windows),
        "hint": extrapolation_hint(model, windows),
    }


def final_values(metrics: dict[str, Any]) -> dict[str, float | None]:
    """The results of a finished run that the HPARAMS tab shows."""
    values = {"best/objective": metrics["objective"]["value"]}
    values |= {f"test/{name}": metrics["test"].get(name) for name in ("rmse", "mase", "cross_entropy", "skill")}
    values |= {f"test/{name}": metrics["test"].get(name) for name in ("directional_accuracy", "accuracy")}
    if "critical" in metrics:
        names = ("gradient_norm", "greatest_eigenvalue", "smallest_eigenvalue")
        values |= {f"critical/{name}": metrics["critical"][name] for name in names}
        values["critical/verdict"] = float(CODES[metrics["critical"]["verdict"]])
    return values
