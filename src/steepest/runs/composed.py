"""Composes the config of `train.py` for other commands with the same overrides. This module does not import torch."""

from __future__ import annotations

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from steepest.runs.conf import conf_folder
from steepest.runs.trust import guard_hydra


def composed(overrides: list[str]) -> DictConfig:
    """Return the config of `train.py` with these overrides, without the `hydra` node."""
    guard_hydra()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("train", overrides)
