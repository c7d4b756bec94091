"""The pictures in docs/ are what the current code draws: docs/pictures.md names the command of each."""

import re
import shlex

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

DOCS = ROOT / "docs"
ROWS = re.findall(r"^\| (\S+\.png) \| `(.+)` \| (\S+) \|$", (DOCS / "pictures.md").read_text(), re.MULTILINE)
REDRAWN = [row for row in ROWS if row[1].startswith("python train.py")]
COARSE = 4  # pixels are compared in squares of this side: letters may be smoothed differently
DIFFERENT = 24  # of 255: the least difference of squares that differ
MOST_DIFFERENT = {"prediction.png": 0.004, "parity.png": 0.05}  # share of squares; parity's dots are a CPU's rounding


def share_of_differences(one, other):
    """The share of squares that differ; 1 for pictures of different sizes."""
    if one.size != other.size:
        return 1.0
    size = (one.width // COARSE, one.height // COARSE)
    a, b = (np.asarray(p.convert("RGB").resize(size, Image.Resampling.BOX)).astype(int) for p in (one, other))
    return float((np.abs(a - b).max(-1) > DIFFERENT).mean())


def test_every_picture_of_the_table_exists():
    assert [picture for picture, _, _ in REDRAWN] == list(MOST_DIFFERENT)
    assert all((DOCS / picture).exists() for picture, _, _ in ROWS)


@pytest.mark.slow
@pytest.mark.parametrize(("picture", "line", "file"), REDRAWN, ids=[picture for picture, _, _ in REDRAWN])
def test_the_picture_is_what_its_command_draws(command, tmp_path, picture, line, file):
    _, _, *arguments = shlex.split(line)
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    (drawn,) = (tmp_path / "outputs" / "runs").glob(f"*/{file}")
    with Image.open(DOCS / picture) as kept, Image.open(drawn) as now:
        assert share_of_differences(kept, now) < MOST_DIFFERENT[picture], f"`{line}` draws {picture} anew"
