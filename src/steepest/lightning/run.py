"""One run with Lightning, from a checked config to its record: build, fit, score the best epoch, write, draw."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Checkpoint, StochasticWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, ListConfig, OmegaConf

from steepest.engine.cache import ready
from steepest.evaluate.baselines import reference_losses
from steepest.evaluate.blocks import outputs_at
from steepest.evaluate.evaluation import Evaluation, Evaluator
from steepest.evaluate.scoring import PartScorer, part_scorers
from steepest.lightning.build import build_model
from steepest.lightning.callbacks import CheckpointFiles, Tracking
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.events import close, loggers_of
from steepest.lightning.fitting import fit
from steepest.lightning.in_memory import fit_fold_in_memory
from steepest.lightning.internals import trains_elsewhere
from steepest.lightning.manual import ManualPredictor, check_precision, choose_engine
from steepest.lightning.pictures import draw, instrument_of
from steepest.lightning.protocol import Model, ignores_optimizer, validates
from steepest.observe.eventfile import PREFIX, event_file
from steepest.observe.hparams import begin_session, hyperparameters
from steepest.observe.instrument import Instrument
from steepest.observe.progress import RunProgress
from steepest.observe.recorder import dashboard
from steepest.runs.build import reason_against_kernel
from steepest.runs.checkpoints import CONFIG, TRACKER, check_shapes, newest
from steepest.runs.checks import check_objective
from steepest.runs.claim import CONFIG_FILE, first_process
from steepest.runs.config import Checked, baselines_of, check, kept_predictions, metrics_of, statistics_of
from steepest.runs.errors import described
from steepest.runs.files import read_json, remove_unfinished, unreadable
from steepest.runs.finish import end_early, ended, finish
from steepest.runs.process import cores, interrupts, keep_freed_memory
from steepest.runs.pruning import trial_of
from steepest.runs.quoting import resume_run_command
from steepest.runs.record import RunRecord, data_facts, device_name, empty_parts
from steepest.runs.resume import check_continues, check_fixed, fixed
from steepest.runs.stops import Epochs, is_verdict
from steepest.runs.walk_forward import FitFold, Walk, check_walk_forward, fit_fold, walks_forward

log = logging.getLogger(__name__)
One = TypeVar("One", bound=Instrument)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        metrics: the content of metrics.json, ``status`` and ``stop_reason`` first.
        evaluation: the scores, if this call finished the run.
    """

    metrics: dict[str, Any]
    evaluation: Evaluation | None

    @property
    def objective(self) -> float | None:
        """Return the objective at the best epoch, or None if the run did not finish."""
        return self.metrics["objective"]["value"] if self.metrics["status"] == "finished" else None


def run(
    config: DictConfig,
    folder: Path,
    overrides: list[str],
    *,
    resume: bool = False,
    trust: list[str] | None = None,
    alone: bool = True,
) -> Outcome:
    """Check a config, train, evaluate and record one run in `folder`.

    Args:
        config: as Hydra composes it.
        folder: the run's folder.
        overrides: the user's, for the record.
        resume: continue from the folder's last checkpoint.
        trust: packages a config may name, instead of the config's own list.
        alone: draw all pictures and show a progress bar: the run is not a job of a sweep.

    Raises:
        ValueError: for a config, data or options that cannot be trained; the record then has the status failed.
    """
    interrupts.clear()
    first = first_process()
    if resume and first:
        remove_unfinished(folder)
    record = RunRecord(folder, overrides, resume)
    try:
        try:
            checked = check(_objective_without_val(config, record), trust, overrides)
        except ValueError as error:
            if not resume:
                raise
            raise ValueError(f"{folder / CONFIG_FILE}: {error}") from None
        return _run(checked, folder, record, resume, alone)
    except Exception as error:
        if first:
            record.fail(described(error))
        raise
    except KeyboardInterrupt:  # Lightning handles it during training, but not before and after
        if first and record.written:
            record.stop()
            log.error("The run stopped: interrupted. To continue it: %s", resume_run_command(folder))
        raise


