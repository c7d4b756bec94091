"""How the kernel is compiled: `loop` for functions that only compiled code calls, `entry` for those that Python calls.

`error_model="numpy"` allows LLVM to vectorise divisions. `fastmath` leaves out `nnan` and `ninf`, because with them
`isfinite` would always be true.
"""

from __future__ import annotations

import gc

import numba
from numba import njit
from numba.core.compiler import Compiler

from steepest.engine import cache


class _Compiler(Compiler):
    """Compiles at LLVM's -O1, which vectorises loops as -O3 does.

    Numba links the callees into each function and optimises them again, which takes most of the compile time.
    """

    def compile_extra(self, func):
        before, collecting = numba.config.OPT, gc.isenabled()
        numba.config.OPT = type(before)(1)  # Numba holds its lock here
        gc.disable()  # compiling creates a million objects; collecting them takes a tenth of the time
        try:
            return super().compile_extra(func)
        finally:
            numba.config.OPT = before
            if collecting:
                gc.enable()


# `_nrt=False`: no reference counting, because every array outlives the call that it is passed to.
OPTIONS = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp", "afn"}, "error_model": "numpy", "nogil": True, "_nrt": False,
    "pipeline_class": _Compiler, "no_cfunc_wrapper": True,
}  # fmt: skip
# These functions are called only from compiled code, and are always inlined. Otherwise, Numba would optimise the copy
# in the function's own module and the copy in its caller differently. The process that compiles would use the first
# copy, and processes that load the cache the second, and their results would differ in the last digits.
INSIDE = {**OPTIONS, "no_cpython_wrapper": True, "forceinline": True}
loop = njit(**INSIDE)


def entry(function):
    """Compile an entry point. The result is cached on disk."""
    place = cache.folder()
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(place or "")
    try:
        return njit(**OPTIONS, cache=place is not None)(function)
    finally:
        numba.config.CACHE_DIR = before
