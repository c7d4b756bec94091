"""Many runs: composing, launchers, tuning, the record of a sweep, its results and its report.

The package is also the public function `steepest.sweep({"seed": range(3)})`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Function(ModuleType):
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Train a run for each combination of values: see `steepest.api.sweep`."""
        return importlib.import_module("steepest.api").sweep(*arguments, **named)


sys.modules[__name__].__class__ = _Function
