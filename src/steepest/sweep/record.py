"""What a sweep leaves behind: sweep.json, results.csv and a table with the winner on top.

A Hydra callback, so it works with any sweeper and launcher: it reads the folders of the jobs. No torch at import.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from steepest.sweep.manifest import NAME, JobState, Manifest, begin_job, changed_keys
from steepest.sweep.results import Row, result, results_csv
from steepest.sweep.table import print_table
from steepest.entry import FIRST_FAILURE, stopped
from steepest.runs.files import now, write_text

FAILED, BAD_INPUT = 1, 2
RESUMED = "STEEPEST_RESUME"  # set by `steepest resume`: the sweep in hydra.sweep.dir is gone on with


class SweepRecord(Callback):
    """Keeps sweep.json and results.csv whole on disk from before the first job to the last.

    Attributes:
        manifest: of the sweep whose process this is; None in a job's own process.
    """

    def __init__(self) -> None:
        self.manifest: Manifest | None = None
        self.rows: dict[str, Row] = {}
        self.lock = threading.Lock()

    def __reduce__(self) -> Any:
        """Jobs in other processes have a record that knows of no sweep."""
        return SweepRecord, ()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the manifest before the first job, or take up the one that is gone on with."""
        folder, plain = Path(str(config.hydra.sweep.dir)), _task(config)
        resume = bool(os.environ.get(RESUMED))
        if not (folder / NAME).exists():
            if resume:
                _refuse(f"{folder} holds no sweep: there is no {NAME} in it; give the folder of a sweep")
            command = {
                "program": sys.argv[0],
                "folder": str(Path.cwd()),
                "task": list(config.hydra.overrides.task),
                "hydra": [o for o in config.hydra.overrides.hydra if not o.startswith("hydra.sweep.dir=")],
            }
            self.manifest = Manifest(folder, command, str(config.objective), plain, started=now())
        elif not resume:
            _refuse(
                f"{folder} holds a sweep already: go on with it by steepest resume {folder}, or give another "
                "hydra.sweep.dir"
            )
        else:
            self.manifest = Manifest.read(folder)
            changed = changed_keys(self.manifest.config, plain)
            if changed:
                _refuse(
                    f"{folder}: the config has changed since the sweep began ({', '.join(changed[:5])}): what is left "
                    "would be another sweep; bring the config back, or begin a new one"
                )
            self.manifest.status, self.manifest.ended = "running", None
            (folder / FIRST_FAILURE).unlink(missing_ok=True)
            self.manifest.look(over=True)
        self.manifest.write()
        # Whatever launcher is asked for, with the options it has: jobs pass by here on their way to it.
        plugins = Plugins.instance()
        made = plugins.instantiate_launcher

        def recorded(hydra_context: HydraContext, **named: Any) -> Any:
            plugins.instantiate_launcher = made  # type: ignore[method-assign]  # some send the plugins to their jobs
            return _Recorded(made(hydra_context=hydra_context, **named), self, config, hydra_context.config_loader)

        plugins.instantiate_launcher = recorded  # type: ignore[method-assign,assignment]

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Say in the job's folder that it runs, and what it was asked."""
        if is_sweep(config) and not stopped(config, Path(str(config.hydra.sweep.dir))):
            folder = Path(config.hydra.runtime.output_dir)
            number = folder.name if folder.name.isdigit() else config.hydra.job.num
            begin_job(folder, int(number), list(config.hydra.overrides.task))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Take the job's result into the tables, in the sweep's own process."""
        if is_sweep(config) and self.manifest is not None:
            self.refresh()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the final tables, print the winner; exit with 1 if a job failed."""
        manifest = self.manifest
        if manifest is None:
            return
        manifest.status, manifest.ended = "finished", now()
        self.refresh(over=True)
        rows = self._results()
        print_table(rows, manifest.objective, manifest.folder, manifest.command)
        if manifest.count("failed", "waiting"):
            raise SystemExit(FAILED)

    def register(self, overrides: Sequence[Sequence[str]], first: int, config: DictConfig) -> list[JobState]:
        """Take up jobs before they are launched; what an earlier try of one left behind is taken away."""
        assert self.manifest is not None, "the sweep began"
        subdir = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]  # type: ignore[call-overload,index]
        states = self.manifest.register(overrides, first, "{}" if subdir == "${hydra.job.num}" else None)
        for state in states:
            if state.status != "finished":
                if state.folder is not None and state.started is not None:
                    shutil.rmtree(self.manifest.folder / state.folder, ignore_errors=True)
                state.status, state.started, state.ended, state.error = "waiting", None, None, None
        self.manifest.write()
        return states

    def refresh(self, *, over: bool = False) -> None:
        """Look at the jobs' folders; write what is new.

        Args:
            over: that no job runs any more.
        """
        with self.lock:
            assert self.manifest is not None, "the sweep began"
            self.manifest.find()
            if self.manifest.look(over=over) or over:
                self.manifest.write()
                write_text(self.manifest.folder / "results.csv", results_csv(self._results()))

    def _results(self) -> list[Row]:
        assert self.manifest is not None
        for job in self.manifest.jobs.values():
            if job.status in ("finished", "failed") and job.id not in self.rows:
                self.rows[job.id] = result(job, self.manifest.folder)
        jobs = sorted(self.manifest.jobs.values(), key=lambda job: job.job)
        return [self.rows.get(job.id) or result(job, self.manifest.folder) for job in jobs]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While jobs run: the manifest follows them, and a bar shows how many are done."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        assert self.manifest is not None
        manifest, over = self.manifest, threading.Event()
        columns = [
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("jobs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[failed]}"),
        ]

        def follow(progress: Progress, bar: Any) -> None:
            pause = 0.2
            while not over.wait(pause):
                began = time.perf_counter()
                self.refresh()
                failed = manifest.count("failed")
                progress.update(
                    bar, completed=manifest.count("finished", "failed"), total=len(manifest.jobs),
                    failed=f"{failed} failed" if failed else "",
                )  # fmt: skip
                pause = max(0.2, 20 * (time.perf_counter() - began))  # looking takes a twentieth of the time at most

        with Progress(*columns, transient=True) as progress:
            bar = progress.add_task("jobs", total=len(manifest.jobs), failed="")
            thread = threading.Thread(target=follow, args=(progress, bar), daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
                self.refresh()


class _Recorded:
    """A launcher, with the sweep's record: jobs are written down before the first starts, those done are skipped."""

    def __init__(self, launcher: Launcher, record: SweepRecord, config: DictConfig, loader: ConfigLoader) -> None:
        self.launcher, self.record, self.config, self.loader = launcher, record, config, loader

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run those of these jobs that are not done yet; the results of all, in their order."""
        states = self.record.register(job_overrides, initial_job_idx, self.config)
        if OmegaConf.select(self.config, "sweep.dry_run"):
            self._describe(states, job_overrides, initial_job_idx)
            raise SystemExit(0)
        left = [i for i, state in enumerate(states) if state.status != "finished"]
        asked = []
        for number, i in enumerate(left, start=initial_job_idx):  # all keep the folders that they had
            folder = states[i].folder
            pinned = [] if folder in (None, str(number)) else [f"hydra.sweep.subdir={folder}"]
            asked.append([*job_overrides[i], *pinned])
        with self.record.watching():
            returned = dict(zip(left, self.launcher.launch(asked, initial_job_idx), strict=True)) if left else {}
        return [returned.get(i) or _known(state, job_overrides[i]) for i, state in enumerate(states)]

    def _describe(self, states: Sequence[JobState], job_overrides: Sequence[Sequence[str]], first: int) -> None:
        """What would be done, and about how long it would take."""
        for state in states:
            print(f"job {state.job} ({state.status}): python train.py {shlex.join(state.overrides)}")
        left = [own for own, state in zip(job_overrides, states, strict=True) if state.status != "finished"]
        print(f"{len(states)} jobs, of which {len(states) - len(left)} are done.")
        if left:
            from steepest.sweep.compose import Composer
            from steepest.sweep.estimate import describe  # torch, and seconds: only where it is asked for

            for line in describe(Composer(self.loader, self.config), self.config, left, first):
                print(line)


def _known(state: JobState, overrides: Sequence[str]) -> JobReturn:
    returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    returned.return_value = state.objective
    return returned


def is_sweep(config: DictConfig) -> bool:
    """Whether this is a job of a sweep."""
    return config.hydra.mode is not None and config.hydra.mode.name == "MULTIRUN"


def _task(config: DictConfig) -> dict[str, Any]:
    """The jobs' config before anything is varied, as plain data; what only steers the sweep is left out."""
    task = config.copy()
    with open_dict(task):
        del task["hydra"]
        task.pop("sweep", None)
    plain = OmegaConf.to_container(task, resolve=False)
    return json.loads(json.dumps(plain, default=str))


def _refuse(message: str) -> NoReturn:
    # Hydra turns other errors of callbacks into warnings.
    sys.stderr.write(f"{message}\n")
    raise SystemExit(BAD_INPUT)
