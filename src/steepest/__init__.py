"""steepest: choose a function, define its loss, descend its gradient.

The public names are imported when they are first used: `import steepest` costs nothing, which keeps
`python train.py --help` fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steepest.data.files import read_prices, read_table
    from steepest.data.formulas import Curve, Line, Rings, Sigmoid
    from steepest.data.sources import (
        PriceFile,
        RandomWalk,
        ShippedPrices,
        Table,
        YahooPrices,
    )
    from steepest.evaluate.metrics import direction_metrics, value_metrics
    from steepest.lightning.datamodule import WindowDataModule
    from steepest.lightning.manual import ManualPredictor
    from steepest.lightning.predictors import LinearPredictor, MLPPredictor
    from steepest.nets.losses import cross_entropy, huber, mae, mse
    from steepest.nets.networks import MLP, Linear

_HOMES = {
    "steepest.lightning.datamodule": ["WindowDataModule"],
    "steepest.data.files": ["read_prices", "read_table"],
    "steepest.data.formulas": ["Curve", "Line", "Rings", "Sigmoid"],
    "steepest.data.sources": [
        "PriceFile",
        "RandomWalk",
        "ShippedPrices",
        "Table",
        "YahooPrices",
    ],
    "steepest.evaluate.metrics": ["direction_metrics", "value_metrics"],
    "steepest.nets.losses": ["cross_entropy", "huber", "mae", "mse"],
    "steepest.lightning.manual": ["ManualPredictor"],
    "steepest.nets.networks": ["MLP", "Linear"],
    "steepest.lightning.predictors": ["LinearPredictor", "MLPPredictor"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022  # by room, in reading order
    "read_prices",
    "read_table",
    "Curve",
    "Line",
    "PriceFile",
    "RandomWalk",
    "Rings",
    "ShippedPrices",
    "Sigmoid",
    "Table",
    "YahooPrices",
    "WindowDataModule",
    "Linear",
    "MLP",
    "cross_entropy",
    "huber",
    "mae",
    "mse",
    "LinearPredictor",
    "MLPPredictor",
    "ManualPredictor",
    "direction_metrics",
    "value_metrics",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'steepest' has no attribute '{name}'")
