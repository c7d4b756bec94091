"""Prints the table of docs/determinism.md from pairs of runs: `python -m tests.campaign.numbers`.

It compares the parameters in the last checkpoints of two runs, and the scores of every epoch.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from .forked import ROOT, call, train, warm

BASE = ("data=random_walk", "data.rows=800", "stop.epochs=8", "callbacks=none", "logger=none")
NET, LINE = ("model=mlp_manual", "model.hidden=[16,16]"), ("model=linear_manual",)
DOUBLE, TEXTBOOK = ("trainer.precision=64-true",), ("model.engine=textbook",)
DDP = ("trainer.strategy=ddp",)
PAIRS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "the same command twice, the line": (LINE, LINE),
    "the same command twice, a net": (NET, NET),
    "the same command twice, a net by autograd": (("model=mlp",), ("model=mlp",)),
    "`threads=1` and `threads=2`, kernel": (NET, (*NET, "threads=2")),
    "`threads=1` and `threads=2`, autograd": (("model=mlp",), ("model=mlp", "threads=2")),
    "kernel and textbook, single precision": (NET, (*NET, *TEXTBOOK)),
    "kernel and textbook, double precision": ((*NET, *DOUBLE), (*NET, *DOUBLE, *TEXTBOOK)),
    "textbook and autograd, double precision": (
        (*NET, *DOUBLE, *TEXTBOOK), ("model=mlp", "model.hidden=[16,16]", *DOUBLE),
    ),
    "alone, and a job of `hydra/launcher=threads`": (NET, ("-m", *NET, "hydra/launcher=threads", "seed=0,1")),
    "alone, and a job of the basic launcher": (NET, ("-m", *NET, "seed=0,1")),
    "uninterrupted, and stopped after 3 epochs and resumed": (NET, (*NET, "stop.epochs=3")),
    "the same, by autograd": (("model=mlp",), ("model=mlp", "stop.epochs=3")),
    "1 process, and DDP with 2, double precision": (
        (*NET, *DOUBLE, *TEXTBOOK), (*NET, *DOUBLE, *TEXTBOOK, *DDP, "trainer.devices=2"),
    ),
    "1 process, and DDP with 4, double precision": (
        (*NET, *DOUBLE, *TEXTBOOK), (*NET, *DOUBLE, *TEXTBOOK, *DDP, "trainer.devices=4"),
    ),
    "DDP with 2 processes twice, single precision": (
        (*NET, *DDP, "trainer.devices=2"), (*NET, *DDP, "trainer.devices=2"),
    ),
}  # fmt: skip
if torch.cuda.is_available():
    ON_GPU, AUTOGRAD_ON_GPU = (*NET, *TEXTBOOK, "trainer=gpu"), ("model=mlp", "trainer=gpu")
    PAIRS |= {
        "the same command twice, a net on a GPU": (ON_GPU, ON_GPU),
        "the same command twice, a net by autograd on a GPU": (AUTOGRAD_ON_GPU, AUTOGRAD_ON_GPU),
        "uninterrupted, and stopped after 3 epochs and resumed, on a GPU": (ON_GPU, (*ON_GPU, "stop.epochs=3")),
        "the same, by autograd on a GPU": (AUTOGRAD_ON_GPU, (*AUTOGRAD_ON_GPU, "stop.epochs=3")),
        "CPU and GPU, single precision": ((*NET, *TEXTBOOK), ON_GPU),
        "CPU and GPU, double precision": ((*NET, *TEXTBOOK, *DOUBLE), (*ON_GPU, *DOUBLE)),
    }


def numbers(words: tuple[str, ...], folder: Path) -> list[float]:
    """Return all parameters at the end of a run, and the scores of every epoch."""
    where = "hydra.sweep.dir=r" if "-m" in words else "hydra.run.dir=r"
    commands = [(*words[:1], *BASE, *words[1:], where)]
    if "stop.epochs=3" in words:
        commands.append(("resume=r", "stop.epochs=8"))
    for command in commands:
        if DDP[0] in words or torch.cuda.is_available():  # DDP starts this program again; CUDA cannot be used in a fork
            line = [sys.executable, str(ROOT / "train.py"), *command]
            subprocess.run(line, cwd=folder, capture_output=True, check=True, timeout=900)
        else:
            ended = call(train(*command), folder, patience=200)
            assert ended.code == 0, ended.text
    last = folder / "r" / ("0" if "-m" in words else "") / "checkpoints" / "last.ckpt"
    kept = torch.load(last, weights_only=True)
    weights = torch.cat([value.flatten().double() for value in kept["state_dict"].values()]).tolist()
    return weights + [score for row in kept["callbacks"]["steepest"]["history"] for score in row.values()]


def rows(words: list[str]) -> Iterator[str]:
    """Yield the lines of the table. With words, only lines that contain one of them."""
    yield "| two runs | difference |"
    yield "|---|---|"
    for name, pair in PAIRS.items():
        if words and not any(word in name for word in words):
            continue
        found = []
        for command in pair:
            with tempfile.TemporaryDirectory() as folder:
                found.append(numbers(command, Path(folder)))
        one, other = found
        assert len(one) == len(other), name
        gap = max(abs(a - b) / max(abs(a), 1e-3) for a, b in zip(one, other, strict=True))
        power = math.ceil(math.log10(gap)) if gap else 0
        yield f"| {name} | {f'below 1e{power}' if gap else 'none: bit for bit'} |"


if __name__ == "__main__":
    warm()
    for line in rows(sys.argv[1:]):
        print(line, flush=True)
