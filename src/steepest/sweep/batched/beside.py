"""The process in which jobs are trained, beside the sweep's own: it imports PyTorch while that one composes and plans.

No torch here, nor wherever a sweep's own process passes: what takes a second is done once, where it is needed.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Sequence
from multiprocessing import connection
from typing import TYPE_CHECKING

from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig

from steepest.sweep.batched.outcomes import Outcome, of_killed
from steepest.entry import tame_warnings
from steepest.runs.process import end_with

if TYPE_CHECKING:
    from steepest.sweep.batched.plan import Job

Running = tuple[multiprocessing.process.BaseProcess, connection.Connection]  # a process, and the pipe to it
_begun: Running | None = None  # nobody's yet
BATCHED = "hydra/launcher=batched"


def begin(words: Sequence[str]) -> None:
    """Let a process begin to import as soon as a command's words say that it will be wanted, before Hydra reads them.

    It is a guess: of a sweep whose launcher is named in a file, the process begins with `Beside.start`.
    """
    global _begun
    wanted = BATCHED in words and not {"-m", "--multirun"}.isdisjoint(words)
    if wanted and "sweep.dry_run=true" not in words and _begun is None:
        _begun = _fork()
        atexit.register(_end_begun)


def _end_begun() -> None:
    if (running := _taken()) is not None:
        _end(running)


def _taken() -> Running | None:
    global _begun
    running, _begun = _begun, None
    return running


def _fork() -> Running | None:
    """A process that imports, then trains what it is told; None where processes cannot be forked."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("fork")
    pipe, theirs = context.Pipe()
    # No daemon in Python's sense, for those may not have processes of their own.
    process = context.Process(target=_serve, args=(theirs, os.getpid()))
    process.start()
    theirs.close()  # so that its end ends what comes from it
    return process, pipe


def _end(running: Running) -> None:
    process, pipe = running
    process.terminate()
    process.join()
    pipe.close()


class Beside:
    """A process that trains what it is given, until this one ends.

    Args:
        config: the sweep's.
        workers, at_once: as for `pool.Pool`.

    Attributes:
        running: it; None where there is none.
    """

    def __init__(self, config: DictConfig, workers: int | None, at_once: int | None) -> None:
        self.asked = config, workers, at_once
        self.running: Running | None = None

    def start(self) -> None:
        """Let it begin to import, if it has not; where processes cannot be forked there is none."""
        if self.running is None:
            self.running = _taken() or _fork()
            atexit.register(self.end)

    def train(self, kinds: Sequence[Sequence[Job]]) -> list[Outcome]:
        """Train the jobs of these kinds: what `Pool.train` returns, or raises."""
        self.start()
        if self.running is None:
            return _train(*self.asked, kinds)
        process, pipe = self.running
        try:
            pipe.send((*self.asked, kinds))
            answer = pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return self._after_its_end(process, kinds)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _after_its_end(
        self, process: multiprocessing.process.BaseProcess, kinds: Sequence[Sequence[Job]]
    ) -> list[Outcome]:
        process.join()
        outcome, untouched = of_killed([job for jobs in kinds for job in jobs], process.exitcode)
        self.end()
        numbers = {job.number for job in untouched}
        left = [[job for job in jobs if job.number in numbers] for jobs in kinds]
        return [outcome, *(self.train([jobs for jobs in left if jobs]) if numbers else [])]

    def end(self) -> None:
        """End it, whatever it does."""
        if self.running is not None:
            atexit.unregister(self.end)
            _end(self.running)
            self.running = None


def _train(
    config: DictConfig, workers: int | None, at_once: int | None, kinds: Sequence[Sequence[Job]]
) -> list[Outcome]:
    from steepest.sweep.batched.pool import Pool

    return Pool(config, workers, at_once).train(kinds)


def _serve(pipe: connection.Connection, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep's own process is asked by it, and ends this one
    end_with(parent)
    setup_globals()
    tame_warnings()
    gc.disable()  # imports make much, and leave next to nothing to be collected
    importlib.import_module("steepest.sweep.batched.pool")
    gc.freeze()
    gc.enable()
    while True:
        config, workers, at_once, kinds = pipe.recv()
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        answer: list[Outcome] | Exception
        try:
            answer = _train(config, workers, at_once, kinds)
        except Exception as error:  # whatever it is: the sweep's own process says it
            error.add_note(traceback.format_exc())
            answer = _to_send(error)
        pipe.send(answer)


def _to_send(error: Exception) -> Exception:
    """An error as it can pass between processes."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:  # what an error keeps, and what makes it anew, can be anything
        return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
