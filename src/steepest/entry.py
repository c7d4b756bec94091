"""What `train.py` does with a composed config: one run, alone or as a job of a sweep; resuming; error messages.

Importing this module does not import torch, so that `python train.py --help` is fast.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from steepest.engine.cache import compile_in_background
from steepest.evaluate.names import worst
from steepest.lightning.quiet import tame_lightning
from steepest.runs.claim import CONFIG_FILE, Claim, claim_run, contains_run, first_process
from steepest.runs.conf import choices
from steepest.runs.config import GROUPS, check
from steepest.runs.defaults import as_single_run
from steepest.runs.errors import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    TRACEBACK,
    described,
    exit_code,
    explain,
    run_program,
    say_or_raise,
)
from steepest.runs.files import read_json, unreadable
from steepest.runs.hydra_internals import (
    begin_sweeps_with_the_first_choice,
    parse_lists_once,
    raise_errors_of_callbacks,
)
from steepest.runs.jobs import SWEEP, failed, stopped
from steepest.runs.names import named_folder
from steepest.runs.process import PARENT, end_with, remember_interrupts
from steepest.runs.quoting import resume_run_command
from steepest.runs.resume import check_override
from steepest.runs.specs import MANUAL
from steepest.runs.trust import guard_hydra

if TYPE_CHECKING:
    from steepest.lightning.run import Outcome

log = logging.getLogger(__name__)

_LIMITS = {"stop.epochs": "trainer.max_epochs"}


def sweep_first(words: list[str]) -> list[str]:
    """Return the words of a command with -m first: Hydra does not find overrides on both sides of it."""
    return sorted(words, key=lambda word: word not in ("-m", "--multirun"))


def command(app: Callable[[], Any]) -> None:
    """Run a Hydra app as `errors.run_program` does."""
    atexit.register(gc.freeze)  # the process ends: collecting garbage would only take time
    guard_hydra()
    sys.argv[1:] = sweep_first(sys.argv[1:])
    if parent := os.environ.pop(PARENT, None):  # pop, so that child processes do not inherit it
        end_with(int(parent), group=sys.platform != "win32" and os.getpgrp() == os.getpid())
    # Without HYDRA_FULL_ERROR, Hydra prints errors itself and exits with 1. TRACEBACK keeps the user's own choice, also
    # for the processes that this one starts.
    os.environ.setdefault(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.raiseExceptions = False  # if the disk is full, print one error, not one per log record
    run_program(app)


def job(config: DictConfig) -> float:
    """The task of `train.py`: one run, alone or as a job of a sweep.

    Returns:
        The objective at the best epoch; without one, infinity with the sign of a bad score (NaN stops some sweepers).
    """
    try:
        return _job(config)
    except Exception as error:
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            raise
        say_or_raise(error)


def _job(config: DictConfig) -> float:
    hydra: Any = HydraConfig.get()
    folder, own = Path(hydra.runtime.output_dir), str(os.getpid())
    launcher = str(OmegaConf.select(hydra, "launcher._target_"))  # null in a single run with ~hydra/launcher
    if launcher.endswith(".JoblibLauncher") and os.environ.get(SWEEP, own) != own:
        end_with(int(os.environ[SWEEP]))  # joblib's processes would continue a killed sweep's jobs
    if not first_process():
        return _in_folder(config, folder, None)
    with claim_run(folder, resume=bool(config.resume)) as claim:
        return _in_folder(config, folder, claim)


def _in_folder(config: DictConfig, folder: Path, claim: Claim | None) -> float:
    """Run a job in its folder. `claim` is None in the processes that Lightning starts."""
    hydra = HydraConfig.get()
    typed: Any = OmegaConf.to_container(hydra.overrides, resolve=False)  # records contain ${oc.env:NAME} as typed
    overrides = [str(o) for o in typed["task"] if not str(o).startswith("sweep.")]
    sweep = hydra.mode is RunMode.MULTIRUN

    remember_interrupts()
    tame_lightning()
    lost = _lost(config)
    # Hydra numbers the jobs of a resumed sweep from 0; job.json keeps a job's first number.
    number = read_json(folder / "job.json").get("job", hydra.job.num) if sweep else None
    if sweep and stopped(config, Path(hydra.sweep.dir)):
        return lost
    try:
        outcome = _outcome(config, folder, overrides, sweep)
    except Exception as error:
        # The traceback goes to the run's log; the screen shows one message.
        logging.getLogger("steepest.traceback").info("the run failed", exc_info=error)
        if not sweep:
            if exit_code(error) == BAD_INPUT and claim is not None:
                claim.remove_refused(str(hydra.output_subdir), f"{hydra.job.name}.log")
            elif explain(error) is not None and contains_run(folder):
                log.error("The run stopped. To continue it when the following is fixed: %s", resume_run_command(folder))
            raise
        message = described(error)
        log.error("job %s: %s", number, message)
        lines = traceback.format_exception(error)
        failed(config, folder, Path(hydra.sweep.dir), _single_run(overrides, config), message, lines)
        return lost
    if claim is None:
        return lost
    metrics = outcome.metrics
    if outcome.evaluation is not None:
        _report(outcome, folder, number if sweep else None, overrides)
    elif metrics["status"] == "stopped":
        log.error("The run stopped: %s. To continue it: %s", metrics["stop_reason"], resume_run_command(folder))
        if sweep:
            raise KeyboardInterrupt
        sys.exit(INTERRUPTED)
    elif metrics["status"] == "failed":
        log.error("The run failed: %s.", metrics["stop_reason"])
        if not sweep:
            sys.exit(FAILED)
        failed(config, folder, Path(hydra.sweep.dir), _single_run(overrides, config), metrics["stop_reason"])
    return lost if outcome.objective is None else outcome.objective


def _single_run(overrides: list[str], config: DictConfig) -> list[str]:
    """The overrides that repeat a job as a single run."""
    try:
        return as_single_run(overrides, {key: config.get(key) for key in ("model", "data")})
    except OmegaConfBaseException:  # the config is at fault, and the job's error says so
        return overrides


def _compile_in_background(config: DictConfig) -> None:
    """If this machine has no compiled kernel yet, compile it in another process while this one imports Lightning."""
    if str(OmegaConf.select(config, "model._target_")) == MANUAL:
        compile_in_background("float64" if OmegaConf.select(config, "trainer.precision") == "64-true" else "float32")


def _report(outcome: Outcome, folder: Path, number: int | None, overrides: list[str]) -> None:
    """Print the table of a single run, or one line for a job of a sweep."""
    from steepest.evaluate.table import print_results
    from steepest.evaluate.terminal import terminal

    console = terminal()
    assert outcome.evaluation is not None
    if number is None:
        print_results(outcome.evaluation, outcome.metrics, folder, console)
        return
    skill = outcome.metrics["test"].get("skill")
    shown = "" if skill is None else f", test skill {skill:.4g}"
    name, value = outcome.metrics["objective"]["name"], outcome.objective
    best = "none" if value is None else f"{value:.6g}"
    console.print(f"job {number}: {' '.join(overrides)}: {name} {best}{shown}", markup=False, soft_wrap=True)


def _outcome(config: DictConfig, folder: Path, overrides: list[str], sweep: bool) -> Outcome:
    _compile_in_background(config)
    if not sweep:
        _refuse_half_a_sweep(overrides)
        for useless in (word for word in HydraConfig.get().overrides.hydra if word.startswith("hydra/launcher=")):
            log.warning("%s has no effect on a single run: add -m for a sweep", useless)
        if not config.resume:
            check(config, typed=overrides)  # `run` does this too, but only after seconds of imports
    from steepest.lightning.run import run

    if not config.resume:
        return run(config, folder, overrides, alone=not sweep)
    if sweep:
        raise ValueError("resume= continues one run: leave out -m")
    # Only the command line can set `trust`, because the folder may be another person's.
    return run(resumed_config(folder, overrides), folder, overrides, resume=True, trust=list(config.trust))


def _refuse_half_a_sweep(overrides: list[str]) -> None:
    """Raise `ValueError` for a single run of a sweep's config, such as sweep=seeds."""
    varied = HydraConfig.get().sweeper.get("params") or {}
    given = {o.split("=", 1)[0].lstrip("+~") for o in overrides}
    left = [str(key).lstrip("+") for key in varied if str(key).lstrip("+") not in given]
    if left:
        raise ValueError(f"this config sweeps over {', '.join(left)}: add -m, or give one value, {left[0]}=...")


