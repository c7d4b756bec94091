"""Allocates memory for the columns of large files."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> np.ndarray:
    """Return an uninitialised array without huge pages.

    `numpy.empty` asks Linux for huge pages. On a virtual machine whose host provides memory on demand, the first write
    to these takes several times as long.
    """
    dtype, size = np.dtype(dtype), math.prod(shape)
    return np.frombuffer(pa.allocate_buffer(size * dtype.itemsize, pa.system_memory_pool()), dtype, size).reshape(shape)
