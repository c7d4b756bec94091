"""Runs and sweeps from Python: `steepest.run`, `steepest.sweep`. They do what `train.py` does, and print nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf, open_dict

from steepest.data.prices.table import arrow_of
from steepest.evaluate.terminal import terminal
from steepest.runs.claim import claim_run
from steepest.runs.composed import composed
from steepest.runs.conf import program
from steepest.runs.config import check
from steepest.runs.errors import BAD_INPUT, INTERRUPTED, exit_code, explain
from steepest.runs.files import unfinished
from steepest.runs.keywords import typed_overrides, varied_overrides
from steepest.runs.names import check_name, named_folder
from steepest.runs.process import PARENT, processes
from steepest.runs.quoting import hydra_quoted
from steepest.runs.trained import Run
from steepest.sweep.ended import Sweep

FRAME, LOG = "data.parquet", "train.log"  # files in the folder of a run or a sweep
_one_at_a_time = threading.Lock()  # a run uses the random numbers, the logs and the signals of the whole process


class RunFailed(RuntimeError):
    """A run that diverged, or whose objective was never finite. Its record is in `folder`."""

    def __init__(self, message: str, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


def run(
    overrides: Iterable[str] | None = None,
    /,
    *,
    data: Any = None,
    folder: str | Path | None = None,
    trust: Iterable[str] = (),
    progress: bool | None = None,
    **options: Any,
) -> Run:
    """Train, evaluate and record one run, as ``train.py`` does.

    The random numbers, logs, warnings, signals and threads of the caller are the same afterwards.

    Args:
        overrides: as for ``train.py``: ``["model=mlp", "data.window=28"]``.
        data: a choice of the group ``data``, such as ``"sp500"``; a `Path` of a price file; or a pandas, polars or
            pyarrow frame of prices. The run's folder then contains the frame as data.parquet.
        folder: the run's folder; None: ``outputs/NAME`` with ``name=NAME``, otherwise a new folder in ``outputs/runs``.
        trust: packages whose classes the config may name.
        progress: whether to show a progress bar; None: only in notebooks.
        options: groups and keys: ``model="mlp"``, ``window=28`` for ``data.window=28``. A key that several groups have
            needs its full name, with ``__`` in place of the dot.

    Raises:
        ValueError: for options or data that cannot be used, with the message of ``train.py``. No folder is left.
        RunFailed: if the training diverged, or the objective was never finite.
    """
    # Imported before the state is kept, because importing Lightning changes it.
    from steepest.lightning.run import run as train
    from steepest.lightning.unchanged import logged_to, unchanged_process

    shown = terminal().is_jupyter if progress is None else progress
    with _one_at_a_time, _errors_of_the_command(), unchanged_process():
        given = _given(overrides, data, trust, options)
        _refuse_hydra(given)
        config = composed(given)
        if config.resume:
            home = Path(str(config.resume))
            _train_elsewhere(given, home)
            return Run(home, list(config.trust))
        home = _home(config, folder, "runs")
        given = _with_frame(given, data, home)
        config = composed(given)
        check(config, typed=given)
        with claim_run(home) as claim:
            try:
                _write_frame(data, home)
                if processes(config.trainer) > 1:
                    claim.release()
                    _train_elsewhere([word for word in given if not word.startswith("name=")], home)
                    return Run(home, list(config.trust))
                if not shown and isinstance(config.callbacks, DictConfig):
                    with open_dict(config):
                        config.callbacks.pop("progress", None)
                with logged_to(home / LOG):
                    outcome = train(config, home, given)
            except Exception as error:
                if exit_code(error) == BAD_INPUT:
                    claim.remove_refused(LOG, FRAME)
                raise
        if outcome.metrics["status"] == "stopped":
            raise KeyboardInterrupt
        if outcome.metrics["status"] == "failed":
            raise RunFailed(f"The run failed: {outcome.metrics['stop_reason']}. Its record is in {home}", home)
        return Run(home, list(config.trust))


def sweep(
    varied: Mapping[str, Any],
    overrides: Iterable[str] | None = None,
    /,
    *,
    data: Any = None,
    folder: str | Path | None = None,
    trust: Iterable[str] = (),
    **options: Any,
) -> Sweep:
    """Train a run for each combination of values, as ``train.py -m`` does, in another process.

    Args:
        varied: key -> values: ``{"model.hidden": [[8], [16]], "seed": range(3)}``. Keys as for the options of `run`.
        overrides: for all jobs, as for ``train.py -m``: ``["hydra/launcher=threads"]``.
        data: as for `run`.
        folder: the sweep's folder; None: ``outputs/NAME`` with ``name=NAME``, otherwise a new one in outputs/sweeps.
        trust: as for `run`.
        options: as for `run`.

    Returns:
        The sweep. Jobs that failed are rows of its results, with the status and the reason.

    Raises:
        ValueError: for options or data that cannot be used, with the message of ``train.py``.
    """
    from steepest.lightning.unchanged import unchanged_process

    with _one_at_a_time, _errors_of_the_command(), unchanged_process():
        given = _given(overrides, data, trust, options)
        task = [word for word in given if not word.startswith("hydra")]
        home = _home(composed(task), folder, "sweeps")
        given = [word for word in _with_frame(given, data, home) if not word.startswith("name=")]
        words = varied_overrides(_with_frame(task, data, home), varied)
        new = not home.exists()
        try:
            _write_frame(data, home)
            _command(["-m", *given, *words, f"hydra.sweep.dir={hydra_quoted(str(home))}"])
        except ValueError:
            if new:
                shutil.rmtree(home, ignore_errors=True)
            raise
        except RuntimeError:
            if not (home / "results.csv").exists():
                raise
    return Sweep(home, trust)


def _given(overrides: Iterable[str] | None, data: Any, trust: Iterable[str], options: Mapping[str, Any]) -> list[str]:
    """The overrides of all arguments, except for a frame."""
    if isinstance(overrides, str):
        raise ValueError(f"{overrides}: give a list of overrides, such as ['model=mlp', 'seed=1']")
    first = list(overrides or ())
    if isinstance(data, str):
        first.append(f"data={data}")
    elif data is not None:
        first.append("data=csv")
        if isinstance(data, Path):
            first.append(f"data.path={hydra_quoted(str(data))}")
    if packages := [trust] if isinstance(trust, str) else list(trust):
        first.append(f"trust=[{','.join(packages)}]")
    return typed_overrides(first, options)


def _is_frame(data: Any) -> bool:
    return data is not None and not isinstance(data, str | Path)


def _with_frame(given: list[str], data: Any, home: Path) -> list[str]:
    """Add the path of the frame's file, which does not depend on the current folder."""
    return [*given, f"data.path={hydra_quoted(str(home.absolute() / FRAME))}"] if _is_frame(data) else given


