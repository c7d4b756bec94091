"""Writes a sweep's sweep.json and results.csv, and prints a table with the winner on top.

The record is a Hydra callback that reads the folders of the jobs, so it works with any sweeper and launcher. Importing
this module does not import torch.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, read_write

from steepest.evaluate.names import better
from steepest.runs.claim import Claim
from steepest.runs.defaults import as_single_run, same_days
from steepest.runs.errors import FAILED
from steepest.runs.files import check_links, now, remove_unfinished, write_text
from steepest.runs.jobs import FIRST_FAILURE, SWEEP, is_sweep, stopped, typed
from steepest.runs.names import check_name
from steepest.runs.own import declare_metrics
from steepest.runs.quoting import hydra_quoted, resume_sweep_command, train_command
from steepest.runs.resume import changed_keys
from steepest.sweep.compose import SUBDIR, Composer
from steepest.sweep.manifest import NAME, JobState, Manifest, begin_job, job_number, plain_task, remove_attempt
from steepest.sweep.requirements import DISTINCT, check_folders, check_processes, check_unused
from steepest.sweep.results import Results, result, results_csv
from steepest.sweep.settings import Row
from steepest.sweep.table import print_table

RESUMED = "STEEPEST_RESUME"  # set by `steepest resume`: continue the sweep in hydra.sweep.dir

log = logging.getLogger(__name__)


class SweepRecord(Callback):
    """Keeps sweep.json and results.csv up to date, from before the first job starts until the last one ends.

    Attributes:
        manifest: the manifest of the sweep that this process runs, or None in the process of a job.
    """

    def __init__(self) -> None:
        self.manifest: Manifest | None = None
        self.rows: dict[str, Row] = {}
        self.lock = threading.Lock()
        self.claim: Claim | None = None

    def __reduce__(self) -> Any:
        """Pickle an empty record: jobs in other processes do not write the sweep's files."""
        return SweepRecord, ()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create the manifest of a new sweep, or read that of a resumed one; `register` writes it with its jobs."""
        os.environ[SWEEP] = str(os.getpid())
        if OmegaConf.select(config, "resume"):
            raise ValueError("resume= continues one run: leave out -m")
        folder = Path(str(config.hydra.sweep.dir))
        if not os.environ.get(RESUMED):
            check_name(OmegaConf.select(config, "name"), folder)
        elif folder.exists():
            check_links(folder)
        self.claim = Claim(folder, "sweep")
        atexit.register(self._leave)
        try:
            self.manifest = _new_or_resumed(folder, config)
        except ValueError:
            self._leave()
            raise
        if added := same_days(config):
            log.info("%s is added, so that all jobs are scored on the same days", added)
            with read_write(config.hydra):
                config.hydra.overrides.task.append(added)
        # Every launcher, whatever its options, gets its jobs through this record.
        plugins = Plugins.instance()
        original = plugins.instantiate_launcher

        def recorded(hydra_context: HydraContext, **named: Any) -> Any:
            plugins.instantiate_launcher = original  # type: ignore[method-assign]  # some launchers pickle the plugins
            loader = hydra_context.config_loader  # a launcher may replace it
            launcher = original(hydra_context=hydra_context, **named)
            composer = getattr(launcher, "composer", None)
            return _Recorded(launcher, self, config, composer or Composer(loader, config))

        plugins.instantiate_launcher = recorded  # type: ignore[method-assign,assignment]

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write job.json into the job's folder."""
        sweep = Path(config.hydra.runtime.cwd, str(config.hydra.sweep.dir))
        if is_sweep(config) and not stopped(config, sweep):
            folder = Path(config.hydra.runtime.output_dir)
            begin_job(folder, job_number(sweep, folder, config.hydra.job.num), typed(config, "task"))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Add the job's result to the tables, in the sweep's process."""
        if is_sweep(config) and self.manifest is not None:
            self.refresh()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the final tables and print the winner; exit with 1 if a job failed."""
        os.environ.pop(SWEEP, None)
        manifest = self.manifest
        if manifest is None:
            raise RuntimeError("the sweep ended without a manifest")
        manifest.status, manifest.ended = "finished", now()
        self.refresh(over=True)
        print_table(self._results(), Path(str(config.hydra.sweep.dir)), manifest.command)
        self._leave()
        if manifest.count("failed", "waiting"):
            raise SystemExit(FAILED)

    def register(
        self, overrides: Sequence[Sequence[str]], first: int, config: DictConfig, composer: Composer
    ) -> list[JobState]:
        """Write jobs into the manifest before they are launched, and delete the folders of their earlier attempts.

        A dry run writes and deletes nothing.

        Raises:
            ValueError: if jobs would share a folder, or if the launcher cannot run them.
        """
        manifest = self.manifest
        assert manifest is not None, "on_multirun_start comes first"
        try:
            states = self._registered(manifest, overrides, first, config, composer)
            left = [state for state in states if state.status != "finished"]
            if OmegaConf.select(config, "sweep.dry_run"):  # nothing is written or removed
                return states
            (manifest.folder / FIRST_FAILURE).unlink(missing_ok=True)
            remove_unfinished(manifest.folder)
            for state in left:
                if state.started is not None:
                    remove_attempt(manifest.folder, state)
                remove_unfinished(manifest.folder / str(state.folder))
        except Exception:
            self._leave()
            raise
        for state in left:
            state.status, state.started, state.ended, state.error = "waiting", None, None, None
        manifest.write()
        return states

    def _registered(
        self, manifest: Manifest, overrides: Sequence[Sequence[str]], first: int, config: DictConfig, composer: Composer
    ) -> list[JobState]:
        subdir = str(OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"])  # type: ignore[call-overload,index]
        trials = OmegaConf.select(config, "hydra.sweeper.n_trials") or 1  # the tuner launches a few jobs at a time
        if "${" not in subdir and trials > 1:
            raise ValueError(f"hydra.sweep.subdir={subdir} gives the same folder to all {trials} trials: {DISTINCT}")
        states = manifest.register(overrides, first, "{}" if subdir == "${hydra.job.num}" else None)
        previews = {
            state.job: composer.preview(job_overrides, state.job)
            for state, job_overrides in zip(states, overrides, strict=True)
            if state.status != "finished"
        }
        for state in states:
            state.folder = state.folder or previews[state.job].subfolder
        check_folders(manifest, {job: preview.sweep for job, preview in previews.items()})
        check_unused(manifest, states)
        trainers = {job: preview.trainer for job, preview in previews.items()}
        check_processes(trainers, str(OmegaConf.select(config, "hydra.launcher._target_")))
        return states

    def _leave(self) -> None:
        """Unlock the sweep's folder. A refused sweep leaves no folder."""
        claim, self.claim = self.claim, None
        if claim is not None and (claim.folder / NAME).exists():
            claim.release()
        elif claim is not None:
            claim.remove()

    def refresh(self, *, over: bool = False) -> None:
        """Read the jobs' folders; write the tables if anything changed.

        Args:
            over: whether all jobs have ended.
        """
        with self.lock:
            assert self.manifest is not None, "on_multirun_start comes first"
            if self.manifest.look(over=over) or over:
                self.manifest.write()
                write_text(self.manifest.folder / "results.csv", results_csv(self._results()))

    def _results(self) -> Results:
        assert self.manifest is not None
        for job in self.manifest.jobs.values():
            if job.status in ("finished", "failed") and job.id not in self.rows:
                self.rows[job.id] = result(job, self.manifest.folder)
        jobs = sorted(self.manifest.jobs.values(), key=lambda job: job.job)
        rows = [self.rows.get(job.id) or result(job, self.manifest.folder) for job in jobs]
        return Results(rows, self.manifest.objective, self.manifest.higher_is_better)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While jobs run, keep the tables up to date and show a progress bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from steepest.evaluate.terminal import terminal

        assert self.manifest is not None
        manifest, over, problems = self.manifest, threading.Event(), []
        columns = (
            BarColumn(), MofNCompleteColumn(), TextColumn("jobs"), TimeElapsedColumn(),
            TextColumn("{task.fields[failed]}"),
        )  # fmt: skip

        def follow(progress: Progress, bar: Any) -> None:
            pause = 0.2
            while not over.wait(pause):
                before = time.perf_counter()
                try:
                    self.refresh()
                except Exception as error:  # raised below, in the sweep's thread
                    problems.append(error)
                    return
                failed = manifest.count("failed")
                progress.update(
                    bar, completed=manifest.count("finished", "failed"), total=len(manifest.jobs),
                    failed=f"{failed} failed" if failed else "",
                )  # fmt: skip
                pause = max(0.2, 20 * (time.perf_counter() - before))  # this takes at most a twentieth of the time

        console = terminal()
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("jobs", total=len(manifest.jobs), failed="")
            thread = threading.Thread(target=follow, args=(progress, bar), daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
                self.refresh()
        if problems:
            raise problems[0]


class _Recorded:
    """A launcher with the sweep's record: it records all jobs before the first one starts, and skips finished jobs."""

    def __init__(self, launcher: Launcher, record: SweepRecord, config: DictConfig, composer: Composer) -> None:
        self.launcher, self.record, self.config, self.composer = launcher, record, config, composer

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the unfinished jobs; return the results of all jobs in their order."""
        states = self.record.register(job_overrides, initial_job_idx, self.config, self.composer)
        if OmegaConf.select(self.config, "sweep.dry_run"):
            self._describe(states, job_overrides, initial_job_idx)
            raise SystemExit(0)
        left = [i for i, state in enumerate(states) if state.status != "finished"]
        remaining = []
        for number, i in enumerate(left, start=initial_job_idx):  # Hydra renumbers jobs; their folders stay
            folder = str(states[i].folder)
            pinned = [] if folder == str(number) else [f"{SUBDIR}{hydra_quoted(folder)}"]
            remaining.append([*job_overrides[i], *pinned])
        try:
            with self.record.watching():
                returned = (
                    dict(zip(left, self.launcher.launch(remaining, initial_job_idx), strict=True)) if left else {}
                )
        except SystemExit as end:
            if end.code:
                raise
            sys.stderr.write("A job called sys.exit(), which ended the whole sweep: the jobs after it did not run.\n")
            raise SystemExit(FAILED) from end
        return [returned.get(i) or _known(state, job_overrides[i]) for i, state in enumerate(states)]

    def _describe(self, states: Sequence[JobState], job_overrides: Sequence[Sequence[str]], first: int) -> None:
        """Print the jobs of the sweep, and an estimate of its duration."""
        for number, (state, one) in enumerate(zip(states, job_overrides, strict=True), start=first):
            again = as_single_run(state.overrides, self.composer.preview(one, number).plain)
            print(f"job {state.job} ({state.status}): {train_command(again)}")
        left = [one for one, state in zip(job_overrides, states, strict=True) if state.status != "finished"]
        print(f"{len(states)} jobs, of which {len(states) - len(left)} are finished.")
        if left:
            from steepest.sweep.estimate import describe  # imports torch, which takes seconds

            for line in describe(self.composer, self.config, left, first):
                print(line)


def _new_or_resumed(folder: Path, config: DictConfig) -> Manifest:
    """The manifest of a new sweep, or of one that is continued.

    Raises:
        ValueError: if the folder contains a sweep that must not be continued, or if that sweep cannot be continued.
    """
    absolute, plain = folder.absolute(), plain_task(config)  # a job may change the working directory (hydra.job.chdir)
    declare_metrics(plain.get("evaluation"), plain.get("trust") or ())
    if os.environ.get(RESUMED):
        return _resumed(absolute, plain)
    command = {
        "program": sys.argv[0],
        "folder": str(Path.cwd()),
        "task": typed(config, "task"),
        "hydra": [o for o in typed(config, "hydra") if not o.startswith("hydra.sweep.dir=")],
    }
    if (folder / NAME).exists():
        again = resume_sweep_command(folder, [*command["task"], *command["hydra"]])
        raise ValueError(
            f"{folder} already contains a sweep: continue it with {again}, or choose another hydra.sweep.dir"
        )
    objective = str(config.objective)
    return Manifest(absolute, command, objective, plain, better(objective) == "max", started=now())


def _resumed(folder: Path, plain: dict[str, Any]) -> Manifest:
    """The manifest of a sweep that is continued with this config.

    Raises:
        ValueError: if the folder holds no readable sweep, or if the config has changed.
    """
    manifest = Manifest.read(folder)
    changed = changed_keys(manifest.config, plain)
    if changed:
        raise ValueError(
            f"{folder / NAME}: the config has changed since the sweep started ({', '.join(changed[:5])}), so the "
            "remaining jobs would belong to another sweep: restore the config, or start a new sweep"
        )
    manifest.status, manifest.ended = "running", None
    manifest.look(over=True)
    return manifest


def _known(state: JobState, overrides: Sequence[str]) -> JobReturn:
    returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    returned.return_value = state.objective
    return returned
