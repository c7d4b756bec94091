"""Histograms of many rows at once against NumPy's of each."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from steepest.observe.histograms import histograms

BINS = 30
finite = st.floats(-1e100, 1e100, allow_subnormal=False)


def test_each_row_has_numpys_bins():
    rows = np.random.default_rng(0).normal(size=(5, 1000)) * np.logspace(-3, 3, 5)[:, None]
    for row, found in zip(rows, histograms(rows), strict=True):
        counts, edges = np.histogram(row, BINS)
        assert list(found.bucket) == counts.tolist()
        np.testing.assert_allclose(found.bucket_limit, edges[1:])
        assert (found.min, found.max, found.num) == (row.min(), row.max(), len(row))
        np.testing.assert_allclose([found.sum, found.sum_squares], [row.sum(), (row**2).sum()], rtol=1e-9)


@given(arrays.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=finite))
def test_a_row_does_not_hang_on_the_others_and_every_number_is_in_a_bin(rows):
    for row, found in zip(rows, histograms(rows), strict=True):
        assert [found] == histograms(row[None])
        assert found is None or sum(found.bucket) == len(row)


def test_only_the_row_that_overflowed_has_none():
    found = histograms(np.array([[1.0, 2.0], [1.0, np.inf], [np.nan, 1.0], [-1e308, 1e308]]))
    assert [f is None for f in found] == [False, True, True, True]