def _run(checked: Checked, folder: Path, record: RunRecord, resume: bool, alone: bool) -> Outcome:
    seed_everything(checked.run.seed, verbose=False)
    torch.set_num_threads(checked.run.threads)
    keep_freed_memory()
    forward = walks_forward(checked)
    datamodule = WindowDataModule(checked.groups["data"](), seed=checked.run.seed, keeps_frame=forward)
    datamodule.setup()
    record.notes += empty_parts(datamodule.windows)
    model = build_model(checked, datamodule)
    module = model.module
    record.notes += _unused(model, record.facts["overrides"])
    check_objective(checked, datamodule.windows)
    check_walk_forward(checked, datamodule.windows)
    last, state = (newest(folder / "checkpoints") if resume else None) or (None, None)
    facts = data_facts(datamodule)
    kept = fixed(checked.plain, facts["sha256"])
    if last is not None and state is not None:
        check_fixed(folder, state[CONFIG], kept)
        check_shapes(last, state, module.state_dict())
    elif resume and first_process():  # the run was killed before its first checkpoint, so it starts again
        for events in folder.glob(f"{PREFIX}*"):
            events.unlink()
    rule, callbacks, instruments = _stop_and_callbacks(checked, alone)
    options = checked.groups["trainer"].arguments
    if state is not None and (over := _already_finished(state, rule, options.get("max_epochs"), folder)) is not None:
        return over
    loggers = loggers_of(checked.groups["logger"], folder)
    dtype = torch.float64 if options.get("precision") == "64-true" else torch.float32
    evaluator = Evaluator(
        datamodule.placed("cpu", dtype),
        requested=statistics_of(checked),
        own=baselines_of(checked),
        metrics=metrics_of(checked),
    )
    datamodule.fitted = evaluator.fitted
    record.notes += evaluator.notes
    tracking = Tracking(
        checked.run.objective, rule, instruments,
        scorers=lambda: _scorers(evaluator, module, datamodule),
        references=lambda: reference_losses(model.loss, evaluator.windows),
        model=model, data=datamodule, folder=folder / "checkpoints", config=kept,
        trial=None if resume else trial_of(checked.plain),  # a resumed run no longer belongs to the study
    )  # fmt: skip
    given: dict[str, Any] = {}
    if isinstance(module, ManualPredictor):  # it clips by itself: Lightning does not clip in manual optimization
        given = {"gradient_clip_val": None, "gradient_clip_algorithm": None}
    if validates(module) and options.get("limit_val_batches") == 0:
        given["limit_val_batches"] = None
    if options.get("max_epochs") is None:  # Lightning's default would be 1000 epochs
        given["max_epochs"] = -1
    # Averaged weights must be in place before they are scored.
    averages = [one for one in callbacks if isinstance(one, StochasticWeightAveraging)]
    others = [one for one in callbacks if one not in averages]
    trainer: Trainer = checked.groups["trainer"](
        logger=loggers, callbacks=[*averages, tracking, *others],
        enable_checkpointing=any(isinstance(one, Checkpoint) for one in others), plugins=[CheckpointFiles()],
        default_root_dir=folder,
        **given,
    )  # fmt: skip
    if trains_elsewhere(trainer):
        raise ValueError(
            "trainer.strategy: ddp_spawn, ddp_fork and ddp_notebook train in processes that return no record; "
            "use trainer.strategy=ddp"
        )
    engine, why = _engine(module, trainer)
    if state is not None:
        check_continues(folder, state["callbacks"][TRACKER], engine, trainer.world_size)
    if trainer.is_global_zero:  # processes that Lightning starts run this function too, and write nothing
        record.begin(checked.plain, facts, device_name(trainer.strategy.root_device), engine, why)
    overrides = record.facts["overrides"]
    settings = hyperparameters(checked.plain, overrides)
    boards = [one for one in loggers if isinstance(one, TensorBoardLogger) and trainer.is_global_zero]
    writer = boards[0].experiment if boards else None
    if writer is not None and not (state and event_file(writer).continues(state["callbacks"][TRACKER]["events"])):
        if state is not None:
            log.warning("%s: the event file is gone or too short: the curves start at the checkpoint", folder)
        writer.add_custom_scalars(dashboard(model.network, instruments.values()))
        begin_session(event_file(writer), settings, overrides)
    for one in loggers:
        if not isinstance(one, TensorBoardLogger):
            one.log_hyperparams({key: value for key, value in settings.items() if value is not None})
    for note in record.notes:
        log.warning("%s", note)

    if engine == "kernel":
        ready(str(dtype).removeprefix("torch."))  # the time to compile is not the time to train
    started = time.perf_counter()
    bar, result = instrument_of(instruments, RunProgress), "failed"  # what the loggers record
    try:
        status, reason = fit(trainer, module, datamodule, last)
        if tracking.tracker is None and state is not None and trainer.num_training_batches:
            # The run was killed during its evaluation, at Lightning's own limit: Lightning calls no hooks there.
            tracking.on_train_start(trainer, module)
            module.on_train_start()
            tracking.on_train_end(trainer, module)
        tracker = tracking.tracker
        if not trainer.is_global_zero:
            return Outcome({"status": status, "stop_reason": reason}, None)
        if tracker is None and status != "finished":  # before the first update
            record.fail(reason)
            return Outcome({"status": status, "stop_reason": reason}, None)
        if tracker is None:
            raise ValueError(f"trainer.limit_train_batches={trainer.limit_train_batches}: there is nothing to train on")
        status, reason = ended(tracker, status, reason)
        seconds = time.perf_counter() - started
        if status != "finished":
            return Outcome(end_early(tracker, record, status, reason, seconds), None)
        module.cpu()
        outputs = tracker.outputs
        if engine != "kernel":
            module.eval()
            outputs = partial(outputs_at, module, evaluator.windows)
        walk = None
        if forward:
            workers, say = cores() if alone else 1, bar.say if bar is not None else lambda text: None
            fold: FitFold = fit_fold
            if reason_against_kernel(checked):
                fold, workers = fit_fold_in_memory, 1  # Lightning's Trainers cannot train in several threads
            walk = Walk(
                checked, datamodule, evaluator, kept, folder / "checkpoints", fit=fold, workers=workers, say=say
            ).pooled
        metrics, evaluation = finish(tracker, evaluator, outputs, record, seconds, kept_predictions(checked), walk)
        if evaluation is None:
            return Outcome(metrics, None)
        if isinstance(module, ManualPredictor):
            module.descent = module.tracker = None
        if bar is not None:
            bar.say("drawing")
        draw(folder, model, tracker, evaluation, evaluator.windows, instruments, alone=alone, resumed=state is not None)
        record.end(metrics)
        result = "success"
    finally:
        for one in loggers:
            close(one, result)
        if bar is not None:
            bar.close()
        if tracking.tracker is not None and tracking.tracker.view.sink is not None:
            tracking.tracker.view.sink.close()
    log.info("%s", metrics["verdict"])
    return Outcome(metrics, evaluation)


