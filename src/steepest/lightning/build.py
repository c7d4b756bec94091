"""Builds a config's module and data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor

from steepest.data.batches import Batches
from steepest.data.windows import Windows
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.predictors import Predictor
from steepest.runs.checks import check_choices, sizes_of
from steepest.runs.config import Checked, check


def build_model(checked: Checked, datamodule: WindowDataModule) -> Predictor:
    """The config's model for these data; its optimizer is built once here, so that bad values are reported early."""
    windows, groups = datamodule.windows, checked.groups
    check_choices(checked, windows)
    scheduler = groups.get("scheduler")
    predictor = groups["model"](
        **sizes_of(checked, windows),
        optimizer=groups["optimizer"](),
        scheduler=scheduler() if scheduler else None,
    )
    predictor.monitor = checked.run.objective
    try:
        predictor.configure_optimizers()
    except ValueError as error:
        raise ValueError(f"optimizer: {error}") from error
    return predictor


def first_batch(config: DictConfig, dtype: torch.dtype, typed: Sequence[str] = ()) -> tuple[Predictor, Tensor, Windows]:
    """A config's model at its initial weights, the origins of its first training batch, and its windows.

    Raises:
        ValueError: for a config or data that cannot be trained.
    """
    checked = check(config, typed=typed)
    datamodule = WindowDataModule(checked.groups["data"](), seed=checked.run.seed)
    datamodule.setup()
    predictor, dataset = build_model(checked, datamodule), datamodule.dataset
    windows, seed = datamodule.placed("cpu", dtype), checked.run.seed if dataset.shuffle else None
    batches = Batches(windows, "train", dataset.batch_size, seed=seed, one_batch=dataset.one_batch)
    return predictor.to(dtype=dtype), batches.order()[: batches.size], windows
