"""What Lightning writes into a checkpoint beside parameters: as plain data, so that it need not be imported for it.

`template.json` holds it for one version of Lightning, and `python -m steepest.sweep.batched.template` makes it anew for
the one that is installed. Where another one is installed, that one is asked.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch

from steepest.evaluate.names import better

FILE = Path(__file__).with_name("template.json")
SCORES = {"min": "loss", "max": "skill"}  # one for each way of being better, whose name is put in
VERSION = importlib.metadata.version("lightning")


@cache
def template() -> dict[str, Any]:
    """Of the version of Lightning that is installed: ``version``, ``loops``, ``best``."""
    return _kept() if is_known() else asked()


def is_known() -> bool:
    """Whether the file is of the version that is installed."""
    return _kept()["version"] == VERSION


@cache
def _kept() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def asked() -> dict[str, Any]:
    """The same, from Lightning itself: the state of a Trainer's loops before training, and of `BestCheckpoint`."""
    from lightning.pytorch import Trainer

    from steepest.lightning.checkpoints import BestCheckpoint

    trainer = Trainer(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, max_epochs=1)
    best = {}
    for mode, score in SCORES.items():
        callback = BestCheckpoint(Path("checkpoints"), score, mode)  # type: ignore[arg-type]
        state = callback.state_dict()
        best[mode] = {
            "key": callback.state_key,
            "state": state | {"dirpath": "", "kth_value": state["kth_value"].item()},
        }
    loops = trainer._checkpoint_connector._get_loops_state_dict()
    return {"version": VERSION, "loops": loops, "best": best}


def best_checkpoint(folder: Path, objective: str) -> tuple[str, dict[str, Any]]:
    """By which key a checkpoint keeps the state of `BestCheckpoint`, and that state before training."""
    mode = better(objective)
    kept = template()["best"][mode]
    own = {
        "monitor": objective,
        "dirpath": os.path.realpath(folder.expanduser()),
        "kth_value": torch.tensor(kept["state"]["kth_value"]),
        "best_k_models": {},
    }
    return kept["key"].replace(repr(SCORES[mode]), repr(objective)), kept["state"] | own


if __name__ == "__main__":
    FILE.write_text(json.dumps(asked(), indent=1) + "\n")
