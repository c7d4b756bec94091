"""The planted shocks of the lesson anomaly are what they are said to be, and lie in the test part."""

import numpy as np

from steepest.course.parts.anomaly import DISPLACED, MEAN, SPIKE, Autoencoder, Shocks
from steepest.lightning.protocol import check_model


def test_shocks_lie_in_the_test_part_and_a_displaced_value_is_that_of_half_a_season_later():
    data = Shocks(split=[0.5, 0.1, 0.4], noise=0.0, seed=3)
    made = data.made()
    assert np.flatnonzero(made.kind_T).min() >= 0.6 * data.rows
    usual = made.kind_T == 0
    np.testing.assert_array_equal(made.value_T[usual], made.season_T[usual])
    (displaced,) = np.nonzero(made.kind_T == DISPLACED)
    np.testing.assert_allclose(made.value_T[displaced], made.season_T[displaced + data.period // 2], atol=1e-9)
    spikes_T = np.abs(made.value_T[made.kind_T == SPIKE] - MEAN)
    assert spikes_T.min() > 1.4 * np.abs(made.season_T - MEAN).max()
    assert len(spikes_T) == len(displaced) > 10


def test_the_autoencoder_follows_the_protocol_of_a_model():
    check_model(Autoencoder, inputs=20)
