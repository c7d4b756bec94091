"""Defines the style of the pictures: the font, its sizes, and the colours of a light and a dark theme.

A picture's title states the finding. Each panel's title names the quantity and its unit, and lines are labelled at
their ends. The font is part of matplotlib, so a picture looks the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation

WIDTH, DPI = 7.2, 140  # inches, dots per inch: text can be read in TensorBoard's thumbnails and on a phone
TITLE, TEXT, SMALL = 13, 10, 9  # points
TITLE_LETTERS, CAPTION_LETTERS = 74, 105  # maximum number of characters in a line
EQUAL = 1e-9  # maximum relative difference of two losses that count as equal, because of rounding errors
LABEL = "label of a line's end"  # the id of texts that may be moved so that they do not overlap

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True)
class Theme:
    """The colours of a theme: those of Okabe and Ito, darkened or lightened for contrast with the background.

    Attributes:
        paper, ink: the background, and the colour of text and lines.
        muted: the colour of secondary text and of data in the background.
        faint: the colour of the grid and of areas.
        blue, orange, green, red: the colours of data. Colour-blind readers can distinguish them.
        heights: the colours of a loss surface, from its lowest point to its highest.
    """

    paper: str
    ink: str
    muted: str
    faint: str
    blue: str
    orange: str
    green: str
    red: str
    heights: tuple[str, str, str]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw in this theme."""
        settings: Any = {
            "figure.facecolor": self.paper, "axes.facecolor": self.paper, "savefig.facecolor": self.paper,
            "text.color": self.ink, "axes.titlecolor": self.ink, "axes.labelcolor": self.muted,
            "axes.edgecolor": self.muted, "xtick.color": self.muted, "ytick.color": self.muted,
            "grid.color": self.faint, "font.family": "DejaVu Sans", "font.size": TEXT, "axes.titlesize": TEXT,
            "axes.labelsize": SMALL, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "figure.titlesize": TITLE,
            "axes.titlelocation": "left", "axes.titlepad": 7, "axes.spines.top": False, "axes.spines.right": False,
            "axes.grid": True, "axes.axisbelow": True, "axes.linewidth": 0.8, "grid.linewidth": 0.7,
            "xtick.major.size": 3, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
            "date.converter": "concise", "path.simplify_threshold": 0.5,
            "text.parse_math": False,  # a series may have a dollar sign in its name
            "text.usetex": False,  # a matplotlibrc in the current folder must not run LaTeX
        }  # fmt: skip
        with rc_context(settings):
            yield

    def height_map(self) -> Colormap:
        """The colours of a loss surface."""
        return LinearSegmentedColormap.from_list("heights", self.heights)

    def sheet(self, title: str, height: float, caption: str = "") -> Figure:
        """Return an empty figure with a title above, and below it a caption that names the model and the data."""
        layout = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07, hspace=0.03, wspace=0.03)
        figure = Figure(figsize=(WIDTH, height), layout=layout)
        figure.suptitle(fill(title, TITLE_LETTERS), x=0.012, ha="left")
        if caption:
            figure.supxlabel(fill(caption, CAPTION_LETTERS), x=0.012, ha="left", fontsize=SMALL, color=self.muted)
        return figure

    def label(self, axes: Axes, x: float, y: float, text: str, color: str) -> None:
        """Label the end of a line, to the right of the point (x, y)."""
        axes.annotate(
            text, (x, y), (6, 0), textcoords="offset points", va="center", color=color, annotation_clip=False, gid=LABEL
        )

    def note(self, axes: Axes, x: float, y: float, text: str, offset: tuple[float, float], color: str = "") -> None:
        """Label a point. The text is `offset` points away and has an outline in the background's colour."""
        across, up = offset
        axes.annotate(
            text, (x, y), offset, textcoords="offset points", color=color or self.ink, zorder=9,
            ha="left" if across > 0 else "right" if across < 0 else "center",
            va="bottom" if up > 0 else "top" if up < 0 else "center",
            path_effects=[withStroke(linewidth=3, foreground=self.paper)],
        )  # fmt: skip


LIGHT = Theme(
    paper="#ffffff", ink="#1c2024", muted="#626a73", faint="#e3e6ea",
    blue="#0072b2", orange="#c77400", green="#00825f", red="#b2182b",
    heights=("#0b3c5d", "#5b9bc4", "#eef4f9"),
)  # fmt: skip
DARK = Theme(
    paper="#15181d", ink="#eceff2", muted="#9aa4af", faint="#2d333b",
    blue="#56b4e9", orange="#e69f00", green="#2fb890", red="#ff6b5e",
    heights=("#0a141d", "#1b4460", "#6fa3c7"),
)  # fmt: skip
THEMES: dict[ThemeName, Theme] = {"light": LIGHT, "dark": DARK}


def plain(number: float, place: float = 0) -> str:
    """Format a number without a power of ten or a common offset. Also a tick formatter for matplotlib."""
    return f"{number:,.10g}".replace("-", "\N{MINUS SIGN}")


def percent(share: float, place: float = 0) -> str:
    """Format a share as a percentage. Also a tick formatter for matplotlib."""
    size = abs(100 * share)
    if size >= 10:
        text = f"{size:,.0f}" if size < 1e7 else f"{size:.1e}"
    else:
        text = f"{size:.2g}" if size >= 1e-3 else f"{size:.1g}"
    return ("\N{MINUS SIGN}" if share < 0 else "") + f"{text} %"


def compared(ratio: float) -> str:
    """Describe a ratio for a text that continues with "that of ..."."""
    if not 0.5 <= ratio < 2:
        times = f"{ratio:.3g}" if not 100 <= ratio < 1e7 else f"{ratio:,.0f}"
        return f"{times} times" if ratio >= 2 else f"{percent(ratio)} of"
    return "equal to" if abs(ratio - 1) < EQUAL else f"{percent(abs(ratio - 1))} {'above' if ratio > 1 else 'below'}"


def save(figure: Figure, path: Path) -> None:
    """Lay a figure out and write it as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lay_out(figure, DPI).print_png(path, pil_kwargs={"compress_level": 1})


def lay_out(figure: Figure, dpi: int) -> FigureCanvasAgg:
    """Compute the figure's layout and freeze it; `savefig` would compute it in an extra pass over all artists."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        _move_apart(axes, [t for t in axes.texts if isinstance(t, Annotation) and t.get_gid() == LABEL], dpi)
    return canvas


def _move_apart(axes: Axes, labels: Sequence[Annotation], dpi: int) -> None:
    """Move the labels of lines up or down until they do not overlap."""
    if not labels:
        return
    point = dpi / 72
    y_N = np.array([axes.get_yaxis_transform().transform((0, label.xy[1]))[1] for label in labels]) / point
    low, high = axes.bbox.y0 / point, axes.bbox.y1 / point
    room_N = np.array([TEXT * 1.25 * (1 + label.get_text().count("\n")) for label in labels])
    order = np.argsort(y_N, kind="stable")
    y, room = y_N[order], room_N[order]
    for _ in range(50):
        y = np.clip(y, low + (room - TEXT) / 2, high - (room - TEXT) / 2)
        for below in range(len(y) - 1):
            overlap = (room[below] + room[below + 1]) / 2 - (y[below + 1] - y[below])
            if overlap > 0:
                y[below], y[below + 1] = y[below] - overlap / 2, y[below + 1] + overlap / 2
    for number, moved in zip(order, y, strict=True):
        labels[number].set_position((6, moved - y_N[number]))
