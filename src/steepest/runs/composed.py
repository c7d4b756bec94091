"""Composes the config of `train.py` for other commands with the same overrides, and completes overrides for shells.

This module does not import torch.
"""

from __future__ import annotations

import re

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from steepest.runs import defaults  # noqa: F401  # registers the resolvers of conf/data
from steepest.runs.conf import conf_folder
from steepest.runs.hydra_internals import completions
from steepest.runs.trust import guard_hydra

_ENTRY = re.compile(r"(.+)\.\d+[=.]")  # an entry of a list, such as model.hidden.0=


def composed(overrides: list[str]) -> DictConfig:
    """Return the config of `train.py` with these overrides, without the `hydra` node."""
    guard_hydra()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("train", overrides)


def completed_override(words: list[str]) -> list[str]:
    """Return the overrides that start with the last of these words.

    Args:
        words: the overrides of a command line. The last one is incomplete, or empty.
    """
    *others, word = words
    guard_hydra()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        given = [other for other in others if not other.startswith("-")]
        found = completions("train", [*given, word])
        # A shell adds a space after the only completion, so this one must be complete.
        while len(found) == 1 and found[0] != word and found[0].endswith(("=", ".", "/")):
            found, word = completions("train", [*given, found[0]]) or found, found[0]
    if found and all(_ENTRY.match(one) for one in found):  # an override sets a whole list, not its entries
        key = _ENTRY.match(found[0])[1]  # type: ignore[index]
        return [f"{key}=[", f"{key}=[]"]
    return found
