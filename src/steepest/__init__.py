"""steepest: choose a function, define its loss, descend its gradient.

Each public name is imported when it is first used: `import steepest` loads nothing else, so `python train.py --help`
stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steepest.api import RunFailed, run
    from steepest.course.lesson import Finding
    from steepest.data.files import check_prices, read_prices, read_table
    from steepest.data.formulas import Curve, Line, Rings, Sigmoid, made_rows
    from steepest.data.sources import (
        PriceFile,
        PriceFrame,
        RandomWalk,
        RowData,
        SeriesData,
        ShippedPrices,
        Table,
        YahooPrices,
    )
    from steepest.evaluate.metrics import direction_metrics, value_metrics
    from steepest.evaluate.own import Baseline, Metric
    from steepest.lightning.datamodule import WindowDataModule
    from steepest.lightning.manual import ManualPredictor
    from steepest.lightning.predictors import LinearPredictor, MLPPredictor, WindowPredictor
    from steepest.lightning.protocol import check_model
    from steepest.nets.activations import Activation
    from steepest.nets.losses import Loss, cross_entropy, huber, mae, mse, quantile
    from steepest.nets.networks import MLP, Linear
    from steepest.nets.window_linear import WindowLinear
    from steepest.observe.instrument import Instrument, View
    from steepest.runs.stops import EpochEnd, Epochs
    from steepest.runs.trained import Run, load

_MODULE_OF = {
    name: f"steepest.{module}"
    for module, names in {
        "api": ("RunFailed", "run"),
        "course.lesson": ("Finding",),
        "data.files": ("check_prices", "read_prices", "read_table"),
        "data.formulas": ("Curve", "Line", "Rings", "Sigmoid", "made_rows"),
        "data.sources": (
            "PriceFile",
            "PriceFrame",
            "RandomWalk",
            "RowData",
            "SeriesData",
            "ShippedPrices",
            "Table",
            "YahooPrices",
        ),
        "evaluate.own": ("Baseline", "Metric"),
        "evaluate.metrics": ("direction_metrics", "value_metrics"),
        "lightning.datamodule": ("WindowDataModule",),
        "lightning.manual": ("ManualPredictor",),
        "lightning.predictors": ("LinearPredictor", "MLPPredictor", "WindowPredictor"),
        "lightning.protocol": ("check_model",),
        "nets.activations": ("Activation",),
        "nets.losses": ("Loss", "cross_entropy", "huber", "mae", "mse", "quantile"),
        "nets.networks": ("MLP", "Linear"),
        "nets.window_linear": ("WindowLinear",),
        "observe.instrument": ("Instrument", "View"),
        "runs.stops": ("EpochEnd", "Epochs"),
        "runs.trained": ("Run", "load"),
    }.items()
    for name in names
}

__all__ = [  # noqa: RUF022  # by room, as above
    "check_prices", "read_prices", "read_table", "Curve", "Line", "Rings", "Sigmoid", "made_rows", "PriceFile",
    "PriceFrame", "RandomWalk", "RowData", "SeriesData", "ShippedPrices", "Table", "YahooPrices", "Baseline", "Metric",
    "direction_metrics",
    "value_metrics", "WindowDataModule", "ManualPredictor", "LinearPredictor", "MLPPredictor", "WindowPredictor",
    "check_model", "Loss", "Activation", "cross_entropy", "huber", "mae", "mse", "quantile", "MLP", "Linear",
    "WindowLinear", "Instrument", "View", "EpochEnd", "Epochs", "Run", "load", "run", "RunFailed", "runs", "sweep",
    "Finding",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    if name in ("runs", "sweep"):  # packages that are functions, too
        return importlib.import_module(f"steepest.{name}")
    raise AttributeError(f"module 'steepest' has no attribute '{name}'")
