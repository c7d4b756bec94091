"""The linear models of the literature on long horizons: linear maps of a window that is first shifted, scaled or split.

Shapes: N samples, L rows of a window, F inputs per row, D = L F inputs, oldest row first, O outputs.

The models and their names in the papers:

    NLinear   subtract the window's last value, apply a linear map, add the value back (Zeng et al. 2023)
    DLinear   split the window into its trend, a moving average, and the remainder; add a linear map of each (the same)
    RLinear   subtract the window's mean and divide by its standard deviation, apply a linear map, undo both on the
              output (Li et al. 2023, with RevIN of Kim et al. 2022; its affine map changes no linear model's function)

DLinear and NLinear are linear functions of the window. Under the mean squared error, DLinear has the minimum of the
plain linear model; only the path of the descent differs (Toner & Darlow 2024).
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, linear, pad

Normalise = Literal["none", "last", "standard"]
EPSILON = 1e-5  # added to a window's variance, as in RevIN
MAX_TREND = 9999  # rows; a window is extended by as many


class WindowLinear(nn.Module):
    """p = scale q + shift, with x' = (x - shift) / scale.

    q = W1 x' + b1, or with a trend t of x', q = W_trend t + b_trend + W_rest (x' - t) + b_rest.

    Shift and scale belong to each window and input. The outputs get those of the first input, which is the price.

    Args:
        inputs: D.
        outputs: O.
        window: L.
        normalise: ``none``; ``last``: shift is the window's last value; ``standard``: shift is the window's mean, and
            scale its standard deviation.
        trend: number of rows of the moving average t, an odd number; the window's ends are repeated. None: no trend.
        undo: whether the outputs are prices, which are scaled and shifted back.
        seed: the initial weights are a pure function of the seed and the sizes.
        init_scale: multiplies the initial weights; 1 gives PyTorch's usual ones.

    Raises:
        ValueError: for an option outside its range.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        window: int,
        normalise: Normalise = "none",
        trend: int | None = None,
        *,
        undo: bool = True,
        seed: int = 0,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_options(window, normalise, trend)
        self.sizes = (window, inputs // window)
        self.normalise, self.trend, self.undo = normalise, trend, undo
        random, bound = torch.Generator().manual_seed(seed), init_scale / math.sqrt(inputs)
        for name in ("1",) if trend is None else ("_trend", "_rest"):
            draw = torch.rand(outputs, inputs + 1, generator=random, dtype=torch.float64).to(torch.get_default_dtype())
            start = (2 * draw - 1) * bound
            self.register_parameter(f"W{name}", nn.Parameter(start[:, :-1].clone()))
            self.register_parameter(f"b{name}", nn.Parameter(start[:, -1].clone()))

    @torch.no_grad()
    def affine(self) -> tuple[Tensor, Tensor] | None:
        """Return W (O, D) and b (O,) of p = W x + b, float64, or None for RLinear, which divides by a deviation."""
        if self.normalise == "standard":
            return None
        twin = deepcopy(self).double()
        inputs = math.prod(self.sizes)
        b_O = twin(next(twin.parameters()).new_zeros(1, inputs))[0]
        return (twin(torch.eye(inputs).to(b_O)) - b_O).mT, b_O

    def in_words(self) -> str:
        """The name and the sizes: "DLinear 28-1, trend of 25 rows"."""
        name = {"none": "Linear model", "last": "NLinear", "standard": "RLinear"}[self.normalise]
        if self.trend is not None:
            name = "DLinear" if self.normalise == "none" else f"DLinear of {name}'s windows"
        sizes = f"{math.prod(self.sizes)}-{len(next(self.parameters()))}"
        return f"{name} {sizes}" + ("" if self.trend is None else f", trend of {self.trend} rows")

    def forward(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N O"]:
        """Predictions (N, O) for inputs (N, D)."""
        x_NFL = x_ND.unflatten(1, self.sizes).mT
        shift_NF1, scale_NF1 = torch.zeros_like(x_NFL[..., :1]), torch.ones_like(x_NFL[..., :1])
        if self.normalise == "last":
            shift_NF1 = x_NFL[..., -1:]
        elif self.normalise == "standard":
            shift_NF1 = x_NFL.mean(-1, keepdim=True)
            scale_NF1 = (x_NFL.var(-1, correction=0, keepdim=True) + EPSILON).sqrt()
        x_NFL = (x_NFL - shift_NF1) / scale_NF1
        if self.trend is None:
            parts = [x_NFL]
        else:
            trend_NFL = moving_average(x_NFL, self.trend)
            parts = [trend_NFL, x_NFL - trend_NFL]
        mapped = [linear(x.mT.flatten(1), W, b) for x, (W, b) in zip(parts, self.maps(), strict=True)]
        q_NO = torch.stack(mapped).sum(0)
        return q_NO * scale_NF1[:, 0] + shift_NF1[:, 0] if self.undo else q_NO

    def maps(self) -> list[tuple[Tensor, Tensor]]:
        """(W, b) of the linear map of each part."""
        tensors = list(self.parameters())
        return list(zip(tensors[::2], tensors[1::2], strict=True))


def moving_average(x_NFL: Float[Tensor, "N F L"], rows: int) -> Float[Tensor, "N F L"]:
    """The mean of the `rows` rows around each row; rows before the window equal its first, rows after it its last."""
    return avg_pool1d(pad(x_NFL, (rows // 2, rows // 2), mode="replicate"), rows, stride=1)


def check_options(window: int, normalise: str, trend: int | None) -> None:
    """Raise `ValueError` for an option outside its range."""
    if normalise not in get_args(Normalise):
        raise ValueError(f"model.normalise={normalise} must be one of {', '.join(get_args(Normalise))}")
    if trend is not None and (not 1 <= trend <= MAX_TREND or trend % 2 == 0):
        raise ValueError(
            f"model.trend={trend} must be an odd number of rows from 1 to {MAX_TREND}, such as 25, or null for no trend"
        )
    if window < 2:
        raise ValueError(
            f"data.window={window}: model=dlinear, nlinear and rlinear need windows of 2 or more rows of a series: use "
            "data.window=28"
        )
