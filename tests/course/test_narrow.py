"""The picture of a lesson for a phone."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from steepest.course.narrow import CHARACTERS, WIDTH, stack


@pytest.fixture
def stacked():
    """A stacked figure: one panel has a long title and a legend, the other has a colour bar and shared labels."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name in ("one", "two", "a name that is much longer than a line of the legend can be on a phone's screen"):
        left.plot([1, 2, 3], [1, 3, 2], label=name)
    left.set(xlabel="x", ylabel="loss", title="A title that is much longer than the width of a panel on a phone")
    left.legend()
    figure.colorbar(right.pcolormesh(np.arange(12.0).reshape(3, 4)), ax=right, label="height")
    right.set(xlabel="w", title="short")
    assert stack(figure)
    figure.draw_without_rendering()
    return figure, left, right


def test_panels_are_stacked_and_overlap_neither_each_other_nor_a_legend(stacked):
    figure, left, right = stacked
    assert figure.get_size_inches()[0] == WIDTH < figure.get_size_inches()[1]
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    boxes = [left.get_tightbbox(), legend.get_window_extent(), right.get_tightbbox()]
    for above, below in pairwise(boxes):
        assert above.y0 >= below.y1 - 1
    assert all(axes.get_position().width > 0.5 for axes in (left, right)), "panels use the width"
    assert len(legend.get_texts()) == 3


def test_long_titles_wrap_and_shared_labels_are_repeated(stacked):
    _, left, right = stacked
    assert max(map(len, left.get_title().split("\n"))) <= CHARACTERS < len(left.get_title())
    assert right.get_ylabel() == "loss"
    assert any(label.get_text() for label in right.get_yticklabels())


def test_a_figure_with_subfigures_is_unchanged():
    figure = Figure(figsize=(12, 5))
    figure.subfigures(1, 2)
    assert not stack(figure)
    assert tuple(figure.get_size_inches()) == (12, 5)
