"""Every TensorBoard tag a run writes: the one place that says what a curve is.

`{parameter}` stands for a parameter's name (W1, b1, ...), `{metric}` for a score of `evaluate/metrics.py`,
`{entry}` for one number of a parameter, as W1[0,0]. An x-axis of updates k means: after k updates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Tag:
    """One tag, or one family of tags with a placeholder."""

    name: str
    meaning: str
    unit: str
    when: str

    def matches(self, tag: str) -> bool:
        """Whether a tag of an event file belongs here."""
        pattern = re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(self.name))
        return re.fullmatch(pattern, tag) is not None


TAGS = (
    Tag("train/loss", "loss of the batch that update k was computed from, before it", "loss", "every update"),
    Tag("train/full_loss", "loss of the whole training part at the current parameters", "loss", "every epoch"),
    Tag("train/{metric}", "score of the whole training part at the current parameters", "metric's", "every epoch"),
    Tag("val/loss", "loss of the whole validation part at the current parameters", "loss", "every epoch"),
    Tag("val/{metric}", "score of the whole validation part at the current parameters", "metric's", "every epoch"),
    Tag("gradient_norm/total", "Euclidean norm of the gradient of update k", "loss / parameter", "every update"),
    Tag("gradient_norm/{parameter}", "the same, of one parameter tensor", "loss / parameter", "every update"),
    Tag("parameter_norm/{parameter}", "norm of one parameter tensor, after k updates", "parameter", "every update"),
    Tag("parameter/{entry}", "a number of a model with few parameters, after k updates", "parameter", "every update"),
    Tag("parameters/{parameter}", "histogram of a parameter tensor of a larger model", "parameter", "about 50 times"),
    Tag("audit/relative_error", "greatest error of a gradient (callbacks=audit)", "relative", "as configured"),
    Tag("parity/loss_difference", "of update k, by hand and by autograd (callbacks=parity)", "loss", "every update"),
    Tag("parity/parameter_difference", "greatest, after k updates (callbacks=parity)", "parameter", "every update"),
    Tag("learning_rate", "step size of update k", "-", "every epoch"),
    Tag("epoch", "epochs done after k updates", "epochs", "every epoch"),
    Tag("test/{metric}", "score of the test part at the best epoch (HPARAMS)", "metric's", "at the end"),
    Tag("best/objective", "the objective at the best epoch (HPARAMS)", "objective", "at the end"),
)  # fmt: skip


def known(tag: str) -> bool:
    """Whether a tag is in the table."""
    return any(entry.matches(tag) for entry in TAGS)
