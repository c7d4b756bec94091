"""How the kernel is compiled: `loop` for what only compiled code calls, `entry` for what Python calls.

`error_model="numpy"` is what lets a division vectorise. `fastmath` leaves out `nnan` and `ninf`, under which `isfinite`
would always be true.
"""

from __future__ import annotations

import gc

import numba
from numba import njit
from numba.core.compiler import Compiler

from steepest.engine import cache


class _Compiler(Compiler):
    """Compiles at LLVM's -O1, which vectorises loops as -O3 does.

    Numba links what a function calls into it and optimises all of it again: most of the time goes there.
    """

    def compile_extra(self, func):
        before, collecting = numba.config.OPT, gc.isenabled()
        numba.config.OPT = type(before)(1)  # Numba holds its lock here
        gc.disable()  # compiling makes a million objects, and collecting them is a tenth of its time
        try:
            return super().compile_extra(func)
        finally:
            numba.config.OPT = before
            if collecting:
                gc.enable()


# `_nrt`: references are not counted, as an array outlives the call that it is passed to.
OPTIONS = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp", "afn"}, "error_model": "numpy", "nogil": True, "_nrt": False,
    "pipeline_class": _Compiler, "no_cfunc_wrapper": True,
}  # fmt: skip
INSIDE = {**OPTIONS, "no_cpython_wrapper": True}  # never called from Python
loop = njit(**INSIDE)


def entry(function):
    """An entry point: compiled once on a machine, then read from disk."""
    place = cache.folder()
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(place or "")
    try:
        return njit(**OPTIONS, cache=place is not None)(function)
    finally:
        numba.config.CACHE_DIR = before
