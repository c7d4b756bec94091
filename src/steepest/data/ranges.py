"""Types of options with a limited range. `runs/config.py` checks each config against them before a run starts."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Interval

Seed = Annotated[int, Interval(ge=0, lt=2**32)]  # the range that NumPy, PyTorch and Lightning accept
Count = Annotated[int, Ge(1)]
Rows = Annotated[int, Interval(ge=3, le=10_000_000)]  # number of rows of generated data
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
