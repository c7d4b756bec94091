"""Trains a config in memory with a Trainer, for the look-ahead audit of models that the engine cannot train."""

from __future__ import annotations

from steepest.data.windows import Windows
from steepest.evaluate.scoring import part_scorers
from steepest.lightning.in_memory import train_in_memory
from steepest.runs.config import Checked
from steepest.runs.lookahead.training import Fit, History, fit_of
from steepest.runs.process import processes


def fit_with_trainer(checked: Checked, windows: Windows) -> Fit:
    """Train a config with a Trainer, as `fit_with_kernel` does without one.

    Raises:
        ValueError: if the data do not fit the config, the config does not train in one process on the CPU, or the
            training fails.
    """
    options = checked.groups["trainer"].arguments
    if options.get("accelerator") != "cpu" or processes(options) > 1:
        raise ValueError(
            f"trainer.accelerator={options.get('accelerator')} trainer.devices={options.get('devices')}: the audit "
            "compares trainings bit for bit, in one process on the CPU: use trainer=cpu"
        )
    history = History()
    _, tracker, status, reason = train_in_memory(checked, windows, part_scorers, instruments={"history": history})
    if status != "finished" or tracker is None:
        raise ValueError(f"the training failed, so there is nothing to audit: {reason}")
    return fit_of(tracker, history)
