"""What a run says at its end: one table, the line that was learnt, and one plain sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import nn

from steepest.data.windows import PARTS, Windows
from steepest.evaluate.evaluation import Evaluation
from steepest.evaluate.metrics import DIRECTION_METRICS, Scores
from steepest.models.networks import Linear

COLUMNS = ("rmse", "mae", "mape", "mase", "directional_accuracy", "skill")
HEADINGS = {"directional_accuracy": "direction", "cross_entropy": "cross-entropy"}


def results_table(evaluation: Evaluation, metrics: dict[str, Any], folder: Path) -> Group:
    """The rich table of a finished run, in the data's units, with the verdict and where the record lies."""
    direction = "cross_entropy" in evaluation.model["train"]
    columns = DIRECTION_METRICS if direction else COLUMNS
    table = Table(title="Scores in the data's units, at the best epoch", title_justify="left")
    table.add_column("part")
    table.add_column("")
    for column in columns:
        table.add_column(HEADINGS.get(column, column), justify="right")
    for part in PARTS:
        if not evaluation.model[part]:
            continue
        table.add_row(part, "model", *_cells(evaluation.model[part], columns), style="bold")
        for name, scores in evaluation.baselines.items():
            table.add_row("", name, *_cells(scores[part], columns), end_section=name == list(evaluation.baselines)[-1])
    reason = f"Ended by {metrics['stop_reason']}." if "stop_reason" in metrics else ""
    how = f"{metrics['updates']} updates in {metrics['epochs']} epochs, {metrics['seconds']:.1f} s. {reason}"
    lines = [how, metrics["line"] or "", evaluation.verdict(), f"Record: {folder}"]
    return Group(table, *(Text(line, style="bold" if line == evaluation.verdict() else "") for line in lines if line))


def _cells(scores: Scores, columns: tuple[str, ...]) -> list[str]:
    cells = []
    for column in columns:
        value = scores[column]
        percent = column in ("mape", "directional_accuracy")
        cells.append("-" if value is None else f"{value:.2%}" if percent else f"{value:.4f}" if column == "skill" else f"{value:.5g}")
    return cells


def line_coefficients(model: nn.Module, windows: Windows) -> tuple[list[float], float] | None:
    """A linear model's coefficients in the data's own units: (one per input, oldest day first), constant.

    Standardising is undone: prediction = mean_y + scale_y (W (x - mean_x) / scale_x + b). Of a relative model the
    last value is added back to its own coefficient. None for other models, several series or horizons.
    """
    network = getattr(model, "network", None)
    if not isinstance(network, Linear) or windows.outputs != 1 or windows.direction or len(windows.names) != 1:
        return None
    weight_D = network.W1.detach().double().cpu()[0]
    mean_D = windows.input_mean_SF[0].cpu().repeat(windows.window)
    scale_D = windows.input_scale_SF[0].cpu().repeat(windows.window)
    scale, mean = windows.scale_S[0].cpu(), windows.mean_S[0].cpu()
    own_D = weight_D * scale / scale_D
    constant = scale * (network.b1.detach().double().cpu()[0] - (weight_D * mean_D / scale_D).sum()) + mean
    if windows.relative:
        width = len(windows.input_mean_SF[0])
        # (u - last) has no mean, so what was taken off for the value's mean comes back, and last itself is added.
        constant = constant - mean + (own_D[::width] * mean_D[::width]).sum()
        own_D[-width] += 1 - own_D[::width].sum()
    return own_D.tolist(), constant.item()


def line_in_words(model: nn.Module, windows: Windows) -> str | None:
    """The function that was learnt, if it is a line short enough to read."""
    found = line_coefficients(model, windows)
    if found is None or len(found[0]) > 4:
        return None
    coefficients, constant = found
    names = _input_names(windows)
    terms = " + ".join(f"{c:.6g} {n}" for c, n in zip(coefficients, names, strict=True))
    left = "target" if not windows.ordered else {"level": "tomorrow"}.get(windows.transform, f"tomorrow's {windows.transform}")
    return f"The line: {left} = {terms} {'+' if constant >= 0 else '-'} {abs(constant):.6g}"


def _input_names(windows: Windows) -> list[str]:
    days = ["today", *(f"{d} days ago" for d in range(1, windows.window))] if windows.ordered else ["row"]
    if windows.ordered and len(windows.input_names) == 1:
        return days[::-1]
    return [f"{name}" if day in ("row", "today") and windows.window == 1 else f"{name} {day}" for day in days[::-1] for name in windows.input_names]
