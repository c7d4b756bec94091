"""Checks that a config's numbers fit the precision, 64 bits and this machine. This module does not import torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

from steepest.data.faults import Faults
from steepest.runs.process import PER_CORE, cores, processes
from steepest.runs.values import shown

if TYPE_CHECKING:
    from steepest.runs.config import Node, Run

LARGEST_SINGLE = 3.4028234663852886e38
LARGEST_INTEGER = 2**63 - 1  # of 64 bits
STARTERS = ("MASTER_ADDR", "SLURM_JOB_ID")  # set by launchers of multi-node runs


def integers(value: Any, where: str = "") -> Iterator[tuple[str, int]]:
    """Yield every integer of a config with its key."""
    if isinstance(value, int):
        yield where, value
    elif isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            place = f"{where}[{key}]" if isinstance(value, list) else f"{where}.{key}" if where else str(key)
            yield from integers(entry, place)


def check_range(run: Run, groups: dict[str, Any], faults: Faults) -> None:
    """Check that numbers fit the precision, logger names are folder names, and the machine has enough cores."""
    trainer: Node = groups["trainer"]
    if trainer.arguments.get("precision", "32-true") != "64-true":
        for group in ("model", "optimizer", "scheduler", "trainer"):
            for key, value in (groups[group].arguments if groups[group] else {}).items():
                numbers = value if isinstance(value, list | tuple) else [value]
                if any(isinstance(n, int | float) and abs(n) > LARGEST_SINGLE for n in numbers):
                    faults.add(
                        f"{group}.{key}={shown(value)} is above {LARGEST_SINGLE:.6g}, the largest number of 32-bit "
                        "precision: lower it, or use trainer.precision=64-true"
                    )
    for (name, node), key in product(groups["logger"].items(), ("name", "version")):
        value = node.arguments.get(key)
        if isinstance(value, str) and ("/" in value or value in (".", "..")):
            faults.add(f"logger.{name}.{key}={shown(value)} must be a folder name without / and ..")
    nodes = trainer.arguments.get("num_nodes", 1)
    if nodes != 1 and not any(name in os.environ for name in STARTERS):
        faults.add(f"trainer.num_nodes={nodes} would wait for other machines: start the run with torchrun or Slurm")
    started = {"threads": run.threads, "trainer.devices": processes(trainer.arguments)}
    for key, number in started.items():
        if number > PER_CORE * cores():
            faults.add(f"{key} starts {number}, but the limit is {PER_CORE * cores()} ({PER_CORE} per core): lower it")