def _stop_and_callbacks(checked: Checked, alone: bool) -> tuple[Epochs, list[Callback], dict[str, Instrument]]:
    """The stop rule, the callbacks of Lightning, and the instruments by name."""
    stop = checked.groups["stop"]()
    built = {name: callback() for name, callback in checked.groups["callbacks"].items()}
    callbacks = [callback for callback in built.values() if isinstance(callback, Callback)]
    instruments = {
        name: one
        for name, one in built.items()
        if isinstance(one, Instrument) and (alone or not isinstance(one, RunProgress))  # a sweep has its own bar
    }
    if isinstance(stop, Epochs):
        return stop, callbacks, instruments
    return Epochs(checked.groups["trainer"].arguments.get("max_epochs") or 1000), [*callbacks, stop], instruments


def _already_finished(state: dict[str, Any], rule: Epochs, most: int | None, folder: Path) -> Outcome | None:
    """Return the outcome of a run that has nothing left to do, or None if it can continue."""
    kept, run_json = state["callbacks"].get(TRACKER), read_json(folder / "run.json")
    metrics = read_json(folder / "metrics.json")
    if kept is None or run_json.get("status") != "finished" or metrics.get("status") != "finished":
        return None
    epochs = kept["updates"] // kept["batches"]
    at_limit = bool(rule.limit(epochs, kept["updates"])) or (most not in (None, -1) and epochs >= most)
    if not (at_limit or is_verdict(kept["reason"])):
        return None
    outcome = Outcome(metrics, None)
    try:
        reason, _ = metrics["stop_reason"], outcome.objective
    except KeyError as error:
        raise unreadable(folder / "metrics.json", error) from None
    log.warning("%s has finished already (%s): there is nothing to do; to train on, raise stop.epochs", folder, reason)
    return outcome


def _scorers(evaluator: Evaluator, module: LightningModule, datamodule: WindowDataModule) -> Mapping[str, PartScorer]:
    """Scorers on the module's device; on the CPU they are the evaluator's."""
    if module.device.type == "cpu":
        return evaluator.scorers
    return part_scorers(datamodule.placed(module.device, next(module.parameters()).dtype), own=evaluator.metrics)


def _unused(model: Model, overrides: list[str]) -> list[str]:
    """Say if a model builds its own optimizer.

    Raises:
        ValueError: if the user chose one.
    """
    if model.make_optimizer is not None or not ignores_optimizer(type(model.module)):
        return []
    name = type(model.module).__name__
    if typed := [o for o in overrides if re.match(r"[+~]*(optimizer|scheduler)\b", o)]:
        raise ValueError(
            f"{typed[0]}: {name}.configure_optimizers builds its own optimizer: leave this out, or let the constructor "
            "take `optimizer`, or remove configure_optimizers"
        )
    return [f"{name}.configure_optimizers builds the optimizer: optimizer= and scheduler= have no effect"]


def _engine(model: LightningModule, trainer: Trainer) -> tuple[str, str]:
    """Which engine makes the updates, and why it is not the kernel.

    Raises:
        ValueError: for mixed precision.
    """
    if not isinstance(model, ManualPredictor):
        return "autograd", ""
    check_precision(trainer)
    return choose_engine(model, trainer, model.build_optimizer())


def _objective_without_val(config: DictConfig, record: RunRecord) -> DictConfig:
    """Replace the objective by that of the training part if there is no validation part, and note it."""
    split, objective = OmegaConf.select(config, "data.split"), str(OmegaConf.select(config, "objective"))
    if not (isinstance(split, ListConfig) and len(split) == 3 and split[1] == 0 and objective.startswith("val/")):
        return config
    config = config.copy()
    config.objective = f"train/{objective.removeprefix('val/')}"
    record.notes.append(f"there is no val part (data.split), so the objective is {config.objective}")
    return config
