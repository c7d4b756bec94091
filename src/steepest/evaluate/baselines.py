"""The baselines that every model is compared with: persistence, drift, mean, majority, least squares.

Shapes: N samples, D inputs, H horizon, O = 2 H logits, S series.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.data.windows import Windows
from steepest.evaluate.blocks import outputs_at, outputs_in_blocks, targets
from steepest.nets.losses import Loss


def persistence(windows: Windows, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
    """Tomorrow = today: the last known price, for each day of the horizon (N, H)."""
    return windows.last(origin_N).expand(-1, windows.horizon)


def drift(windows: Windows, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
    """The last known price plus h times the series' mean daily change in the training rows (N, H)."""
    ahead_H = torch.arange(1, windows.horizon + 1, device=origin_N.device)
    return windows.last(origin_N) + windows.slope_S[windows.series_T[origin_N]].unsqueeze(-1) * ahead_H


def mean(windows: Windows, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
    """The mean target of the training rows (N, H): the reference for plain rows, which have no last price."""
    return windows.mean_S[windows.series_T[origin_N]].unsqueeze(-1).expand(-1, windows.horizon)


def share_of_ones(windows: Windows) -> Float[Tensor, " H"]:
    """The share of class 1 (for prices: of rises) in the training part, for each day of the horizon (H,), float64."""
    return targets(windows, "train").double().mean(0)


def majority(share_H: Float[Tensor, " H"], count: int) -> Float[Tensor, "N O"]:
    """For `count` samples, the logits (N, 2 H) of a model that always gives class 1 the probability `share_H`."""
    return torch.stack([(1 - share_H).log(), share_H.log()], -1).flatten().expand(count, -1)


def least_squares(windows: Windows) -> Float[Tensor, "D1 H"]:
    """Return the least-squares solution on the training windows: (D + 1, H), the bias last, float64.

    It minimises ||X B - Y||^2 with X = [x, 1] (N, D + 1). X is never in memory as a whole: each chunk is appended to
    the triangle R of the earlier chunks and factorised again (a tall-skinny QR). This is more accurate than the normal
    equations. The triangle is solved with an SVD, which gives the shortest solution if inputs are collinear.
    """
    inputs = windows.inputs
    triangle: Tensor | None = None
    for _, batch in windows.walk("train"):
        rows = torch.cat([batch.x_ND, torch.ones_like(batch.x_ND[:, :1]), batch.y_NH], 1).double().cpu()
        stacked = rows if triangle is None else torch.cat([triangle, rows])
        triangle = torch.linalg.qr(stacked, mode="r").R
    assert triangle is not None, "the split was checked: the training part has samples"
    left, right = triangle[:, : inputs + 1], triangle[:, inputs + 1 :]
    return torch.linalg.lstsq(left, right, driver="gelsd").solution.to(windows.price_T.device)


def linear(coefficients: Float[Tensor, "D1 H"], x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N H"]:
    """Predictions (N, H) in model space of the coefficients (D + 1, H) that `least_squares` returns."""
    return x_ND.double() @ coefficients[:-1] + coefficients[-1]


def fitted(windows: Windows) -> dict[str, Tensor]:
    """What the baselines learn from the training part: `least_squares`, or, for classes, `share_of_ones`, by name."""
    if windows.classes:
        return {"share_of_ones": share_of_ones(windows)}
    return {"least_squares": least_squares(windows)}


def predictions(windows: Windows, origin_N: Int[Tensor, " N"], learned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each baseline's predictions for these samples, in the data's units: prices (N, H), or for classes, logits.

    Args:
        windows: the data.
        origin_N: the samples.
        learned: what `fitted` returns.
    """
    if windows.classes:
        return {"majority": majority(learned["share_of_ones"], len(origin_N))}
    predicted = {"mean": mean(windows, origin_N)}
    if windows.ordered:
        predicted = {"persistence": persistence(windows, origin_N), "drift": drift(windows, origin_N)}
    exact_NH = outputs_at(lambda x_BD: linear(learned["least_squares"], x_BD), windows, origin_N)
    return predicted | {"least_squares": windows.to_price(exact_NH, origin_N)}


@torch.inference_mode()
def reference_losses(loss: Loss, windows: Windows) -> dict[str, float]:
    """The loss of each baseline on train and val, as training computes it: ``train_persistence``, ...

    For values: ``least_squares``, under mse the lowest training loss of any linear model, and ``persistence`` (for
    plain rows, ``mean``). For classes: ``majority``.
    """
    exact = None if windows.classes else least_squares(windows)
    losses: dict[str, float] = {}
    for part in (part for part in ("train", "val") if len(windows.parts[part])):
        target_NH, count = targets(windows, part), len(windows.parts[part])
        if exact is None:
            outputs = {"majority": majority(share_of_ones(windows), count)}
        else:
            target_NH = target_NH.double()
            origin_N = windows.parts[part].origins(torch.arange(count, device=windows.price_T.device))
            outputs = {
                "least_squares": outputs_in_blocks(lambda x_BD: linear(exact, x_BD), windows, part),
                "persistence" if windows.ordered else "mean": windows.no_change(origin_N),
            }
        losses |= {f"{part}_{name}": loss(outputs_NO, target_NH).item() for name, outputs_NO in outputs.items()}
    return losses
