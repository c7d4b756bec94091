"""The summary printed at the end of a run: a table of scores, the learned line, hints, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from steepest.data.calendar import now_and_next
from steepest.data.faults import counted
from steepest.data.windows import Windows
from steepest.evaluate.evaluation import Evaluation
from steepest.evaluate.names import HEADINGS, score_text
from steepest.evaluate.terminal import print_sentence, print_table
from steepest.nets.networks import MLP
from steepest.nets.window_linear import WindowLinear

COLUMNS = ("rmse", "mae", "mape", "mase", "directional_accuracy", "skill")
CLASS_COLUMNS = ("cross_entropy", "directional_accuracy", "accuracy", "skill")
NOT_SHOWN = ("seasonal_naive", "moving_average", "ridge", "logistic")  # baselines that only metrics.json has
FEW = 30  # test scores from fewer predictions are unreliable


def print_results(evaluation: Evaluation, metrics: dict[str, Any], folder: Path, console: Console) -> None:
    """Print a finished run's scores in the data's units, the verdict, and the folder of the record."""
    objective = metrics["objective"]
    if "one_batch" in metrics:
        print_sentence(console, learnt_by_heart(metrics["one_batch"]), "bold")
        _print_record(folder, console)
        return
    epochs = f"best epoch {objective['epoch']:g} of {metrics['epochs']:g}"
    print_scores(evaluation, f"Scores in the data's units, {epochs}", console)
    counts = [counted(metrics["updates"], "update"), counted(metrics["epochs"], "epoch"), f"{metrics['seconds']:.1f} s"]
    ending = f"{', '.join(counts)}; ended by {metrics['stop_reason']}."
    if objective["epoch"] != metrics["epochs"]:
        ending += f" The run keeps the model of epoch {objective['epoch']:g}, the best by {objective['name']}."
    critical = metrics.get("critical", {}).get("sentence")
    if critical and objective["epoch"] != metrics["epochs"]:
        critical = critical.replace("The descent ended", f"After epoch {metrics['epochs']}, the descent ended", 1)
    tested = len(evaluation.tables["test"]) if "test" in evaluation.tables else 0
    count = counted(tested, "prediction")
    few = f"The test part has only {count}, too few for reliable scores." if 0 < tested < FEW else None
    walk = None if evaluation.walk_forward is None else evaluation.walk_forward.sentence()
    for line in (*evaluation.data, evaluation.inputs, ending, metrics["line"], critical, metrics["hint"], few, walk):
        if line:
            print_sentence(console, line)
    print_sentence(console, evaluation.verdict().sentence, "bold")
    _print_record(folder, console)


def learnt_by_heart(found: Mapping[str, Any]) -> str:
    """What a run on one batch found, as a sentence."""
    fall = f"{found['loss_before']:.2g} -> {found['loss']:.2g} in {counted(found['updates'], 'update')}"
    if found["learnt_by_heart"]:
        return f"Learnt by heart: {fall}."
    return (
        f"Not learnt by heart: {fall}. A net with enough units should learn one batch: try more updates "
        "(stop.epochs), another step size (optimizer.lr) or more units; otherwise look for a fault in the model."
    )


def _print_record(folder: Path, console: Console) -> None:
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    console.print(Text(f"Record: {shown}"), soft_wrap=True)


def print_scores(
    evaluation: Evaluation, title: str, console: Console, part_names: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Print a table of the scores of the model and of the baselines on every part. `part_names` renames parts."""
    known = next(scores for scores in evaluation.model.values() if scores)
    columns = tuple(name for name in CLASS_COLUMNS if name in known) if "cross_entropy" in known else COLUMNS
    rows_of = {
        part: {"model": scores} | {n: parts[part] for n, parts in evaluation.baselines.items() if n not in NOT_SHOWN}
        for part, scores in evaluation.model.items()
        if scores
    }
    if "cross_entropy" not in known:
        columns += tuple(next(iter(evaluation.tables.values())).scorer.own)
    columns = tuple(c for c in columns if any(row[c] is not None for rows in rows_of.values() for row in rows.values()))
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("part", ""):
        table.add_column(heading, no_wrap=True)
    for column in columns:
        marked = "*" if column == "mape" and evaluation.mape_says_little else ""
        table.add_column(HEADINGS.get(column, column) + marked, justify="right", no_wrap=True)
    for part, rows in rows_of.items():
        for name, row in rows.items():
            cells, own = [score_text(column, row[column]) for column in columns], name == "model"
            table.add_row(part_names.get(part, part) if own else "", name, *cells, style="bold" if own else None)
        table.add_section()
    print_table(console, table)
    if "mape" in columns and evaluation.mape_says_little:
        print_sentence(console, "* mape is unreliable here: a few values close to 0 account for more than half of it.")


