"""One run: specs, checking and trust, stop rules, best epoch, checkpoints, record; a driver without Lightning.

The package is also the public function `steepest.runs(folder)`, the table of all runs.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Function(ModuleType):
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return one row per run in a folder: see `steepest.runs.listing.runs`."""
        from steepest.runs.listing import runs

        return runs(*arguments, **named)


sys.modules[__name__].__class__ = _Function
