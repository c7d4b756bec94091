"""A model's outputs for any number of samples, computed in blocks of a fixed number of samples.

A matrix product rounds a row differently when it multiplies a different number of rows. With blocks of
a fixed size, a sample's output depends neither on the number of samples nor on a batch size.

Shapes: N samples, B samples of a block, D inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.data.windows import Windows

ROWS = 256  # samples of a block: the same number as `engine.kernels.ROWS`, which is not imported because it needs Numba
ROWS_ON_ACCELERATOR = 4096  # there, launching kernels costs more than this many rows of a small model


def block_rows(device: torch.device) -> int:
    """The number of samples in a block."""
    return ROWS if device.type == "cpu" else ROWS_ON_ACCELERATOR


@torch.inference_mode()
def outputs_at(
    predict: Callable[[Float[Tensor, "B D"]], Float[Tensor, "B O"]], windows: Windows, origin_N: Int[Tensor, " N"]
) -> Float[Tensor, "N O"]:
    """The outputs of `predict` for the samples with these origins (N, O).

    Every call of `predict` gets exactly `ROWS` samples (on an accelerator `ROWS_ON_ACCELERATOR`); the last block is
    padded with copies of its first sample. Gathering a window takes more calls than a small model, so several blocks
    are gathered in one step, up to a fixed size: memory does not grow with N * D. Results are written into one tensor
    allocated in advance, because small results between large temporary tensors would fragment the heap.
    """
    count, device = len(origin_N), windows.price_T.device
    rows = block_rows(device)
    index_N = torch.arange(math.ceil(count / rows) * rows, device=device)
    index_N[count:] = index_N[-rows]
    outputs_NO, start = None, 0
    for gathered_M in origin_N[index_N].split(max(1, windows.chunk // rows) * rows):
        for x_BD in windows.gather(gathered_M).x_ND.split(rows):
            block_BO = predict(x_BD)
            if outputs_NO is None:
                outputs_NO = block_BO.new_empty(count, block_BO.shape[1])
            outputs_NO[start : start + rows] = block_BO[: count - start]
            start += rows
    assert outputs_NO is not None
    return outputs_NO
