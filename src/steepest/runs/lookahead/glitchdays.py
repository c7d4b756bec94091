"""The suspicious days of the data, and the test scores with and without the samples that contain such a day.

Shapes: T rows of all series, N samples, L look-back, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.prices.glitches import find_glitches
from steepest.data.windows import Windows
from steepest.evaluate.evaluation import Evaluation, Evaluator
from steepest.runs.lookahead.path import Prepared, outputs_of
from steepest.runs.lookahead.training import Fit


@dataclass(frozen=True)
class GlitchDays:
    """The suspicious days, and the evaluations on the test part with and without them.

    Attributes:
        days: series -> its suspicious days.
        touched: the number of test samples whose window or target contains such a day.
        samples: the number of test samples.
        every: the evaluation on all samples.
        without: the evaluation without the affected samples, or None if none or all samples are affected.
    """

    days: dict[str, list[pd.Timestamp]]
    touched: int
    samples: int
    every: Evaluation
    without: Evaluation | None

    @property
    def verdict_changes(self) -> bool:
        """Whether the verdicts of the two evaluations differ: beat, did not beat, or not tested."""
        return self.without is not None and self.every.verdict().beat != self.without.verdict().beat


@torch.inference_mode()
def glitch_days(fit: Fit, data: Prepared) -> GlitchDays:
    """Find the suspicious days of each series, and evaluate the model with and without them."""
    windows = data.placed
    glitch_T, days = torch.zeros(len(windows.price_T), dtype=torch.bool), {}
    stops = [*windows.start_S.tolist()[1:], len(windows.price_T)]
    dates = windows.index.get_level_values("date")
    for name, start, stop in zip(windows.names, windows.start_S.tolist(), stops, strict=True):
        row_G = find_glitches(windows.price_T[start:stop].numpy()).days() + start
        glitch_T[torch.from_numpy(row_G)] = True
        if len(row_G):
            days[name] = dates[row_G].tolist()
    every = _evaluated(fit, windows, data)
    part = windows.parts["test"]
    touched_N = _touched(windows, part.origins(torch.arange(len(part))), glitch_T)
    without = None
    if touched_N.any() and not touched_N.all():
        kept = replace(windows, parts=windows.parts | {"test": part.keep(~touched_N)})
        without = _evaluated(fit, kept, data)
    return GlitchDays(days, int(touched_N.sum()), len(part), every, without)


def _touched(windows: Windows, origin_N: Tensor, glitch_T: Tensor) -> Tensor:
    """A mask (N,) of the samples whose window or target contains a suspicious day."""
    before_T = torch.from_numpy(np.r_[0, glitch_T.numpy().cumsum()])  # the number of such days before each row
    return before_T[origin_N + windows.horizon + 1] > before_T[origin_N - windows.window + 1]


def _evaluated(fit: Fit, windows: Windows, data: Prepared) -> Evaluation:
    return Evaluator(windows, data.fitted).evaluate(partial(outputs_of, fit, windows))
