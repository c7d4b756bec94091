"""The baselines that every model is compared with.

Drift, mean, majority, least squares, ridge and logistic regression learn from the training part. Persistence, seasonal
naive and the moving average of the window do not. The baselines of statsmodels are in `statistics.py`.

Shapes: N samples, D inputs, H horizon, O = 2 H logits, S series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.data.windows import Windows
from steepest.evaluate import statistics
from steepest.evaluate.blocks import outputs_at
from steepest.nets.losses import Loss

ALPHAS = tuple(10.0**power for power in range(-8, 5))  # penalties of ridge regression, per training sample
MAX_LOGISTIC = 100_000  # maximum number of samples of logistic regression
ONLY_CLASS = 10.0  # the logit of a class that is the only one in the training part


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


def seasonal_naive(windows: Windows, origin_N: Int[Tensor, " N"], rows: int) -> Float[Tensor, "N H"]:
    """The last known price at the same point in a season of `rows` rows, for each day of the horizon (N, H).

    If the series does not go back that far, its first price is used.
    """
    ahead_H = torch.arange(1, windows.horizon + 1, device=origin_N.device)
    row_NH = origin_N.unsqueeze(-1) - (-ahead_H % rows)
    first_N1 = windows.start_S[windows.series_T[origin_N]].unsqueeze(-1)
    return windows.price_T[row_NH.maximum(first_N1)]


def moving_average(windows: Windows, origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
    """The mean price of the window, for each day of the horizon (N, H)."""
    price_TL = windows.price_T.unfold(0, windows.window, 1)
    # In chunks, because a copy of all windows would not fit into memory, and into one tensor: see `outputs_at`.
    mean_N1 = windows.price_T.new_empty(len(origin_N), 1)
    for start in range(0, len(origin_N), windows.chunk):
        first_M = origin_N[start : start + windows.chunk] - (windows.window - 1)
        mean_N1[start : start + windows.chunk] = price_TL[first_M].mean(-1, keepdim=True)
    return mean_N1.expand(-1, windows.horizon)


def share_of_ones(windows: Windows) -> Float[Tensor, " H"]:
    """The share of class 1 (for prices: of rises) in the training part, for each day of the horizon (H,), float64."""
    total_H = sum(batch.y_NH.double().sum(0) for _, batch in windows.walk("train"))
    return torch.as_tensor(total_H) / len(windows.parts["train"])


def majority(share_H: Float[Tensor, " H"], count: int) -> Float[Tensor, "N O"]:
    """For `count` samples, the logits (N, 2 H) of a model that always gives class 1 the probability `share_H`."""
    return torch.stack([(1 - share_H).log(), share_H.log()], -1).flatten().expand(count, -1)


def least_squares(windows: Windows) -> Float[Tensor, "D1 H"]:
    """Return the least-squares solution on the training windows: (D + 1, H), the bias last, float64.

    It minimises ||X B - Y||^2 with X = [x, 1] (N, D + 1). X is never in memory as a whole: each chunk is appended to
    the triangle R of the earlier chunks and factorised again (a tall-skinny QR). This is more accurate than the normal
    equations. The triangle is solved with an SVD, which gives the shortest solution if inputs are collinear.
    """
    return _least_squares(_triangle(windows), windows.inputs).to(windows.price_T.device)


def _triangle(windows: Windows) -> Tensor:
    """The factor R of the QR decomposition of the training rows [x, 1, y], float64."""
    triangle: Tensor | None = None
    for _, batch in windows.walk("train"):
        rows = torch.cat([batch.x_ND, torch.ones_like(batch.x_ND[:, :1]), batch.y_NH], 1).double().cpu()
        stacked = rows if triangle is None else torch.cat([triangle, rows])
        triangle = torch.linalg.qr(stacked, mode="r").R
    assert triangle is not None, "the split was checked: the training part has samples"
    return triangle


def _least_squares(triangle: Tensor, inputs: int) -> Tensor:
    left, right = triangle[:, : inputs + 1], triangle[:, inputs + 1 :]
    return torch.linalg.lstsq(left, right, driver="gelsd").solution


def ridge(windows: Windows) -> Float[Tensor, "D1 H"]:
    """Return ridge regression on the training windows: (D + 1, H), the bias last, float64.

    It minimises ||X B - Y||^2 + alpha ||B||^2; the penalty excludes the bias. Alpha is the number of samples times the
    value in `ALPHAS` with the lowest generalised cross-validation score, samples * (residual sum of squares) / (samples
    - degrees of freedom)^2 (Golub, Heath & Wahba 1979, Technometrics 21(2)).
    """
    return _ridge(_triangle(windows), windows.inputs, len(windows.parts["train"])).to(windows.price_T.device)


def _ridge(triangle: Tensor, inputs: int, samples: int) -> Tensor:
    # With the column of ones first, the rest of the triangle belongs to the centred columns.
    ones_first = torch.cat([triangle[:, inputs : inputs + 1], triangle[:, :inputs], triangle[:, inputs + 1 :]], 1)
    r = torch.linalg.qr(ones_first, mode="r").R
    mean_1C = r[:1, 1:] / r[0, 0]  # of the inputs and the targets
    left, right = r[1:, 1 : inputs + 1], r[1:, inputs + 1 :]
    u, size_D, v = torch.linalg.svd(left, full_matrices=False)
    target_DH = u.T @ right
    apart_H = right.square().sum(0) - target_DH.square().sum(0)  # the part of ||Y||^2 that the inputs do not explain
    scores = []
    for alpha in ALPHAS:
        shrunk_D1 = (alpha * samples / (size_D.square() + alpha * samples)).unsqueeze(-1)
        residual = (apart_H + (shrunk_D1 * target_DH).square().sum(0)).sum().item()
        freedom = samples - 1 - (1 - shrunk_D1).sum().item()
        scores.append(samples * residual / freedom**2 if freedom > 0 else math.inf)
    alpha = ALPHAS[scores.index(min(scores))] * samples
    weight_DH = v.T @ ((size_D / (size_D.square() + alpha)).unsqueeze(-1) * target_DH)
    bias_1H = mean_1C[:, inputs:] - mean_1C[:, :inputs] @ weight_DH
    return torch.cat([weight_DH, bias_1H])


def logistic(windows: Windows) -> Float[Tensor, "D1 H"]:
    """Return scikit-learn's logistic regression of each day's class: (D + 1, H), the bias last, float64.

    It is fitted to at most `MAX_LOGISTIC` training samples, evenly spaced.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, and only classes need it

    batch = windows.spread("train", MAX_LOGISTIC)
    x_ND, columns = batch.x_ND.double().cpu().numpy(), []
    for class_N in batch.y_NH.cpu().numpy().T:
        if class_N.min() == class_N.max():  # only one class occurs: its probability is almost 1
            columns.append([0.0] * x_ND.shape[1] + [ONLY_CLASS if class_N[0] else -ONLY_CLASS])
            continue
        fit = LogisticRegression(max_iter=1000).fit(x_ND, class_N)
        columns.append([*fit.coef_[0].tolist(), float(fit.intercept_[0])])
    return torch.tensor(columns, dtype=torch.float64, device=windows.price_T.device).T.contiguous()


