"""Histograms against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from steepest.observe.eventfile import histograms

BINS = 30
finite = st.floats(-1e100, 1e100, allow_subnormal=False)
tensors = st.lists(
    arrays.arrays(float, arrays.array_shapes(max_dims=2, max_side=9), elements=finite), min_size=1, max_size=4
)


def test_the_bins_are_numpys():
    random = np.random.default_rng(0)
    tensors = [random.normal(size=(20, 50)), 1e-3 * random.normal(size=7), 1e3 * random.normal(size=300)]
    for tensor, found in zip(tensors, histograms(tensors), strict=True):
        counts, edges = np.histogram(tensor, BINS)
        assert list(found.bucket) == counts.tolist()
        np.testing.assert_allclose(found.bucket_limit, edges[1:], atol=1e-12)
        assert (found.min, found.max, found.num) == (tensor.min(), tensor.max(), tensor.size)
        np.testing.assert_allclose([found.sum, found.sum_squares], [tensor.sum(), (tensor**2).sum()], rtol=1e-9)


@given(tensors)
def test_every_number_is_in_a_bin_of_its_tensor_and_no_tensor_changes_another(tensors):
    for tensor, found in zip(tensors, histograms(tensors), strict=True):
        (alone,) = histograms([tensor])
        assert sum(found.bucket) == found.num == tensor.size
        assert list(found.bucket) == list(alone.bucket)
        assert list(found.bucket_limit) == list(alone.bucket_limit)


@pytest.mark.parametrize("overflowed", [[1.0, np.inf], [np.nan, 1.0], [-1e308, 1e308]])
def test_only_a_tensor_that_overflowed_has_no_histogram(overflowed):
    found = histograms([np.array([1.0, 2.0]), np.array(overflowed), np.array([3.0])])
    assert [histogram is None for histogram in found] == [False, True, False]
