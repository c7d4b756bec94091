"""Where the files that are not code are: `conf/`, `data/` and `train.py`."""

from __future__ import annotations

from pathlib import Path

_CHECKOUT, _PACKED = Path(__file__).resolve().parents[3], Path(__file__).resolve().parents[1] / "shipped"

# The checkout from which this package is installed, or the copies in the installed package.
HOME = _CHECKOUT if (_CHECKOUT / "conf" / "train.yaml").exists() else _PACKED
TRAIN = ("python", "train.py") if HOME == _CHECKOUT else ("steepest", "train")  # the command that trains
