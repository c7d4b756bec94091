"""Windows with one of two waves under noise, and the best classifier of them.

Shapes: N samples, L days, M phases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from steepest.data.formulas import made_rows
from steepest.data.ranges import Count, Positive, Rows, Seed
from steepest.data.sources import RowData

PHASES = 200  # of the integral over the phase


@dataclass(kw_only=True)
class TwoWaves(RowData):
    """Windows x_t = sqrt(2) sin(2 pi t / period + phase) + noise e_t, e_t standard normal; the class is the period.

    Attributes:
        days: L, the numbers in a window.
        fast, slow: the period of class 0 and that of class 1, in days.
        noise: standard deviation of the noise. That of a wave is 1.
        rows: number of windows. Each class has half of them, and each window a random phase.
        seed: the seed of the phases and the noise.
    """

    days: Count = 28
    fast: Positive = 7.0
    slow: Positive = 9.0
    noise: Positive = 1.5
    rows: Rows = 8000
    seed: Seed = 0
    classes: bool = True

    def read(self) -> pd.DataFrame:
        random = np.random.default_rng(self.seed)
        kind_N = np.arange(self.rows) % 2
        x_NL = self.wave(kind_N, random.uniform(0, 2 * np.pi, self.rows))
        x_NL += self.noise * random.standard_normal(x_NL.shape)
        return made_rows(x_NL, kind_N)

    def wave(self, kind_N: np.ndarray, phase_N: np.ndarray) -> np.ndarray:
        """The waves (N, L) without noise."""
        speed_N = 2 * np.pi / np.where(kind_N, self.slow, self.fast)
        return np.sqrt(2) * np.sin(np.outer(speed_N, np.arange(self.days)) + phase_N[:, None])

    def best_classes(self, x_NL: np.ndarray) -> np.ndarray:
        """The class (N,) that is more probable if both periods and the noise are known: no classifier is better.

        The density of a window, given its class, is the mean over all phases of exp(-|x - wave|^2 / (2 noise^2)).
        """
        phase_M = 2 * np.pi * np.arange(PHASES) / PHASES
        scores = []
        for kind in (0, 1):
            wave_ML = self.wave(np.full(PHASES, kind), phase_M)
            inner_NM = x_NL @ wave_ML.T - np.square(wave_ML).sum(1) / 2  # |x|^2 is the same for both classes
            scores.append(logsumexp(inner_NM / self.noise**2, axis=1))
        return np.argmax(scores, axis=0)
