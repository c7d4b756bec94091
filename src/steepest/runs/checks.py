"""Checks a config against its data, before a model is built. No Lightning."""

from __future__ import annotations

import inspect
from itertools import pairwise

from steepest.data.windows import Windows
from steepest.evaluate.blocks import ROWS
from steepest.evaluate.names import CLASS_METRICS, DIRECTION_METRICS, FINAL_METRICS, VALUE_METRICS
from steepest.nets.losses import loss_of
from steepest.runs.choices import choice_of
from steepest.runs.config import Checked
from steepest.runs.process import memory
from steepest.runs.specs import SPECS

COPIES = 8  # arrays as large as the parameters: gradient, optimizer, best epoch, checkpoint and temporary copies
LAYERS = 4  # arrays as large as a batch's units: before and after the activation, and both gradients


def loss_name(checked: Checked, windows: Windows) -> str:
    """The config's loss; for a model without this key, the usual one of such targets."""
    name = checked.groups["model"].arguments.get("loss")
    return name if isinstance(name, str) else ("cross_entropy" if windows.classes else "mse")


def outputs_of(checked: Checked, windows: Windows) -> int:
    """O, the number of outputs that a config's model needs for a sample."""
    return windows.horizon * loss_of(loss_name(checked, windows)).outputs


def sizes_of(checked: Checked, windows: Windows) -> dict[str, int]:
    """The sizes that a config's model needs: its inputs and outputs, and for some, the rows of a window.

    Raises:
        ValueError: for a model of windows on plain rows.
    """
    model = checked.groups["model"]
    sizes = {"inputs": windows.inputs, "outputs": outputs_of(checked, windows), "window": windows.window}
    # (`model.target` imports Lightning, which takes seconds.)
    described = SPECS[model.path] if model.path in SPECS else model.target  # noqa: SIM401
    taken = inspect.signature(described).parameters
    if "window" in taken and not windows.ordered:
        name = choice_of("model", model.path, model.arguments)
        raise ValueError(f"{name} needs windows of a series, but these data are plain rows: use model=linear")
    return {name: size for name, size in sizes.items() if name in taken}


def check_choices(checked: Checked, windows: Windows) -> None:
    """Raise `ValueError` for a loss that cannot score the targets, and for a learning rate that is not above 0."""
    loss = loss_name(checked, windows)
    if windows.classes != (loss == "cross_entropy"):
        if windows.classes:
            raise ValueError(
                f"the data's targets are classes, which model.loss={loss} cannot score: use model.loss=cross_entropy "
                "objective=val/cross_entropy (experiment=direction has both)"
            )
        raise ValueError(
            "model.loss=cross_entropy scores classes: set data.target=direction (for plain rows, data.classes=true), "
            "or use model.loss=mse"
        )
    _check_size(checked, windows)
    rate = checked.groups["optimizer"].arguments.get("lr")
    if rate is not None and not 0 < float(rate) < float("inf"):
        raise ValueError(f"optimizer.lr={rate} must be above 0: gradient descent steps against the gradient")


def _check_size(checked: Checked, windows: Windows) -> None:
    """Raise `ValueError` if the network does not fit into memory."""
    if checked.groups["model"].path not in SPECS:  # only these have known sizes
        return
    hidden, data = checked.groups["model"].arguments.get("hidden") or [], checked.groups["data"].arguments
    units = [windows.inputs, *hidden, outputs_of(checked, windows)]
    parameters = sum((before + 1) * after for before, after in pairwise(units))
    if checked.groups["model"].arguments.get("trend"):
        parameters *= 2  # DLinear has two maps
    rows = max(data.get("batch_size") or len(windows.parts["train"]), ROWS)
    size = 8 if checked.groups["trainer"].arguments.get("precision") == "64-true" else 4
    needed = size * (COPIES * parameters + LAYERS * rows * sum(units[1:]))
    if needed > memory():
        raise ValueError(
            f"model.hidden={list(hidden)} makes {parameters:.3g} parameters, which need about {needed / 2**30:,.0f} "
            f"GiB of memory, and this process may use {memory() / 2**30:.0f} GiB: lower model.hidden"
        )


def check_objective(checked: Checked, windows: Windows) -> None:
    """Raise `ValueError` for an objective that this run does not compute."""
    objective = checked.run.objective
    parts = [part for part in ("val", "train") if len(windows.parts[part])]
    metrics = (DIRECTION_METRICS if windows.ordered else CLASS_METRICS) if windows.classes else VALUE_METRICS
    own = checked.groups["evaluation"].arguments.get("metrics", {})
    if taken := sorted(own.keys() & {*VALUE_METRICS, *FINAL_METRICS, "loss"}):
        raise ValueError(f"evaluation.metrics.{taken[0]} is the name of another score: use a different name")
    available = [m for m in metrics if windows.ordered or m not in ("mase", "directional_accuracy")] + list(own)
    choices = [f"{part}/{metric}" for part in parts for metric in available]
    choices += ["val/loss"] if "val" in parts else []
    choices += ["train/batch_loss"] if checked.groups["data"].arguments.get("one_batch") else []
    if objective.startswith("test/"):
        raise ValueError(
            f"objective={objective}: test scores must not decide anything; use one of {', '.join(choices)}"
        )
    if objective not in choices:
        raise ValueError(f"objective={objective} is not one of this run's scores: use one of {', '.join(choices)}")
