"""Builds a config's module and data."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from steepest.data.batches import Batches
from steepest.data.windows import Windows
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.predictors import Predictor
from steepest.lightning.protocol import Model, model_of
from steepest.runs.build import dtype_of
from steepest.runs.checks import check_choices, loss_name, outputs_of, sizes_of
from steepest.runs.config import Checked, check
from steepest.runs.model_file import MODEL
from steepest.runs.specs import SPECS

SAMPLES = 4  # on which a model's outputs are checked


def build_model(checked: Checked, datamodule: WindowDataModule) -> Model:
    """The config's model for these data; its optimizer is built once here, so that bad values are reported early."""
    windows, groups = datamodule.windows, checked.groups
    check_choices(checked, windows)
    node, sizes, loss = groups["model"], sizes_of(checked, windows), loss_name(checked, windows)
    optimizer, scheduler = groups["optimizer"](), groups.get("scheduler")
    given: dict[str, Any] = {"optimizer": optimizer, "scheduler": scheduler() if scheduler else None}
    own = node.path in SPECS
    taken = given if own else inspect.signature(node.target).parameters
    module = node(**sizes, **{name: value for name, value in given.items() if name in taken})
    batch = datamodule.placed("cpu", dtype_of(checked)).spread("train", SAMPLES)
    all_sizes = {"inputs": windows.inputs, "outputs": outputs_of(checked, windows)}  # whether it takes them or not
    options = dict(module.hparams) if own else all_sizes | sizes | {"loss": loss, MODEL: checked.plain["model"]}
    return model_of(module, (batch.x_ND, batch.y_NH), outputs_of(checked, windows), loss, **given,
                    monitor=checked.run.objective, options=options)  # fmt: skip


def first_batch(config: DictConfig, dtype: torch.dtype, typed: Sequence[str] = ()) -> tuple[Predictor, Tensor, Windows]:
    """A config's model at its initial weights, the origins of its first training batch, and its windows.

    Raises:
        ValueError: for a config or data that cannot be trained.
    """
    checked = check(config, typed=typed)
    datamodule = WindowDataModule(checked.groups["data"](), seed=checked.run.seed)
    datamodule.setup()
    predictor, dataset = build_model(checked, datamodule).module, datamodule.dataset
    if not isinstance(predictor, Predictor):
        raise ValueError(f"{type(predictor).__name__} has no hand-derived gradients: use model=mlp or model=linear")
    windows, seed = datamodule.placed("cpu", dtype), checked.run.seed if dataset.shuffle else None
    batches = Batches(windows, "train", dataset.batch_size, seed=seed, one_batch=dataset.one_batch)
    return predictor.to(dtype=dtype), batches.order()[: batches.size], windows
