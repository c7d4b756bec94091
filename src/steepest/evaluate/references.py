"""The training loss of each baseline: horizontal lines to compare a loss curve with."""

from __future__ import annotations

import torch
from torch import Tensor

from steepest.data.windows import Windows
from steepest.evaluate import baselines
from steepest.evaluate.blocks import outputs_in_blocks, targets
from steepest.nets.losses import Loss


@torch.inference_mode()
def reference_losses(loss: Loss, windows: Windows) -> dict[str, float]:
    """The loss of each baseline, as training computes it, on train and val: ``train_persistence``, ...

    For values: ``least_squares``, under mse the lowest training loss of any linear model, and ``persistence`` (for
    plain rows, ``mean``). For classes: ``majority``.
    """
    share_H = baselines.share_of_ones(windows) if windows.classes else None
    exact = None if windows.classes else baselines.least_squares(windows)
    losses: dict[str, float] = {}
    for part in ("train", "val"):
        count = len(windows.parts[part])
        if count == 0:
            continue
        target_NH, outputs = targets(windows, part), dict[str, Tensor]()
        if share_H is not None:
            outputs["majority"] = baselines.majority(share_H, count)
        if exact is not None:
            target_NH = target_NH.double()
            origin_N = windows.parts[part].origins(torch.arange(count, device=windows.price_T.device))
            outputs["least_squares"] = outputs_in_blocks(lambda x_BD: baselines.linear(exact, x_BD), windows, part)
            outputs["persistence" if windows.ordered else "mean"] = windows.standing_still(origin_N)
        losses |= {f"{part}_{name}": loss(outputs_NO, target_NH).item() for name, outputs_NO in outputs.items()}
    return losses
