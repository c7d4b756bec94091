"""Quotes printed commands so that users can paste them into a shell. This module does not import torch.

Three programs parse a value on its way into the config: the shell, Hydra's override grammar, and OmegaConf, which
resolves ``${...}``. Each needs its own quoting.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from steepest.data.home import TRAIN
from steepest.runs.untrusted import refused_overrides

# A path or a word without special characters of Hydra's grammar.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = {"null", "true", "false", "nan", "inf"}  # Hydra reads these as values of other types


def hydra_quoted(text: str) -> str:
    """A text as a value in Hydra's override grammar, quoted only if necessary."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    # OmegaConf: a backslash before ${ makes it plain text, and the backslashes before that one are doubled.
    text = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)
    # Hydra: a quote needs a backslash, and the backslashes before a quote or the closing quote are doubled.
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + (r"\'" if found[2] else ""), text) + "'"


def train_command(overrides: Iterable[str]) -> str:
    """The shell command that runs `train.py` with these overrides, which are in Hydra's grammar."""
    return shlex.join([*TRAIN, *overrides])


def resume_run_command(folder: Path | str) -> str:
    """The shell command that continues one run."""
    return train_command([f"resume={hydra_quoted(str(folder))}"])


def resume_sweep_command(folder: Path | str, overrides: Iterable[str] = ()) -> str:
    """Return the shell command that continues a sweep.

    Args:
        folder: the sweep's folder.
        overrides: the overrides with which it was started. The command repeats those that a file must not set.
    """
    text = str(folder)
    words = [f"./{text}" if text.startswith("-") else text, *refused_overrides(overrides)]
    return shlex.join(["steepest", "resume", *words])
