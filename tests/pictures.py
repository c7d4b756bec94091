"""Compares the pictures in docs/ with new ones. docs/pictures.md names the command of each picture."""

import re

import numpy as np
from conftest import ROOT
from PIL import Image

DOCS, SCREENSHOTS = ROOT / "docs", ROOT / "outputs" / "screenshots"
COMMANDS = dict(re.findall(r"^\| (\S+\.png) \| `(.+)`, .+ \|$", (DOCS / "pictures.md").read_text(), re.MULTILINE))
COARSE = 4  # side of the compared squares in pixels, because letters may be smoothed differently
DIFFERENT = 24  # squares count as different if they differ by more than this, of 255
# Largest share of squares that may differ. In dashboard.png, the marks of the curves depend on the order in which
# TensorBoard loads them.
MAX_DIFFERENT = {"prediction.png": 0.03, "parity.png": 0.03, "dashboard.png": 0.3} | dict.fromkeys(
    ("report.png", "course.png", "images.png"), 0.1
)
COMPARED = {"parity.png": 0.55}  # share of the height; the rounding errors below it depend on the processor


def compared(picture, image):
    """The part of a picture that is the same on every processor."""
    return image.convert("RGB").crop((0, 0, image.width, round(image.height * COMPARED.get(picture, 1))))


def share_of_differences(one, other):
    """Return the share of different squares among those that are not empty in both pictures.

    It is 1 if the widths differ, or the heights differ by more than a tenth.
    """
    if one.width != other.width or abs(one.height - other.height) > 0.1 * one.height:
        return 1.0
    size = (one.width // COARSE, one.height // COARSE)
    a, b = (np.asarray(p.convert("RGB").resize(size, Image.Resampling.BOX)).astype(int) for p in (one, other))
    background = np.median(a.reshape(-1, 3), axis=0)
    inked = np.maximum(np.abs(a - background).max(-1), np.abs(b - background).max(-1)) > DIFFERENT
    return float((np.abs(a - b).max(-1) > DIFFERENT)[inked].mean())


def assert_same(picture, drawn):
    with Image.open(DOCS / picture) as kept, Image.open(drawn) as now:
        assert share_of_differences(compared(picture, kept), compared(picture, now)) < MAX_DIFFERENT[picture], (
            f"{picture} is outdated: `{COMMANDS[picture]}` draws it"
        )
