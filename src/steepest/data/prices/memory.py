"""Memory for the columns of large files."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> np.ndarray:
    """Return an array like `numpy.empty`, in Arrow's memory.

    NumPy asks Linux for huge pages. The first use of these takes several times as long on a virtual machine whose host
    provides memory on demand.
    """
    dtype, size = np.dtype(dtype), math.prod(shape)
    return np.frombuffer(pa.allocate_buffer(size * dtype.itemsize, pa.system_memory_pool()), dtype, size).reshape(shape)
