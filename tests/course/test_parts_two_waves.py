"""The best classifier of the lesson self_supervised is Bayes' rule."""

import numpy as np
from scipy.integrate import quad

from steepest.course.parts.two_waves import TwoWaves


def test_the_best_classes_are_those_of_bayes_rule_with_an_integral_over_the_phase():
    waves = TwoWaves(days=6, fast=3.0, slow=5.0, noise=1.2, rows=100)
    frame = waves.read()

    def density(x_L, period):
        def of_phase(phase):
            wave_L = [2**0.5 * np.sin(2 * np.pi * day / period + phase) for day in range(6)]
            return np.exp(-sum((x_L - wave_L) ** 2) / (2 * 1.2**2))

        return quad(of_phase, 0, 2 * np.pi)[0]

    x_NL = frame.iloc[:, :-1].to_numpy()
    expected_N = [int(density(x_L, 5.0) > density(x_L, 3.0)) for x_L in x_NL]
    assert waves.best_classes(x_NL).tolist() == expected_N
    assert set(expected_N) == {0, 1}
    assert np.mean(expected_N == frame.iloc[:, -1]) > 0.55
