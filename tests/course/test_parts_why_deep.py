"""The nets of relus with weights set by hand."""

import numpy as np
import pytest
import torch

from steepest.course.parts.why_deep import folded, layer_for_each_fold, one_layer


def test_one_layer_joins_points_as_numpy_does():
    random = np.random.default_rng(0)
    x_K, y_K, x_M = np.sort(random.normal(size=9)), random.normal(size=9), np.linspace(0, 1, 300)
    x_M = x_K[0] + (x_K[-1] - x_K[0]) * x_M
    found_M1 = one_layer(x_K, y_K)(torch.tensor(x_M)[:, None]).detach()
    np.testing.assert_allclose(found_M1[:, 0], np.interp(x_M, x_K, y_K), atol=1e-12)


@pytest.mark.parametrize("folds", [1, 2, 5])
def test_a_layer_for_each_fold_equals_the_tent_map_repeated(folds):
    x_M = y_M = np.linspace(0, 1, 257)
    for _ in range(folds):
        y_M = 2 * np.minimum(y_M, 1 - y_M)
    np.testing.assert_allclose(layer_for_each_fold(folds)(torch.tensor(x_M)[:, None]).detach()[:, 0], y_M, atol=1e-12)
    np.testing.assert_allclose(folded(x_M, folds), y_M, atol=1e-12)
