"""Histograms against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from steepest.observe.eventfile import histogram

BINS = 30
finite = st.floats(-1e100, 1e100, allow_subnormal=False)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_bins_are_numpys(scale):
    numbers = np.random.default_rng(0).normal(size=1000) * scale
    found = histogram(numbers)
    counts, edges = np.histogram(numbers, BINS)
    assert list(found.bucket) == counts.tolist()
    np.testing.assert_allclose(found.bucket_limit, edges[1:])
    assert (found.min, found.max, found.num) == (numbers.min(), numbers.max(), len(numbers))
    np.testing.assert_allclose([found.sum, found.sum_squares], [numbers.sum(), (numbers**2).sum()], rtol=1e-9)


@given(arrays.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=finite))
def test_every_number_is_in_a_bin(numbers):
    found = histogram(numbers)
    assert sum(found.bucket) == found.num == numbers.size


@pytest.mark.parametrize("numbers", [[1.0, np.inf], [np.nan, 1.0], [-1e308, 1e308]])
def test_numbers_that_overflowed_have_no_histogram(numbers):
    assert histogram(np.array(numbers)) is None
