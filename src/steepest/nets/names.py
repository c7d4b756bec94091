"""What `model.loss` and `model.activation` can be called. No torch: configs are checked without it."""

from __future__ import annotations

from typing import Literal

LossName = Literal["mse", "mae", "huber", "cross_entropy"]
ActivationName = Literal["sigmoid", "relu", "tanh", "hard_sigmoid", "identity"]
