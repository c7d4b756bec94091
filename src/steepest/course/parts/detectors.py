"""Four ways to say how unusual a day is, with their alarms, for the lesson anomaly.

Shapes: N days of a part, L days of a window.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from steepest.course.parts.anomaly import DISPLACED, SPIKE, Autoencoder, Shocks
from steepest.course.runs import Run

DETECTORS = ("value", "forecast", "rebuilding", "season")
USUAL = 0.995  # share of the training days without an alarm


class Alarms:
    """The alarms of each detector in the test part.

    Args:
        runs: the runs of one seed: of a net that predicts the next day, and of an `Autoencoder`.

    Attributes:
        scores: how unusual each detector finds each day (N,).
        limits: the score of each detector that a share of `USUAL` of the training days does not exceed.
        false: the false alarms of each detector, as masks (N,).
        kind_N: 0, or the kind of the day's shock.
        after_N: whether the window before the day contains a shock.
    """

    def __init__(self, runs: list[Run]) -> None:
        self.scores, self.kind_N = scores(runs, "test")
        training, _ = scores(runs, "train")
        self.limits = {name: float(np.quantile(training[name], USUAL)) for name in DETECTORS}
        shock_N = self.kind_N > 0
        self.false = {name: (self.scores[name] > self.limits[name]) & ~shock_N for name in DETECTORS}
        window = int(runs[0].asked("data", "window"))
        self.after_N = np.convolve(shock_N, [0, *[1] * window])[: len(shock_N)] > 0

    def found(self, name: str) -> list[float]:
        """The precision, the recall of spikes and of displaced values, and the average precision of a detector."""
        alarm_N, shock_N = self.scores[name] > self.limits[name], self.kind_N > 0
        recalls = [alarm_N[self.kind_N == kind].mean() for kind in (SPIKE, DISPLACED)]
        return [shock_N[alarm_N].mean(), *recalls, average_precision_score(shock_N, self.scores[name])]


@torch.no_grad()
def scores(runs: list[Run], part: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The score of each detector for each day of a part (N,), and the kinds of the days' shocks (N,)."""
    modules = [run.module() for run in runs]
    encoder = next(module for module in modules if isinstance(module, Autoencoder))
    net = next(module for module in modules if module is not encoder)
    (x_NL, y_N1), windows = runs[0].samples(part), runs[0].windows
    row_N = windows.parts[part].origins(torch.arange(len(x_NL))) + 1
    dataset = runs[0].datamodule.dataset
    assert isinstance(dataset, Shocks)
    made = dataset.made()
    until_NL = torch.cat([x_NL[:, 1:], y_N1], 1)  # the window that ends with the day itself
    found = (
        y_N1[:, 0],  # standardised, so the mean of the training part is 0
        (net(x_NL) - y_N1)[:, 0],
        encoder.rebuilt(until_NL)[:, -2] - y_N1[:, 0],
        torch.from_numpy(made.value_T - made.season_T)[row_N],
    )
    return {name: some_N.abs().numpy() for name, some_N in zip(DETECTORS, found, strict=True)}, made.kind_T[row_N]