def extrapolation_hint(network: nn.Module, windows: Windows) -> str | None:
    """Return a hint if a net predicts from prices outside the range of its training data, else None."""
    if isinstance(network, WindowLinear) or (isinstance(network, MLP) and network.depth == 1) or not windows.ordered:
        return None
    if windows.transform != "level" or windows.relative or not len(windows.parts["test"]):
        return None
    spans = list(zip(windows.start_S.tolist(), windows.train_stop_S.tolist(), strict=True))
    low_S = torch.stack([windows.price_T[a:b].min() for a, b in spans])
    high_S = torch.stack([windows.price_T[a:b].max() for a, b in spans])
    origin_N = windows.parts["test"].origins(torch.arange(len(windows.parts["test"]), device=windows.price_T.device))
    last_N, series_N = windows.price_T[origin_N], windows.series_T[origin_N]
    outside = ((last_N < low_S[series_N]) | (last_N > high_S[series_N])).double().mean().item()
    if outside < 0.1:
        return None
    return (
        f"{outside:.0%} of the test windows end at prices outside the training part's range, "
        "where a net has learned nothing: try data.relative_to_last=true data.window=28, or data.transform=log_return"
    )


def line_coefficients(network: nn.Module, windows: Windows) -> tuple[list[float], float] | None:
    """A linear model's coefficients in the data's units, (one per input, oldest day first), and its constant.

    This undoes standardising: prediction = mean_y + scale_y (W (x - mean_x) / scale_x + b). For a model relative to
    the last value, that value is added back through its coefficient. None for other models, for several series and for
    several outputs.
    """
    line = network.affine() if isinstance(network, MLP | WindowLinear) else None
    if line is None or len(line[1]) > 1 or len(windows.names) > 1:
        return None
    weight_OD, bias_O = line
    weight_D = weight_OD.detach().double().cpu()[0]
    mean_D = windows.input_mean_SF[0].cpu().repeat(windows.window)
    scale_D = windows.input_scale_SF[0].cpu().repeat(windows.window)
    scale, mean = windows.scale_S[0].cpu(), windows.mean_S[0].cpu()
    coefficient_D = weight_D * scale / scale_D
    constant = scale * (bias_O.detach().double().cpu()[0] - (weight_D * mean_D / scale_D).sum()) + mean
    if windows.relative:
        width = len(windows.input_mean_SF[0])
        # The mean cancels in u - last, so the term subtracted for it is added back; then last itself is added.
        constant = constant - mean + (coefficient_D[::width] * mean_D[::width]).sum()
        coefficient_D[-width] += 1 - coefficient_D[::width].sum()
    return coefficient_D.tolist(), constant.item()


def named_coefficients(network: nn.Module, windows: Windows) -> dict[str, float] | None:
    """`line_coefficients` by the names of the inputs, oldest row first; the last entry is the ``constant``."""
    line = line_coefficients(network, windows)
    if line is None:
        return None
    return dict(zip(_input_names(windows), line[0], strict=True)) | {"constant": line[1]}


def line_in_words(network: nn.Module, windows: Windows) -> str | None:
    """The learned function as a sentence, if it is a line with at most four coefficients."""
    line = line_coefficients(network, windows)
    if line is None or len(line[0]) > 4:
        return None
    coefficients, constant = line
    terms = " + ".join(f"{c:.6g} {name}" for c, name in zip(coefficients, _input_names(windows), strict=True))
    left = "target"
    if windows.ordered:
        _, left = now_and_next(windows.unit)
        left = left if windows.transform == "level" else f"{left}'s {windows.transform}"
    return f"The line: {left} = {terms} {'+' if constant >= 0 else '-'} {abs(constant):.6g}"


def _input_names(windows: Windows) -> list[str]:
    """The name of each input of a window, oldest row first."""
    if not windows.ordered or (windows.window == 1 and len(windows.input_names) > 1):
        return list(windows.input_names)
    now, _ = now_and_next(windows.unit)
    rows = [f"{counted(ago, windows.unit)} ago" for ago in range(windows.window - 1, 0, -1)] + [now]
    if len(windows.input_names) == 1:
        return rows
    return [f"{name} {row}" for row in rows for name in windows.input_names]
