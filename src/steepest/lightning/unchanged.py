"""Keeps a caller's process as it was, while a run uses its global state: random numbers, logs, signals, Hydra."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig

from steepest.lightning.quiet import tame_lightning
from steepest.runs.environment import MaskedFormatter
from steepest.runs.hydra_internals import unpatched
from steepest.runs.process import remember_interrupts

LOGGERS = ("steepest", "lightning", "pytorch_lightning", "lightning_fabric", "py.warnings")
TAMED = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.trainer.connectors.checkpoint_connector")
FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] %(message)s"  # as in conf/hydra/job_logging/steepest.yaml


@contextmanager
def unchanged_process() -> Iterator[None]:
    """Restore the process's global state at the end: what a run changes in it concerns only the run."""
    with ExitStack() as stack:
        for kept in (_environment, _random_numbers, _torch, _signals, _warnings, unpatched, _hydra):
            stack.enter_context(kept())
        yield


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Send the messages of a run to a file, and none to the caller's logs or the screen."""
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(MaskedFormatter(FORMAT))
    loggers = [logging.getLogger(name) for name in (*LOGGERS, *TAMED)]
    before = [(one, one.handlers[:], one.propagate, one.level) for one in loggers]
    try:
        tame_lightning()
        for one in loggers[: len(LOGGERS)]:
            one.handlers[:], one.propagate = [handler], False
        logging.getLogger("steepest").setLevel(logging.INFO)
        yield
    finally:
        for one, handlers, propagate, level in before:
            one.handlers[:], one.propagate = handlers, propagate
            one.setLevel(level)
        handler.close()


@contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _random_numbers() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # the caller may use it
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def _torch() -> Iterator[None]:
    threads = torch.get_num_threads()
    exact = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact[0], warn_only=exact[1])
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn


@contextmanager
def _signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread can change them
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        remember_interrupts()
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _warnings() -> Iterator[None]:
    """Restore the filters, and whether warnings go to the logs."""
    shown = warnings.showwarning
    logging.captureWarnings(True)
    captured_before = warnings.showwarning is shown
    try:
        with warnings.catch_warnings():
            yield
    finally:
        if not captured_before:
            logging.captureWarnings(False)


@contextmanager
def _hydra() -> Iterator[None]:
    """Hide the config of a caller that is a Hydra app itself."""
    state = HydraConfig.instance()
    before, state.cfg = state.cfg, None
    try:
        yield
    finally:
        state.cfg = before
