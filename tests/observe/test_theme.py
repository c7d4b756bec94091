"""Both themes are legible, for colour-blind readers too, and labels of lines do not overlap."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib import rc_context, rcParams
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from steepest.observe.theme import DARK, LIGHT, THEMES, lay_out, percent, plain, save

HUES = ("blue", "orange", "green", "red")
# How readers without red or without green cones see linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(linear_3):
    """CIE Lab, for daylight."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear_3
    f = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    """The contrast ratio of WCAG 2."""
    low, high = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", THEMES)
def test_every_colour_has_enough_contrast_with_the_background(name):
    theme = THEMES[name]
    assert contrast(theme.ink, theme.paper) > 12
    assert contrast(theme.muted, theme.paper) > 4.5
    for hue in HUES:
        assert contrast(getattr(theme, hue), theme.paper) > 3, hue


@pytest.mark.parametrize("reader", SEEN_BY)
@pytest.mark.parametrize("name", THEMES)
def test_colour_blind_readers_can_tell_any_two_colours_apart(name, reader):
    for one, other in combinations(HUES, 2):
        seen = [lab(SEEN_BY[reader] @ linear(getattr(THEMES[name], hue))) for hue in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) > 13, (one, other)


def test_a_theme_applies_only_to_its_picture(tmp_path):
    before = dict(rcParams)
    with DARK.active():
        figure = DARK.sheet("What was found", 2)
        figure.subplots().plot([0, 1])
        save(figure, tmp_path / "dark.png")
    assert dict(rcParams) == before
    with Image.open(tmp_path / "dark.png") as picture:
        corner = picture.convert("RGB").getpixel((1, picture.height - 2))
    assert corner == tuple(round(255 * part) for part in to_rgb(DARK.paper))


@pytest.mark.parametrize("ends", [[0.5, 0.5, 0.5], [0.0, 0.01, 1.0], [1.0, 1.0], [0.3, 0.31, 0.32, 0.9, 0.89]])
def test_labels_of_lines_that_end_at_the_same_height_do_not_overlap(ends):
    with LIGHT.active():
        figure = LIGHT.sheet("What was found", 3)
        axes = figure.subplots()
        axes.set_ylim(0, 1)
        for number, end in enumerate(ends):
            axes.plot([0, 1], [0, end])
            LIGHT.label(axes, 1, end, f"line {number}" + "\nof two lines" * (number == 1), LIGHT.blue)
        renderer = lay_out(figure, 100).get_renderer()
        boxes = sorted((text.get_window_extent(renderer) for text in axes.texts), key=lambda box: box.y0)
    for below, above in pairwise(boxes):
        assert below.y1 <= above.y0 + 1
    assert boxes[0].y0 > axes.bbox.y0 - 15
    assert boxes[-1].y1 < axes.bbox.y1 + 15
    order = np.argsort([text.get_window_extent(renderer).y0 for text in axes.texts], kind="stable")
    assert (np.diff(np.array(ends)[order]) >= 0).all()  # a higher line has the higher label


def test_numbers_of_axes_are_written_out():
    assert plain(1.5e9) == "1,500,000,000"
    assert plain(-0.25) == "\u22120.25"
    assert plain(0.1 + 0.2) == "0.3"
    assert [percent(share) for share in (0.00011, -0.0039, 0.543, 914.0, 0.0)] == [
        "0.011 %", "\u22120.39 %", "54 %", "91,400 %", "0 %",
    ]  # fmt: skip


def test_a_matplotlibrc_in_the_current_folder_does_not_make_pictures_run_latex():
    with rc_context({"text.usetex": True}), LIGHT.active():
        assert not Figure().text(0, 0, "x").get_usetex()
