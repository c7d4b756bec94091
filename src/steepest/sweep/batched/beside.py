"""The process in which jobs are trained, beside the sweep's own: it imports PyTorch while that one composes and plans.

No torch here, nor wherever a sweep's own process passes: what takes a second is done once, where it is needed.
"""

from __future__ import annotations

import atexit
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
from steepest.training.entry import tame_warnings
from steepest.training.process import end_with

if TYPE_CHECKING:
    from steepest.sweep.batched.plan import Job
    from steepest.sweep.batched.pool import Pool


class Beside:
    """A process that trains what it is given, until this one ends.

    Args:
        config: the sweep's.
        workers, at_once: as for `pool.Pool`.
    """

    def __init__(self, config: DictConfig, workers: int | None, at_once: int | None) -> None:
        self.asked = config, workers, at_once
        self.process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        """Let it begin to import; where processes cannot be forked there is none."""
        if self.process is not None or "fork" not in multiprocessing.get_all_start_methods():
            return
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        # No daemon in Python's sense, for those may not have processes of their own.
        self.process = context.Process(target=_serve, args=(*self.asked, theirs, os.getpid()))
        self.process.start()
        theirs.close()  # so that its end ends what comes from it
        atexit.register(self.end)

    def train(self, kinds: Sequence[Sequence[Job]]) -> list[Outcome]:
        """Train the jobs of these kinds: what `Pool.train` returns, or raises."""
        self.start()
        if self.process is None:
            return _pool(*self.asked).train(kinds)
        try:
            self.pipe.send(kinds)
            answer = self.pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return self._after_its_end(kinds)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _after_its_end(self, kinds: Sequence[Sequence[Job]]) -> list[Outcome]:
        assert self.process is not None, "it was started"
        self.process.join()
        outcome, untouched = of_killed([job for jobs in kinds for job in jobs], self.process.exitcode)
        self.end()
        numbers = {job.number for job in untouched}
        left = [[job for job in jobs if job.number in numbers] for jobs in kinds]
        return [outcome, *(self.train([jobs for jobs in left if jobs]) if numbers else [])]

    def end(self) -> None:
        """End it, whatever it does."""
        if self.process is not None:
            atexit.unregister(self.end)
            self.process.terminate()
            self.process.join()
            self.pipe.close()
            self.process = None


def _pool(config: DictConfig, workers: int | None, at_once: int | None) -> Pool:
    from steepest.sweep.batched.pool import Pool

    return Pool(config, workers, at_once)


def _serve(
    config: DictConfig, workers: int | None, at_once: int | None, pipe: connection.Connection, parent: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep's own process is asked by it, and ends this one
    end_with(parent)
    setup_globals()
    tame_warnings()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    pool = _pool(config, workers, at_once)
    while True:
        kinds = pipe.recv()
        answer: list[Outcome] | Exception
        try:
            answer = pool.train(kinds)
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
