"""Between the command line and a run: clear errors, exit codes, resuming, single jobs and jobs of a sweep.

No torch at import: `python train.py --help` answers at once.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from steepest.engine.cache import compile_beside
from steepest.evaluate.names import worst
from steepest.lightning.quiet import tame_lightning
from steepest.runs.errors import FAILED, INTERRUPTED, TRACEBACK, exit_if_failed, explain, say_or_raise
from steepest.runs.files import read_json
from steepest.runs.jobs import SWEEP, failed, stopped
from steepest.runs.process import end_with
from steepest.runs.quoting import resume_run_command
from steepest.runs.specs import MANUAL
from steepest.runs.trust import guard_hydra

if TYPE_CHECKING:
    from steepest.lightning.run import Outcome

log = logging.getLogger(__name__)

# What may be changed when a run is resumed: nothing that its numbers so far depend on.
MAY_CHANGE = ("stop", "trainer", "callbacks", "threads", "trust")
_LIMITS = {"stop.epochs": "trainer.max_epochs"}


def command(app: Callable[[], Any]) -> None:
    """Run a Hydra app: user errors become one message and exit code 2, unless ``HYDRA_FULL_ERROR=1`` asks for more."""
    atexit.register(gc.freeze)  # what is there at the end goes with the process: nothing is to be collected
    guard_hydra()
    if os.environ.get(SWEEP) == str(os.getppid()):  # the children of a job inherit its environment
        end_with(int(os.environ[SWEEP]), group=True)
    # Hydra prints errors itself and exits with 1, unless this is set; processes started by this one must still know
    # what the user wanted.
    os.environ.setdefault(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        say_or_raise(error)
    exit_if_failed()


def job(config: DictConfig) -> float:
    """The task of `train.py`: one run, alone or as a job of a sweep.

    Returns:
        The objective at the best epoch; of a job without one, infinity on the worse side (NaN stops some sweepers).
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    overrides = [o for o in hydra.overrides.task if not o.startswith("sweep.")]  # those steer the sweep, not the run
    sweep = hydra.mode is RunMode.MULTIRUN

    _compile_beside(config)
    tame_lightning()
    lost = worst(str(config.objective))
    # In a resumed sweep Hydra counts jobs anew; job.json keeps the number.
    number = read_json(folder / "job.json").get("job", hydra.job.num) if sweep else None
    if sweep and stopped(config, Path(hydra.sweep.dir)):
        return lost
    try:
        outcome = _outcome(config, folder, overrides, sweep)
    except Exception as error:
        # The traceback belongs in the run's own log; on the screen one message is enough.
        logging.getLogger("steepest.traceback").info("the run failed", exc_info=error)
        if not sweep:
            say_or_raise(error)
        said = explain(error) or f"{type(error).__name__}: {error}"
        log.error("job %s: %s", number, said)
        failed(config, folder, Path(hydra.sweep.dir), overrides, said, traceback.format_exception(error))
        return lost
    if int(os.environ.get("LOCAL_RANK", "0")):
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
        failed(config, folder, Path(hydra.sweep.dir), overrides, metrics["stop_reason"])
    return lost if outcome.objective is None else outcome.objective


def _compile_beside(config: DictConfig) -> None:
    """Have the kernel compiled, where that was never done on this machine, while this process imports Lightning."""
    if str(OmegaConf.select(config, "model._target_")) == MANUAL:
        compile_beside("float64" if OmegaConf.select(config, "trainer.precision") == "64-true" else "float32")


def _report(outcome: Outcome, folder: Path, number: int | None, overrides: list[str]) -> None:
    """The table of a single run, or the one line of a job in a sweep."""
    from rich.console import Console

    from steepest.evaluate.table import print_results

    console = Console()
    assert outcome.evaluation is not None
    if number is None:
        print_results(outcome.evaluation, outcome.metrics, folder, console)
        return
    skill = outcome.metrics["test"].get("skill")
    shown = "" if skill is None else f", test skill {skill:.4g}"
    name, value = outcome.metrics["objective"]["name"], outcome.objective
    best = "none" if value is None else f"{value:.6g}"
    console.print(
        f"job {number}: {' '.join(overrides)}: {name} {best}{shown}",
        markup=False,
        soft_wrap=True,
    )


def _outcome(config: DictConfig, folder: Path, overrides: list[str], sweep: bool) -> Outcome:
    from steepest.lightning.run import run

    if not sweep:
        _refuse_half_a_sweep(overrides)
    if not config.resume:
        return run(config, folder, overrides, alone=not sweep)
    if sweep:
        raise ValueError("resume= continues one run: leave out -m")
    if not _run_began(config.resume):
        raise ValueError(
            f"resume={config.resume}: no config.yaml is there, so no run began there; give the folder of a run"
        )
    # A folder from elsewhere may not say itself what is to be trusted.
    return run(resumed_config(folder, overrides), folder, overrides, resume=True, trust=list(config.trust))


def _refuse_half_a_sweep(overrides: list[str]) -> None:
    """Raise `ValueError` for a single run of a config that says what a sweep varies, as sweep=seeds does."""
    varied = HydraConfig.get().sweeper.get("params") or {}
    given = {o.split("=", 1)[0].lstrip("+~") for o in overrides}
    left = [str(key).lstrip("+") for key in varied if str(key).lstrip("+") not in given]
    if left:
        raise ValueError(f"the config is of a sweep over {', '.join(left)}: add -m, or give one value, {left[0]}=...")


def resumed_config(folder: Path, overrides: list[str]) -> DictConfig:
    """The config a run began with, with the changes that may be made on the way.

    Raises:
        ValueError: for overrides of what the run's numbers depend on.
    """
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    config.resume = str(folder)
    OmegaConf.set_struct(config, True)
    for override in OverridesParser.create().parse_overrides(overrides):
        key = override.key_or_group
        if key == "resume" or key.startswith("hydra."):
            continue
        if key.split(".")[0] not in MAY_CHANGE or (key in MAY_CHANGE and key not in ("threads", "trust")):
            raise ValueError(
                f"resume={folder}: {override.input_line} would make it another run; what may change on the way are the "
                f"keys of {', '.join(MAY_CHANGE[:3])}, as in stop.epochs=200"
            )
        if key != "trust":
            OmegaConf.update(config, key, override.value())
        if key in _LIMITS:  # the saved config is resolved: the trainer's limit no longer follows by itself
            OmegaConf.update(config, _LIMITS[key], override.value())
    return config


def _run_began(resume: str | None) -> bool:
    """Whether there is a run to resume in this folder."""
    return bool(resume) and (Path(str(resume)) / "config.yaml").exists()


# (Here, not in `command`: jobs that a launcher runs in other processes need them there.)
# A run that is resumed stays in its folder, whose .hydra keeps what was asked first. (A folder without a run is
# refused by the job: an error in a resolver would lose its message.)
OmegaConf.register_new_resolver("run_dir", lambda resume, new: resume if _run_began(resume) else new, replace=True)
OmegaConf.register_new_resolver("output_subdir", lambda resume: None if _run_began(resume) else ".hydra", replace=True)
# conf/hydra/launcher has files of the names that plugins give their schemas, on purpose: they are merged with those.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