def linear(coefficients: Float[Tensor, "D1 H"], x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N H"]:
    """Predictions (N, H), in model space, from coefficients (D + 1, H) whose last row is the bias."""
    return x_ND.double() @ coefficients[:-1] + coefficients[-1]


def fitted(windows: Windows) -> dict[str, Tensor]:
    """Fit the baselines that learn from the training part, and return their parameters by name.

    For values, these are `least_squares` and `ridge`; for classes, `share_of_ones` and `logistic`.
    """
    if windows.classes:
        return {"share_of_ones": share_of_ones(windows), "logistic": logistic(windows)}
    triangle, inputs, device = _triangle(windows), windows.inputs, windows.price_T.device
    return {
        "least_squares": _least_squares(triangle, inputs).to(device),
        "ridge": _ridge(triangle, inputs, len(windows.parts["train"])).to(device),
    }


def predictors(windows: Windows, learned: Mapping[str, Tensor]) -> dict[str, Callable[[Tensor], Tensor]]:
    """Name -> a function that predicts samples with these origins (N,): prices (N, H) or, for classes, logits.

    Args:
        windows: the data.
        learned: the parameters that `fitted` returns, and those of `statistics.fit`.
    """
    if windows.classes:

        def logistic_logits(origin_N: Tensor) -> Tensor:
            one_NH = outputs_at(partial(linear, learned["logistic"]), windows, origin_N)
            return torch.stack([torch.zeros_like(one_NH), one_NH], -1).flatten(1)

        return {
            "majority": lambda origin_N: majority(learned["share_of_ones"], len(origin_N)),
            "logistic": logistic_logits,
        }

    def fitted_prices(name: str, origin_N: Tensor) -> Tensor:
        return windows.to_price(outputs_at(partial(linear, learned[name]), windows, origin_N), origin_N)

    found: dict[str, Callable[[Tensor], Tensor]] = {}
    if windows.ordered:
        found |= {"persistence": partial(persistence, windows), "drift": partial(drift, windows)}
        if windows.season is not None:
            found["seasonal_naive"] = partial(seasonal_naive, windows, rows=windows.season)
        if windows.window > 1:
            found["moving_average"] = partial(moving_average, windows)
    else:
        found["mean"] = partial(mean, windows)
    found |= {name: partial(fitted_prices, name) for name in ("least_squares", "ridge")}
    return found | {
        name: statistics.predictor(windows, name, learned[name]) for name in statistics.PARAMETERS if name in learned
    }


@torch.inference_mode()
def reference_losses(loss: Loss, windows: Windows) -> dict[str, float]:
    """The loss of each baseline on train and val, as training computes it: ``train_persistence``, ...

    For values: ``least_squares``, under mse the lowest training loss of any linear model, and ``persistence`` (for
    plain rows, ``mean``). For classes: ``majority``.
    """
    exact = None if windows.classes else least_squares(windows)
    share_H = share_of_ones(windows) if windows.classes else None
    losses: dict[str, float] = {}
    for part in (part for part in ("train", "val") if len(windows.parts[part])):
        for origin_M, (x_MD, target_MH, _) in windows.walk(part):
            if exact is None:
                assert share_H is not None, "classes have shares"
                outputs = {"majority": majority(share_H, len(origin_M))}
            else:
                target_MH = target_MH.double()
                outputs = {
                    "least_squares": linear(exact, x_MD),
                    "persistence" if windows.ordered else "mean": windows.no_change(origin_M),
                }
                # The prediction is every quantile.
                outputs = {name: outputs_MH.repeat(1, loss.outputs) for name, outputs_MH in outputs.items()}
            for name, outputs_MO in outputs.items():
                part_of_mean = loss(outputs_MO, target_MH).item() * (len(origin_M) / len(windows.parts[part]))
                losses[f"{part}_{name}"] = losses.get(f"{part}_{name}", 0.0) + part_of_mean
    return losses
