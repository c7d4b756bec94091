"""Where the files that are not code are: `conf/`, `data/` and `train.py`."""

from __future__ import annotations

import os
from pathlib import Path

STARTED = "STEEPEST_TRAIN"  # set by `steepest train`
_CHECKOUT, _PACKED = Path(__file__).resolve().parents[3], Path(__file__).resolve().parents[1] / "shipped"

# The checkout from which this package is installed, or the copies in the installed package.
HOME = _CHECKOUT if (_CHECKOUT / "conf" / "train.yaml").exists() else _PACKED
# The command that trains: train.py, unless it is not in the user's folder.
TRAIN = ("steepest", "train") if HOME == _PACKED or STARTED in os.environ else ("python", "train.py")
