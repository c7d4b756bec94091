"""The closed forms of the lesson structured equal least squares on a long series."""

import numpy as np
import pytest
import torch

from steepest.course.parts.structured import Swing, best_errors, fed_back


@pytest.mark.parametrize("window", [4, 8])
def test_the_best_errors_equal_those_of_least_squares_on_a_long_series(window):
    horizon = 6
    swing = Swing(rows=40_000, amplitude=3.0, noise=1.0, period=12.0)
    value_T = swing.read()["value"].to_numpy()
    rows_NT = np.lib.stride_tricks.sliding_window_view(value_T, window + horizon)
    rows_NT = rows_NT - rows_NT[:, window - 1 : window]
    x_NL, y_NH = rows_NT[:, :window], rows_NT[:, window:]
    weights_LH = np.linalg.lstsq(x_NL, y_NH, rcond=None)[0]
    one_day = torch.nn.Linear(window, 1, bias=False).double()
    one_day.weight.data = torch.from_numpy(weights_LH[:, :1].T.copy())
    with torch.no_grad():
        fed_NH = fed_back(one_day, torch.from_numpy(x_NL.copy()), horizon).numpy()
    once_H, fed_H = best_errors(swing, window, horizon)
    assert np.square(y_NH - x_NL @ weights_LH).mean(0) == pytest.approx(once_H, rel=0.03)
    assert np.square(y_NH - fed_NH).mean(0) == pytest.approx(fed_H, rel=0.03)
