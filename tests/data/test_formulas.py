"""Generated rows have the form that every data set of rows has."""

import numpy as np
import pytest

from steepest import made_rows


def test_made_rows_have_their_names_and_refuse_numbers_that_are_not_finite():
    x_N2, y_N = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])
    frame = made_rows(x_N2, y_N)
    assert [*frame.columns] == ["x1", "x2", "value"]
    assert (frame.index.name, [*frame.index]) == ("row", [1, 2, 3])
    np.testing.assert_array_equal(frame.to_numpy(), np.column_stack([x_N2, y_N]))
    assert [*made_rows(x_N2, y_N, ["a", "b"]).columns] == ["a", "b", "value"]
    x_N2[1, 1] = np.inf
    with pytest.raises(ValueError, match="row 2: x2 is inf: all numbers must be finite"):
        made_rows(x_N2, y_N)
