"""Every TensorBoard tag that a run writes, and the dashboard built from them: the one place that says what a curve is.

`{parameter}` stands for a parameter's name (W1, b1, ...), `{metric}` for a score of `evaluate/metrics.py`, `{entry}`
for one number of a parameter, such as W1[0,0], `{layer}` for a hidden layer's number, `{baseline}` for a baseline's
name, `{picture}` for a file of `figures/`. An x-axis of updates k means: after k updates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple


class Tag(NamedTuple):
    """One tag, or one family of tags with a placeholder.

    Attributes:
        name: the tag.
        meaning: what the number is.
        unit: its unit.
        when: how often it is written, and which callback writes it.
        chart: "category / chart" of the Custom Scalars dashboard, or an empty string for none.
    """

    name: str
    meaning: str
    unit: str
    when: str
    chart: str = ""

    def matches(self, tag: str) -> bool:
        """Whether a tag of an event file belongs to this line."""
        return re.match(self.pattern, tag) is not None

    @property
    def pattern(self) -> str:
        """A regular expression that matches the whole tag."""
        return "^" + re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(self.name)) + "$"


MAX_CURVES = 6  # maximum number of curves per chart of the dashboard
UPDATE, EPOCH, END, LOOK = "every update", "every epoch", "at the end", "at every measurement"
LOSS = "Loss / by epoch, whole parts"
CURVATURE, STEPS, NOISE = f"{LOOK} (callbacks=curvature)", f"{UPDATE} (callbacks=steps)", f"{LOOK} (callbacks=noise)"
TAGS = (
    Tag("train/loss", "loss of update k's batch, before the update", "loss", UPDATE, "Loss / by update, on its batch"),
    Tag("train/batch_loss", "with `data.one_batch=true`: loss of the only batch at the current parameters", "loss", EPOCH, LOSS),
    Tag("train/full_loss", "loss of the whole training part at the current parameters", "loss", EPOCH, LOSS),
    Tag("val/loss", "loss of the whole validation part at the current parameters", "loss", EPOCH, LOSS),
    Tag("reference/train_{baseline}", "training loss of a baseline (least squares, persistence, ...), to compare with", "loss", EPOCH, LOSS),
    Tag("reference/val_{baseline}", "validation loss of a baseline", "loss", EPOCH, LOSS),
    Tag("train/{metric}", "score of the whole training part at the current parameters", "metric's", EPOCH),
    Tag("val/{metric}", "score of the whole validation part at the current parameters", "metric's", EPOCH),
    Tag("gradient_norm/total", "Euclidean norm of the gradient of update k", "loss / parameter", UPDATE, "Gradient norms / total"),
    Tag("gradient_norm/{parameter}", "Euclidean norm of one parameter tensor's gradient", "loss / parameter", UPDATE, "Gradient norms / of each parameter tensor"),
    Tag("parameter_norm/{parameter}", "norm of one parameter tensor, after k updates", "parameter", UPDATE, "Parameters / norm of each tensor"),
    Tag("parameter_mean/{parameter}", "mean of a parameter tensor", "parameter", EPOCH, "Parameters / mean of each tensor"),
    Tag("parameter_extreme/{parameter}", "largest absolute value in a parameter tensor", "parameter", EPOCH, "Parameters / extreme of each tensor"),
    Tag("parameter/{entry}", "one parameter of a small model, after k updates", "parameter", UPDATE, "Parameters / each number"),
    Tag("parameters/{parameter}", "histogram of a parameter tensor", "parameter", "about 10 times a run"),
    Tag("gradients/{parameter}", "histogram of a parameter tensor's gradient", "loss / parameter", "about 10 times a run"),
    Tag("update_ratio/{parameter}", "norm of update k divided by the norm of the parameters before it", "relative", "every 50th update", "Step quality / size of a step relative to the parameters"),
    Tag("learning_rate", "step size of update k", "-", EPOCH, "Step quality / step size and its stability limit"),
    Tag("curvature/stability_limit", "2 / lambda_max: gradient descent with a larger step moves away from a minimum", "-", CURVATURE, "Step quality / step size and its stability limit"),
    Tag("step/predicted_decrease", "step times slope: how much update k would lower its batch's loss if the loss were a plane", "loss", STEPS, "Step quality / predicted and actual decrease"),
    Tag("step/actual_decrease", "how much update k lowered its batch's loss", "loss", STEPS, "Step quality / predicted and actual decrease"),
    Tag("step/position", "where update k ended in the parabola along its step: -1 at the start, 0 at the bottom, 1 as high on the other side", "-", STEPS, "Step quality / position in the local parabola"),
    Tag("dead/layer{layer}", "share of a layer's relu units that no training sample activates", "share", EPOCH, "Neuron health / dead relus"),
    Tag("saturated/layer{layer}", "share of a layer's outputs (sigmoid, tanh, hard sigmoid) whose slope is below a twentieth of the largest slope", "share", EPOCH, "Neuron health / saturated sigmoids"),
    Tag("curvature/greatest_eigenvalue", "lambda_max of the Hessian of the training loss", "loss / parameter^2", CURVATURE, "Curvature / ends of the Hessian's spectrum"),
    Tag("curvature/smallest_eigenvalue", "lambda_min: if negative, the loss falls along its eigenvector even where the gradient is zero", "loss / parameter^2", CURVATURE, "Curvature / ends of the Hessian's spectrum"),
    Tag("curvature/positive_fraction", "share of the Hessian's eigenvalues above 0", "share", CURVATURE, "Curvature / share of positive eigenvalues"),
    Tag("curvature/gradient_norm", "norm of the whole training part's gradient", "loss / parameter", CURVATURE, "Curvature / gradient norm of the whole training part"),
    Tag("critical/gradient_norm", "norm of the whole training part's gradient at the end of the descent (HPARAMS)", "loss / parameter", f"{END} (callbacks=curvature)"),
    Tag("critical/greatest_eigenvalue", "lambda_max at the end of the descent (HPARAMS)", "loss / parameter^2", f"{END} (callbacks=curvature)"),
    Tag("critical/smallest_eigenvalue", "lambda_min at the end of the descent (HPARAMS)", "loss / parameter^2", f"{END} (callbacks=curvature)"),
    Tag("critical/verdict", "where the descent ended (HPARAMS): 1 local minimum, 2 saddle, 3 plateau, 0 not critical", "-", f"{END} (callbacks=curvature)"),
    Tag("noise/scale", "gradient noise scale: the batch size at which noise equals signal", "samples", NOISE, "Gradient noise / batch size and recommended batch sizes"),
    Tag("noise/norm_test", "batch size that the norm test recommends", "samples", NOISE, "Gradient noise / batch size and recommended batch sizes"),
    Tag("noise/batch_size", "number of samples in an update", "samples", NOISE, "Gradient noise / batch size and recommended batch sizes"),
    Tag("noise/sample_norm_{which}", "smallest, median and largest norm of the gradients of a batch's samples", "loss / parameter", NOISE, "Gradient noise / norms of the samples' gradients"),
    Tag("epoch", "epochs done after k updates", "epochs", EPOCH, "Speed / epochs by update"),
    Tag("speed/updates_per_second", "updates per second since the last value", "1/s", EPOCH, "Speed / updates per second"),
    Tag("speed/samples_per_second", "samples per second since the last value", "1/s", EPOCH, "Speed / samples per second"),
    Tag("speed/memory", "peak memory of the process or, on a GPU, of its tensors", "MiB", EPOCH, "Speed / memory"),
    Tag("audit/relative_error", "largest relative error of a gradient (callbacks=audit)", "relative", "as configured"),
    Tag("parity/loss_difference", "difference between the losses of update k by hand and by autograd (callbacks=parity)", "loss", UPDATE),
    Tag("parity/parameter_difference", "largest difference of any parameter after k updates (callbacks=parity)", "parameter", UPDATE),
    Tag("escape/eigenvalue", "negative eigenvalue whose eigenvector the step out of a saddle followed (callbacks=escape)", "loss / parameter^2", "at every escape"),
    Tag("walk_forward/skill", "skill of each fold; the x-axis is the fold number (evaluation=walk_forward)", "-", END),
    Tag("figures/{picture}", "a file of figures/", "picture", END),
    Tag("surface", "the loss surface of a model with two parameters, as a mesh to rotate", "mesh", END),
    Tag("test/{metric}", "score of the test part at the best epoch (HPARAMS)", "metric's", END),
    Tag("best/objective", "the objective at the best epoch (HPARAMS)", "objective", END),
)  # fmt: skip


def known(tag: str) -> bool:
    """Whether a tag is in the table."""
    return any(entry.matches(tag) for entry in TAGS)


@cache  # all runs of a sweep share it
def layout(layers: int | tuple[str, ...], entries: tuple[str, ...] = ()) -> dict[str, dict[str, list]]:
    """Return the Custom Scalars dashboard: category -> chart -> ``["Multiline", patterns]``.

    A chart has at most `MAX_CURVES` curves. TensorBoard merges the layouts of all runs and drops equal charts. A chart
    of tensors therefore covers fixed layers, and a run has only the charts of its layers. TensorBoard matches a pattern
    with the start of a tag, so each pattern ends with $ and excludes tags that have a separate line in the table.

    Args:
        layers: the number of layers of a fully connected net, or the names of another network's parameters.
        entries: the names of a small model's parameters, such as W1[0,0].
    """
    charts: dict[str, dict[str, list]] = {}
    for tag in (tag for tag in TAGS if tag.chart):
        category, chart = tag.chart.split(" / ")
        others = [other.name for other in TAGS if other is not tag and tag.matches(other.name)]
        excluded = "".join(f"(?!{re.escape(name)}$)" for name in others if "{" not in name)
        for title, pattern in _split(tag, chart, layers, entries):
            charts.setdefault(category, {}).setdefault(title, ["Multiline", []])[1].append(excluded + pattern)
    return charts


def _split(tag: Tag, chart: str, layers: int | tuple[str, ...], entries: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Return the title of each chart of a tag, and the pattern of the tag's curves in this chart."""
    if "{entry}" in tag.name:
        yield from _by_name(tag, entries)
    elif not isinstance(layers, int):
        if "{parameter}" in tag.name:
            yield from ((f"{chart}, {names}", pattern) for names, pattern in _by_name(tag, layers))
        elif "{layer}" not in tag.name:  # only fully connected nets have curves of their hidden layers
            yield chart, tag.pattern
    elif "{parameter}" in tag.name:  # a layer has two tensors
        for first in range(1, layers + 1, MAX_CURVES // 2):
            last = first + MAX_CURVES // 2 - 1
            numbers = "|".join(map(str, range(first, last + 1)))
            yield f"{chart}, layers {first} to {last}", tag.pattern.replace("[^/]+", f"[Wb]({numbers})")
    elif "{layer}" in tag.name:  # hidden layers
        for first in range(1, layers, MAX_CURVES):
            last = first + MAX_CURVES - 1
            numbers = "|".join(map(str, range(first, last + 1)))
            yield f"{chart}, layers {first} to {last}", tag.pattern.replace("[^/]+", f"({numbers})")
    else:
        yield chart, tag.pattern


def _by_name(tag: Tag, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Return the first and last name of each chart of a tag, and the pattern of these curves."""
    for some in (names[first : first + MAX_CURVES] for first in range(0, len(names), MAX_CURVES)):
        pattern = "|".join(re.escape(name) for name in some)
        yield f"{some[0]} to {some[-1]}" if len(some) > 1 else some[0], tag.pattern.replace("[^/]+", f"({pattern})")


def table() -> str:
    """The table in Markdown, for docs/tags.md."""
    rows = [f"| `{tag.name}` | {tag.meaning} | {tag.unit} | {tag.when} |" for tag in TAGS]
    return "\n".join(["| tag | meaning | unit | when |", "|---|---|---|---|", *rows])
