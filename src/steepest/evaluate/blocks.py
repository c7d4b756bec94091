"""A model's outputs for every sample of a part, computed in blocks of a fixed number of samples.

A matrix product rounds a row differently when it multiplies a different number of rows. With blocks of
a fixed size, a sample's output depends neither on the number of samples in the part nor on a batch size.

Shapes: N samples of a part, B samples of a block, D inputs, H horizon, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from steepest.data.windows import Windows

ROWS = 256  # samples of a block: the same number as `engine.kernels.ROWS`, which is not imported because it needs Numba
ROWS_ON_ACCELERATOR = 4096  # there, launching kernels costs more than this many rows of a small model


@torch.inference_mode()
def outputs_in_blocks(
    predict: Callable[[Float[Tensor, "B D"]], Float[Tensor, "B O"]], windows: Windows, part: str
) -> Float[Tensor, "N O"]:
    """The outputs of `predict` for every sample of a part, in order (N, O), as `outputs_at` computes them.

    Raises:
        ValueError: the part has no samples.
    """
    count = len(windows.parts[part])
    if count == 0:
        raise ValueError(f"the {part} part has no samples")
    index_N = torch.arange(count, device=windows.price_T.device)
    return outputs_at(predict, windows, windows.parts[part].origins(index_N))


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
    rows = ROWS if device.type == "cpu" else ROWS_ON_ACCELERATOR
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


def targets(windows: Windows, part: str) -> Shaped[Tensor, "N H"]:
    """The outputs that a model is trained to give for every sample of a part, in order (N, H)."""
    origin_N = windows.parts[part].origins(torch.zeros(1, dtype=torch.long, device=windows.price_T.device))
    target_NH = windows.gather(origin_N).y_NH.new_empty(len(windows.parts[part]), windows.horizon)
    start = 0
    for origin_N, batch in windows.walk(part):
        target_NH[start : start + len(origin_N)] = batch.y_NH
        start += len(origin_N)
    return target_NH