def resumed_config(folder: Path, overrides: list[str]) -> DictConfig:
    """The run's own config with the user's overrides.

    Raises:
        ValueError: for an override on which the earlier results depend.
    """
    path = folder / CONFIG_FILE
    try:
        config = OmegaConf.load(path)
        if not isinstance(config, DictConfig):
            raise ValueError("it is not a config")
        config.resume = str(folder)
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise unreadable(path, error) from None
    OmegaConf.set_struct(config, True)
    for override in OverridesParser.create().parse_overrides(overrides):
        key = override.key_or_group
        if key == "resume" or key.startswith("hydra."):
            continue
        check_override(override)
        if key != "trust":
            try:
                OmegaConf.update(config, key, override.value())
            except (ConfigKeyError, ConfigAttributeError) as error:
                raise ValueError(f"{path}: {explain(error)}") from None
        if key in _LIMITS:  # the saved config is resolved, so the trainer's limit does not follow
            OmegaConf.update(config, _LIMITS[key], override.value())
    return config


def _lost(config: DictConfig) -> float:
    """Return the objective value of a failed job, which is worse than all others."""
    with suppress(OmegaConfBaseException):  # a later check reports the invalid config
        return worst(str(OmegaConf.select(config, "objective")))
    return worst("")


def _groups() -> str:
    """Return the config groups with their choices for --help, one per line."""
    found = choices()
    shown = sorted(found, key=lambda group: (group.startswith("hydra"), group))
    return "\n".join(f"{group}: {', '.join(sorted(found[group]))}" for group in shown)


# These lines are at module level because the other processes of a launcher need them.
# A resumed run stays in its folder and keeps its .hydra. (`RunFolder` refuses a folder without a run: Hydra would lose
# the message of an error in a resolver.)
OmegaConf.register_new_resolver(
    "run_dir", lambda resume, name, new: resume if contains_run(resume) else named_folder(name, new), replace=True
)
OmegaConf.register_new_resolver("named_dir", named_folder, replace=True)
OmegaConf.register_new_resolver(
    "output_subdir", lambda resume: None if contains_run(resume) else ".hydra", replace=True
)
OmegaConf.register_new_resolver("groups", _groups, replace=True)
raise_errors_of_callbacks()
parse_lists_once()
begin_sweeps_with_the_first_choice(GROUPS)
# Files in conf/hydra/launcher have the names of the plugins' schemas on purpose: Hydra merges the two.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
