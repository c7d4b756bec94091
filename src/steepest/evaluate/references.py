"""What the training loss would be for predictions that cost nothing: lines to hold a loss curve against."""

from __future__ import annotations

import torch
from torch import Tensor

from steepest.data.windows import Windows
from steepest.evaluate import baselines
from steepest.nets.losses import Loss
from steepest.nets.plain import Model


@torch.no_grad()
def reference_losses(predictor: Model, windows: Windows) -> dict[str, float]:
    """The loss, in the units training sees, of each baseline on train and val: ``train_persistence``, ...

    Values have ``least_squares`` (under mse the best any linear model can do on the training part) and ``persistence``
    (``mean`` for plain rows); classes have ``majority``.
    """
    if windows.classes:
        share_H = baselines.share_of_ones(windows)
        return _mean_losses(predictor.loss, windows, {"majority": lambda _, x_ND: _logits(share_H, len(x_ND), x_ND)})
    exact = baselines.least_squares(windows)
    ways = {
        "least_squares": lambda _, x_ND: baselines.linear(exact, x_ND),
        "persistence" if windows.ordered else "mean": lambda origin_N, _: windows.standing_still(origin_N),
    }
    return _mean_losses(predictor.loss, windows, ways)


def _mean_losses(loss: Loss, windows: Windows, ways: dict) -> dict[str, float]:
    found = {}
    for part in ("train", "val"):
        count = len(windows.parts[part])
        for name, outputs in ways.items() if count else ():
            total = sum(
                len(origin_N) * loss(outputs(origin_N, x_ND).double(), _wide(y_NH)).item()
                for origin_N, (x_ND, y_NH, _) in windows.walk(part)
            )
            found[f"{part}_{name}"] = total / count
    return found


def _logits(share_H: Tensor, count: int, like: Tensor) -> Tensor:
    """Outputs (N, 2 H) of a model that always gives the shares of class 1."""
    return torch.stack([(1 - share_H).log(), share_H.log()], -1).flatten().expand(count, -1).to(like.device)


def _wide(y_NH: Tensor) -> Tensor:
    return y_NH.double() if y_NH.is_floating_point() else y_NH
