"""Reports every epoch of a job to its Optuna study, whose pruner may end the job.

This module does not import torch.

The job may run in any process of any machine that can reach the study's storage; it connects at its first report.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steepest.data.faults import did_you_mean
from steepest.runs.trust import locate

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.storages.journal._file import BaseJournalFileLock

PRUNER, PRUNED = (
    "pruner",
    "pruned",
)  # attributes of a trial: the pruner's node, and the reason why the pruner ended the trial
LOCKED = 10  # seconds after which the lock of a killed process is broken; a running one holds it for milliseconds


class Trial:
    """One trial, for the job that runs it.

    Args:
        storage: as for `open_storage`.
        study: the study's name.
        number: the trial's number.
        objective: the score to report.
    """

    def __init__(self, storage: str, study: str, number: int, objective: str) -> None:
        self.storage, self.study, self.number, self.objective = storage, study, number, objective
        self._pruner: BasePruner | None = None

    def report(self, epochs: int, value: float | None, *, ends: bool) -> str:
        """Report the objective after an epoch.

        Args:
            epochs: done so far.
            value: not reported if it is None or not finite.
            ends: the run ends after this epoch anyway, so the pruner is not called.

        Returns:
            Why the pruner ends the run, or an empty string if the run continues.
        """
        if value is None or not math.isfinite(value):
            return ""
        storage, study = _study_here(self.storage, self.study, os.getpid())
        within = storage.get_study_id_from_name(self.study)
        trial = storage.get_trial_id_from_study_id_trial_number(within, self.number)
        storage.set_trial_intermediate_value(trial, epochs - 1, value)  # pruners count from 0
        if ends:
            return ""
        frozen = storage.get_trial(trial)
        if self._pruner is None:
            self._pruner = make(json.loads(frozen.user_attrs[PRUNER]), "hydra.sweeper.pruner")
        if not self._pruner.prune(study, frozen):
            return ""
        reason = (
            f"pruned: {self.objective} {value:.6g} after {epochs} epochs falls behind the earlier trials "
            f"({type(self._pruner).__name__})"
        )
        storage.set_trial_user_attr(trial, PRUNED, reason)
        return reason


def trial_of(plain: Mapping[str, Any]) -> Trial | None:
    """Return the trial that a job's config names, or None if it names none."""
    sweep = plain.get("sweep") or {}
    if sweep.get("trial") is None:
        return None
    if not (sweep.get("storage") and sweep.get("study")):
        raise ValueError(f"sweep.trial={sweep['trial']} needs sweep.study and sweep.storage: use hydra/sweeper=tune")
    return Trial(str(sweep["storage"]), str(sweep["study"]), int(sweep["trial"]), str(plain["objective"]))


def open_storage(where: str, *, repair: bool = False) -> BaseStorage:
    """Open the storage of studies.

    Args:
        where: an SQLAlchemy URL, or the path of a journal, which is created with its folder if missing.
        repair: remove an incomplete last line from a journal; the next record would be appended to that line.

    Raises:
        ValueError: if the storage cannot be opened.
    """
    from optuna.storages import JournalStorage, RDBStorage, get_storage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    if "://" in where:
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool

        try:
            # NullPool keeps no connection open: forked processes must not share one.
            return get_storage(RDBStorage(where, engine_kwargs={"poolclass": NullPool}))
        except (SQLAlchemyError, ImportError) as error:
            raise ValueError(f"hydra.sweeper.storage={where}: {str(error).splitlines()[0]}") from error
    path = Path(where).absolute()  # the lock is a link to it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"hydra.sweeper.storage={where}: cannot create {path.parent}: {error.strerror}") from error
    lock = JournalFileSymlinkLock(str(path), grace_period=LOCKED)
    try:
        if repair and path.exists():
            _repair(path, lock)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"hydra.sweeper.storage={where} is not a journal of Optuna ({error}): give another path, or a URL such as "
            f"sqlite:///{where}"
        ) from error


def _repair(journal: Path, lock: BaseJournalFileLock) -> None:
    lock.acquire()
    try:
        content = journal.read_bytes()
        if content and not content.startswith(b"{"):
            raise ValueError("it is a different kind of file")
        if not content.endswith(b"\n"):
            os.truncate(journal, content.rfind(b"\n") + 1)
    finally:
        lock.release()


@lru_cache(maxsize=8)
def _study_here(where: str, name: str, process: int) -> tuple[BaseStorage, Study]:
    """The connection of a process, for all its trials. A forked child opens another."""
    import optuna

    storage = open_storage(where)
    try:
        return storage, optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler())
    except KeyError as error:
        raise ValueError(f"sweep.study={name}: {where} has no such study; hydra/sweeper=tune sets both") from error


def make(node: Mapping[str, Any], place: str, **given: Any) -> Any:
    """Build a sampler or a pruner from its node.

    Args:
        node: `_target_` and arguments.
        place: the node's place in the config, as in `approved.CLASSES`.
        given: arguments to add if the constructor accepts them and the node does not set them.

    Raises:
        ValueError: for an invalid target, key or value.
    """
    target = locate(str(node["_target_"]), place)
    takes = list(inspect.signature(target).parameters)
    arguments = {name: value for name, value in given.items() if name in takes}
    for key, value in node.items():
        if key == "_target_":
            continue
        if key not in takes:
            raise ValueError(
                f"{target.__name__} has no '{key}'{did_you_mean(str(key), takes) or '.'} It takes {', '.join(takes)}"
            )
        arguments[str(key)] = make(value, place) if isinstance(value, Mapping) and "_target_" in value else value
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* is experimental")  # the config asks for it by name
            return target(**arguments)
    except ImportError as error:
        raise ValueError(f"{target.__name__} needs {error.name}: pip install 'steepest[tune]'") from error
    except TypeError as error:
        raise ValueError(f"{target.__name__}: {error}") from error