def _write_frame(data: Any, home: Path) -> None:
    if _is_frame(data):
        table = arrow_of(data, "data")
        home.mkdir(parents=True, exist_ok=True)
        part = unfinished(home / FRAME)
        pq.write_table(table, part)
        part.replace(home / FRAME)


def _home(config: DictConfig, folder: str | Path | None, kind: str) -> Path:
    """The folder of a new run or sweep."""
    name = OmegaConf.select(config, "name")
    if folder is None:
        time = f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
        folder = named_folder(name, f"outputs/{kind}/{time}")
    check_name(name, Path(folder))
    return Path(folder)


def _refuse_hydra(given: Sequence[str]) -> None:
    if own := next((word for word in given if word.lstrip("+~").startswith(("hydra.", "hydra/"))), None):
        raise ValueError(f"{own} has no effect here: give folder=, or use steepest.sweep for a sweep")


def _train_elsewhere(given: Sequence[str], home: Path) -> None:
    """Train in a process of its own: a resumed run, or one that starts several processes."""
    resumed = any(word.startswith("resume=") for word in given)
    try:
        _command([*given, *([] if resumed else [f"hydra.run.dir={hydra_quoted(str(home))}"])])
    except RuntimeError as error:
        raise RunFailed(str(error), home) from None


def _command(words: Sequence[str]) -> None:
    """Run ``train.py``.

    Raises:
        ValueError: with its message, if it refuses the options.
        RuntimeError: with its message, if it fails.
    """
    started = subprocess.Popen(
        [sys.executable, str(program()), *words], env=os.environ | {PARENT: str(os.getpid())},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        _, said = started.communicate()
    except KeyboardInterrupt:
        started.send_signal(signal.SIGINT)  # it records that it was interrupted
        started.communicate()
        raise
    if started.returncode == BAD_INPUT:
        raise ValueError(said.strip())
    if started.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if started.returncode:
        raise RuntimeError(said.strip())


@contextmanager
def _errors_of_the_command() -> Iterator[None]:
    """Turn errors in the user's input into `ValueError` with the message that the command prints."""
    try:
        yield
    except RunFailed:
        raise
    except Exception as error:
        if exit_code(error) != BAD_INPUT:
            raise
        raise ValueError(explain(error)) from error
