"""Locks the folder of a run or of a sweep before anything is written, so that only one process at a time uses it.

This module does not import torch.
"""

from __future__ import annotations

import atexit
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from steepest.runs.files import check_links, now, real
from steepest.runs.names import check_name
from steepest.runs.quoting import resume_run_command

try:
    import fcntl
except ImportError:  # Windows does not have fcntl
    fcntl = None  # type: ignore[assignment]

CONFIG_FILE = "config.yaml"  # a folder with this file contains a run
LOCAL_RANK = "LOCAL_RANK"  # set in the processes that Lightning starts; they use the first process's folder


class Claim:
    """A locked folder. It is unlocked by `release`, or at the end of a `with` block.

    The operating system releases the lock when the process ends, even if it was killed. An old lock file therefore
    does not lock the folder.

    Attributes:
        folder: the folder, which is created if it does not exist.
        created: the folders that did not exist before: `folder` and its missing parents.
    """

    def __init__(self, folder: Path, kind: Literal["run", "sweep"] = "run") -> None:
        """Lock a folder. The lock file names this process for the error messages of others.

        Raises:
            ValueError: if another process, or another thread of this process, has locked the folder.
        """
        self.folder = folder.absolute()
        self.path = self.folder / f"{kind}.lock"
        self.created = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        if self.path.is_symlink():
            raise ValueError(f"{self.path} is a link: remove it")
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a+")
            try:
                if fcntl is not None:
                    fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.file.seek(0)
                holder = self.file.read().strip() or "another process"
                self.file.close()
                doing = "is training this run" if kind == "run" else "is running this sweep"
                raise ValueError(
                    f"{folder}: {holder} {doing}: wait until it has ended, or end it, and try again"
                ) from None
            except OSError:  # the file system does not support locks
                pass
            if self.path.exists() and os.path.samestat(os.fstat(self.file.fileno()), self.path.stat()):
                break
            self.file.close()  # another process removed the file, or the folder, after it was opened here
        self.file.truncate(0)
        self.file.write(f"process {os.getpid()} on {platform.node()} (since {now()})")
        self.file.flush()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()

    def release(self) -> None:
        """Unlock the folder. Further calls do nothing."""
        if not self.file.closed:
            self.path.unlink(missing_ok=True)
            self.file.close()

    def remove(self) -> None:
        """Remove the folder with its content if this claim created it, and unlock it."""
        if self.folder in self.created:
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):  # another run uses the parent
                for parent in self.created[1:]:
                    parent.rmdir()
        self.release()

    def remove_refused(self, *written: str) -> None:
        """Remove the folder of a run that was refused before its first checkpoint, if this claim created it.

        Args:
            written: the names of files that do not belong to the run's results.
        """
        names = {path.name for path in self.folder.iterdir() if not path.name.startswith("events.out.tfevents.")}
        if names <= {"run.json", CONFIG_FILE, self.path.name, *written}:
            self.remove()


def is_locked(folder: Path, kind: Literal["run", "sweep"] = "run") -> bool:
    """Return whether a process uses the folder. Nothing is written. Without locks, an existing lock file counts."""
    path = folder / f"{kind}.lock"
    if path.is_symlink() or not path.is_file():
        return False
    if fcntl is None:
        return True
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # locked, or the file system does not support locks
        return True
    return False


_of_this_process: dict[Path, Claim] = {}  # the claim of the single run of this process, by folder


def claim_run(folder: Path, *, resume: bool = False) -> Claim:
    """Return the claim of a run's folder, which `RunFolder` may have locked already.

    Args:
        folder: the run's folder.
        resume: whether the folder contains an earlier part of this run.

    Raises:
        ValueError: if another process uses the folder, or if it already contains another run.
    """
    early = _of_this_process.pop(folder.absolute(), None)
    if early is not None:
        return early
    claim = Claim(folder)
    if not resume and (folder / "checkpoints").exists() and not (folder / CONFIG_FILE).exists():
        claim.release()
        raise ValueError(
            f"{folder} contains checkpoints of a run, but no {CONFIG_FILE}: restore it and resume the run, or give "
            "another hydra.run.dir"
        )
    if not resume and (folder / CONFIG_FILE).exists():
        claim.release()
        raise ValueError(
            f"{folder} already contains a run. To continue it: {resume_run_command(folder)}; or give another "
            "hydra.run.dir"
        )
    return claim


def _remove_unused(folder: Path) -> None:
    """Remove a new folder if Hydra failed before it started the run."""
    claim = _of_this_process.pop(folder, None)
    if claim is not None:
        claim.remove()


class RunFolder(Callback):
    """Claims the folder of a single run, or refuses it, before Hydra writes its own files into the folder."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim the folder; `claim_run` returns this claim.

        Raises:
            ValueError: if the folder cannot be used, or if there is no run to resume.
        """
        if not first_process():
            return
        folder, resume = Path(str(config.hydra.run.dir)), OmegaConf.select(config, "resume")
        if resume:
            if not contains_run(resume):
                raise ValueError(
                    f"resume={resume}: this folder has no config.yaml, so it contains no run; give the folder of a run"
                )
            if real(folder) != real(Path(str(resume))):
                raise ValueError(f"resume={resume} continues a run in its own folder: leave out hydra.run.dir={folder}")
            check_links(folder)
        else:
            check_name(OmegaConf.select(config, "name"), folder)
        _of_this_process[folder.absolute()] = claim_run(folder, resume=bool(resume))
        atexit.register(_remove_unused, folder.absolute())


def first_process() -> bool:
    """Return whether this is the only process of the run, or the one that the user started."""
    return os.environ.get(LOCAL_RANK, "0") == "0"


def contains_run(folder: object) -> bool:
    """Return whether a folder contains a run that can be resumed."""
    return bool(folder) and (Path(str(folder)) / CONFIG_FILE).exists()
