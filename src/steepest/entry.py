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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from steepest.data.faults import did_you_mean
from steepest.evaluate.names import worst
from steepest.runs.files import read_json, write_text
from steepest.runs.process import end_with
from steepest.runs.quoting import resume_run_command, train_command
from steepest.runs.trust import guard_hydra

if TYPE_CHECKING:
    from steepest.lightning.run import Outcome

log = logging.getLogger(__name__)

_TRACEBACK = "STEEPEST_TRACEBACK"
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
# What may be changed when a run is resumed: nothing that its numbers so far depend on.
MAY_CHANGE = ("stop", "trainer", "callbacks", "threads", "trust")
FIRST_FAILURE = "first_failure"  # in a sweep's folder: the job that ended it, where sweep.on_error=stop
SWEEP = "STEEPEST_SWEEP"  # of a job in a process of its own: the sweep's process
_LIMITS = {"stop.epochs": "trainer.max_epochs"}


def command(app: Callable[[], Any]) -> None:
    """Run a Hydra app: user errors become one message and exit code 2, unless ``HYDRA_FULL_ERROR=1`` asks for more."""
    atexit.register(gc.freeze)  # what is there at the end goes with the process: nothing is to be collected
    guard_hydra()
    if os.environ.get(SWEEP) == str(os.getppid()):  # the children of a job inherit its environment
        end_with(int(os.environ[SWEEP]), group=True)
    # Hydra prints errors itself and exits with 1, unless this is set; processes started by this one must still know
    # what the user wanted.
    os.environ.setdefault(_TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        say_or_raise(error)


def say_or_raise(error: Exception) -> NoReturn:
    """End with a user's error in one message, exit code 2; raise what is not one, or with ``HYDRA_FULL_ERROR=1``."""
    message = explain(error)
    if message is None or os.environ.get(_TRACEBACK, "0") not in ("0", ""):
        raise error
    sys.stderr.write(f"{message}\n")
    sys.exit(BAD_INPUT)


def explain(error: BaseException) -> str | None:
    """The message a user needs for this error; None for what is not the user's to mend."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    for link in reversed(chain):
        if isinstance(link, ConfigKeyError | ConfigAttributeError) and link.full_key:
            return _unknown_key(link)
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file and link.options:
            group, _, option = str(link.missing_cfg_file).rpartition("/")
            choices = ", ".join(link.options)
            near = did_you_mean(option, link.options) or "."
            return f"{group}={option}: there is no such choice{near} Choose among {choices}"
    for link in reversed(chain):
        if isinstance(link, ValueError) and not isinstance(link, OmegaConfBaseException | HydraException):
            return str(link)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return "\n".join(dict.fromkeys(str(link).strip() for link in chain))
    if type(error).__name__ == "MisconfigurationException":  # Lightning's; importing it here would cost seconds
        return f"trainer: {error}" + (
            " Use trainer=cpu, or trainer=auto." if "backend" in str(error) or "accelerator" in str(error) else ""
        )
    return None


def job(config: DictConfig) -> float:
    """The task of `train.py`: one run, alone or as a job of a sweep.

    Returns:
        The objective at the best epoch; of a job without one, infinity on the worse side (NaN stops some sweepers).
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    overrides = [o for o in hydra.overrides.task if not o.startswith("sweep.")]  # those steer the sweep, not the run
    sweep = hydra.mode is RunMode.MULTIRUN

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


def stopped(config: DictConfig, sweep: Path) -> bool:
    """Whether no further job of a sweep is to be begun: one has failed, and sweep.on_error=stop."""
    return OmegaConf.select(config, "sweep.on_error") == "stop" and (sweep / FIRST_FAILURE).exists()


def failed(
    config: DictConfig, folder: Path, sweep: Path, overrides: Sequence[str], said: str, more: Sequence[str] = ()
) -> None:
    """Leave in a failed job's folder what went wrong and how to see it again; tell the sweep, if it is to stop.

    Args:
        config: with `sweep.on_error`.
        folder, sweep: the job's folder and the sweep's.
        overrides: of the job.
        said: what went wrong, in words.
        more: lines that say where.
    """
    lines = [
        said,
        "",
        "To run it by itself:",
        f"  {train_command(o for o in overrides if not o.startswith('sweep.'))}",
    ]
    write_text(folder / "error.txt", "\n".join([*lines, "", *more]).rstrip() + "\n")
    if OmegaConf.select(config, "sweep.on_error") == "stop":
        write_text(sweep / FIRST_FAILURE, f"{folder.name}\n")


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


def _unknown_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    parent = error.parent_node
    names = [str(k) for k in parent] if isinstance(parent, DictConfig) else []
    key = str(error.key)
    of = f" It has {', '.join(n for n in names if not n.startswith('_') and n != 'hydra')}" if names else ""
    return f"unknown key '{error.full_key}'{did_you_mean(key, names) or '.'}{of}"


def tame_lightning() -> None:
    """Let Lightning's own lines reach the run's log instead of the screen."""
    import lightning.pytorch  # noqa: F401  # it sets its handlers up when it is imported

    tame_warnings()
    for name in (
        "lightning",
        "lightning.pytorch",
        "lightning.fabric",
        "pytorch_lightning",
        "lightning_fabric",
    ):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # It says at every save that a checkpoint holds the optimizer too.
    logging.getLogger("lightning.pytorch.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)


def tame_warnings() -> None:
    """Let warnings reach the run's log; those that say nothing of the run do not."""
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 on torch 2.13, at every batch
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # a resumed run's own


# (Here, not in `command`: jobs that a launcher runs in other processes need them there.)
# A run that is resumed stays in its folder, whose .hydra keeps what was asked first. (A folder without a run is
# refused by the job: an error in a resolver would lose its message.)
OmegaConf.register_new_resolver("run_dir", lambda resume, new: resume if _run_began(resume) else new, replace=True)
OmegaConf.register_new_resolver("output_subdir", lambda resume: None if _run_began(resume) else ".hydra", replace=True)
# conf/hydra/launcher has files of the names that plugins give their schemas, on purpose: they are merged with those.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
