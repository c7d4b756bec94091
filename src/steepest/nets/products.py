"""Matrix products of many models, by the library whose are faster on this processor: PyTorch's or NumPy's.

PyTorch's come from MKL, which uses the widest instructions (AVX-512) of Intel's processors only; NumPy's come from
OpenBLAS, which uses them on every processor that has them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info
from torch import Tensor

WIDE = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # what OpenBLAS calls its kernels of AVX-512


@cache
def numpys_are_wider() -> bool:
    """Whether NumPy's products use AVX-512, and PyTorch's do not."""
    kernels = {found["architecture"] for found in threadpool_info() if found["internal_api"] == "openblas"}
    return bool(kernels) and kernels <= WIDE and torch.backends.mkl.is_available() and not is_intels()


def is_intels(described: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether Linux describes the processor as Intel's."""
    return described.is_file() and "GenuineIntel" in described.read_text()


def by_numpy(a: Tensor, b: Tensor) -> bool:
    """Whether NumPy multiplies these: matrices of several models, on the CPU."""
    kinds = (torch.float32, torch.float64)
    return a.dim() == b.dim() == 3 and a.device.type == "cpu" and a.dtype in kinds and numpys_are_wider()


def multiply(a_SIJ: Tensor, b_RJK: Tensor, out: Tensor | None = None) -> Tensor:
    """sum_j a_ij b_jk (R, I, K) of R models, which autograd does not follow; written into `out` where that is given.

    Each of the S first factors is that of the next R / S models. Both may be without models.
    """
    each = b_RJK.shape[0] // a_SIJ.shape[0] if a_SIJ.dim() == b_RJK.dim() == 3 else 1
    if not by_numpy(a_SIJ, b_RJK):
        return torch.matmul(a_SIJ.repeat_interleave(each, 0) if each > 1 else a_SIJ, b_RJK, out=out)
    if out is None:
        out = b_RJK.new_empty(b_RJK.shape[0], a_SIJ.shape[1], b_RJK.shape[2])
    a, b, product = a_SIJ.numpy(), b_RJK.numpy(), out.numpy()
    if each > 1:  # views, whatever lies between two models
        a, b, product = a[:, None], b.reshape(-1, each, *b.shape[1:]), product.reshape(-1, each, *product.shape[1:])
    with np.errstate(all="ignore"):  # as PyTorch: whoever trains looks at the losses
        np.matmul(a, b, out=product)
    return out
