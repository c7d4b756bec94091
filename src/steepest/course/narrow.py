"""A lesson's picture for a phone: its panels one above the other, each above its legend."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

WIDTH, PANEL, LINE = 4.3, 3.0, 0.27  # inches: width of the picture, height of a panel, of a line in a legend
CHARACTERS = 44  # maximum number of characters in a line of a title or a legend


def stack(figure: Figure) -> bool:
    """Stack the panels of a figure; False if it has subfigures, which cannot be stacked."""
    if figure.subfigs:
        return False
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    rows: list[Axes | Legend] = []
    heights: list[float] = []
    for axes in panels:
        rows.append(axes)
        heights.append(PANEL)
        legend = axes.get_legend()
        if legend is not None:
            legend.remove()
            rows.append(legend)
            heights.append(LINE * sum(_wrapped(text.get_text()).count("\n") + 1 for text in legend.get_texts()))
    figure.set_size_inches(WIDTH, sum(heights))
    grid = figure.add_gridspec(len(rows), 1, height_ratios=heights)
    for place, row in enumerate(rows):
        if isinstance(row, Legend):
            below = figure.add_subplot(grid[place, 0])
            below.axis("off")
            texts = [_wrapped(text.get_text()) for text in row.get_texts()]
            handles = [handle for handle in row.legend_handles if handle is not None]
            below.legend(handles, texts, loc="upper left", frameon=False, fontsize=9, borderaxespad=0).set_in_layout(
                False
            )
        else:
            row.set_subplotspec(grid[place, 0])
            row.set_title(_wrapped(row.get_title()), fontsize=10)
    _label(panels)
    return True


def _label(panels: list[Axes]) -> None:
    """Show tick labels and axis labels in every panel, even if panels share an axis."""
    for axes in panels:
        axes.tick_params(labelleft=True, labelbottom=True)
        for other in panels:
            if not axes.get_ylabel() and axes.get_shared_y_axes().joined(axes, other):
                axes.set_ylabel(other.get_ylabel())
            if not axes.get_xlabel() and axes.get_shared_x_axes().joined(axes, other):
                axes.set_xlabel(other.get_xlabel())


def _wrapped(text: str) -> str:
    return textwrap.fill(text, CHARACTERS)
