"""One run, from a checked config to its record: build, fit, score the best epoch, write, draw."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from steepest.evaluate.baselines import reference_losses
from steepest.evaluate.blocks import outputs_in_blocks
from steepest.evaluate.evaluation import Evaluation, Evaluator
from steepest.evaluate.scoring import PartScorer, part_scorers
from steepest.lightning.build import build_model
from steepest.lightning.callbacks import CheckpointFiles, Tracking
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.internals import trains_elsewhere
from steepest.lightning.manual import ManualPredictor, check_precision, choose_engine
from steepest.lightning.predictors import Diverged, Predictor
from steepest.nets.agreement import Disagreement
from steepest.observe.audit import Parity
from steepest.observe.eventfile import event_file
from steepest.observe.figures import draw_parity
from steepest.observe.gallery import draw_descent, draw_scores, recorded, show
from steepest.observe.hparams import begin_session, hyperparameters
from steepest.observe.instrument import Instrument
from steepest.observe.pictures import Pictures
from steepest.observe.progress import RunProgress
from steepest.observe.tags import layout
from steepest.runs.checkpoints import TRACKER, load
from steepest.runs.checks import check_objective
from steepest.runs.config import Checked, check
from steepest.runs.files import read_json
from steepest.runs.finish import end_early, finish
from steepest.runs.process import keep_freed_memory
from steepest.runs.pruning import trial_of
from steepest.runs.quoting import resume_run_command
from steepest.runs.record import RunRecord, Status, data_facts, device_name
from steepest.runs.stops import Epochs, is_verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        metrics: what metrics.json says, ``status`` and ``stop_reason`` first.
        evaluation: the scores, if the run finished now.
    """

    metrics: dict[str, Any]
    evaluation: Evaluation | None

    @property
    def objective(self) -> float | None:
        """The objective at the best epoch of a finished run."""
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
        folder: the run's own.
        overrides: what the user typed, for the record.
        resume: continue from the folder's last checkpoint.
        trust: packages a config may name, instead of the config's own list.
        alone: no job of a sweep: all pictures are drawn.

    Raises:
        ValueError: for configs, data or options that cannot be trained on; the record then says failed.
    """
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if first and not resume and (folder / "run.json").exists():
        raise ValueError(
            f"{folder} holds a run already. To continue it: {resume_run_command(folder)}; or give another hydra.run.dir"
        )
    record = RunRecord(folder, overrides, resume)
    try:
        return _run(check(_objective_without_val(config, record), trust), folder, record, resume, alone)
    except Exception as error:
        if first:
            record.fail(f"{type(error).__name__}: {error}")
        raise


def _run(checked: Checked, folder: Path, record: RunRecord, resume: bool, alone: bool) -> Outcome:
    seed_everything(checked.run.seed, verbose=False)
    torch.set_num_threads(checked.run.threads)
    keep_freed_memory()
    datamodule = WindowDataModule(checked.groups["data"](), seed=checked.run.seed)
    datamodule.setup()
    windows = datamodule.windows
    for part in (p for p in windows.parts if not len(windows.parts[p])):
        record.notes.append(f"the {part} part is empty (data.split) and is skipped")
    model = build_model(checked, datamodule)
    check_objective(checked.run.objective, windows)
    last = folder / "checkpoints" / "last.ckpt"
    state = load(last) if resume and last.exists() else None
    if resume and state is None:
        remove_curves(folder)  # it was killed before its first checkpoint, and begins anew
    rule, extra, instruments = _parts(checked, alone)
    most = checked.groups["trainer"].arguments.get("max_epochs")
    if state is not None and (over := _already_finished(state, rule, most, folder)) is not None:
        return over
    trial = None if resume else trial_of(checked.plain)  # a run that is continued by itself is no trial any more
    logger = checked.groups["logger"]
    done = int(state["global_step"]) if state else 0
    logger = logger(save_dir=str(folder), purge_step=done + 1 if state else None) if logger else False
    dtype = torch.float64 if checked.groups["trainer"].arguments.get("precision") == "64-true" else torch.float32
    evaluator = Evaluator(datamodule.placed("cpu", dtype))
    tracking = Tracking(
        checked.run.objective, rule, instruments,
        scorers=lambda: _scorers(evaluator, model, datamodule),
        references=lambda: reference_losses(model.loss, evaluator.windows),
        data=datamodule, folder=folder / "checkpoints", trial=trial,
    )  # fmt: skip
    # Lightning refuses to clip for manual optimization; such a model has been given the bound itself.
    given: dict[str, Any] = (
        {} if model.automatic_optimization else {"gradient_clip_val": None, "gradient_clip_algorithm": None}
    )
    if most is None:  # no limit: Lightning would take it for 1000 epochs
        given["max_epochs"] = -1
    trainer: Trainer = checked.groups["trainer"](
        logger=logger, callbacks=[tracking, *extra], enable_checkpointing=False, plugins=[CheckpointFiles()], **given
    )
    if trains_elsewhere(trainer):
        raise ValueError(
            "trainer.strategy: ddp_spawn, ddp_fork and ddp_notebook train in processes that hand no record back; "
            "use trainer.strategy=ddp"
        )
    engine, why = _engine(model, trainer)
    _check_same_engine(record, engine)
    # A process that Lightning starts itself runs all of this again, but for what only the first one does.
    if trainer.is_global_zero:
        record.begin(checked.plain, data_facts(datamodule), device_name(trainer.strategy.root_device), engine, why)
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_custom_scalars(layout())
            if state is None:
                begin_session(event_file(logger.experiment), hyperparameters(checked.plain, record.overrides))
    for note in record.notes:
        log.warning("%s", note)

    started = time.perf_counter()
    bar = next((i for i in instruments.values() if isinstance(i, RunProgress)), None)
    try:
        status, reason = fit(trainer, model, datamodule, last if state else None)
        if tracking.tracker is None and state is not None and trainer.num_training_batches:
            # Lightning begins nothing where its own limit is reached; the run was killed while it was evaluated.
            tracking.on_train_start(trainer, model)
            model.on_train_start()
            tracking.on_train_end(trainer, model)
        tracker = tracking.tracker
        if not trainer.is_global_zero:
            return Outcome({"status": status, "stop_reason": reason}, None)
        if tracker is None:
            raise ValueError(f"trainer.limit_train_batches={trainer.limit_train_batches}: there is nothing to train on")
        seconds = time.perf_counter() - started
        if status != "finished":
            return Outcome(end_early(tracker, record, status, reason, seconds), None)
        model.cpu()
        outputs = tracker.outputs
        if engine != "kernel":
            model.eval()
            outputs = lambda scorer: outputs_in_blocks(model, evaluator.windows, scorer.part)  # noqa: E731
        metrics, evaluation = finish(tracker, model, evaluator, outputs, record, seconds)
        if isinstance(model, ManualPredictor):
            model.descent = model.tracker = None
        if bar is not None:
            bar.say("drawing")
        figures, title = folder / "figures", checked.groups["model"].name
        writer = logger.experiment if isinstance(logger, TensorBoardLogger) else None
        with _pictures_never_fail_a_run():
            losses_K, every_KP = recorded(folder, model.network, instruments.values(), resumed=done > 0)
            draw_scores(figures, title, evaluation.predictions, losses_K, tracker.history)
            pictures = next((i for i in instruments.values() if isinstance(i, Pictures)), None)
            if pictures is not None and (alone or pictures.in_sweeps):
                draw_descent(figures, model, evaluator.windows, pictures, every_KP, writer)
            for instrument in instruments.values():
                if isinstance(instrument, Parity):
                    draw_parity(instrument.table(), figures / "parity.png")
            if writer is not None:
                show(folder, writer, tracker.view.updates)
    finally:
        if bar is not None:
            bar.close()
        if tracking.tracker is not None and tracking.tracker.view.sink is not None:
            tracking.tracker.view.sink.close()
    if isinstance(logger, TensorBoardLogger):
        logger.finalize("success")
    log.info("%s", metrics["verdict"])
    return Outcome(metrics, evaluation)


class _pictures_never_fail_a_run(suppress):  # noqa: N801  # a context manager
    """Log an error in drawing instead of raising it: the run's record is already complete."""

    def __init__(self) -> None:
        super().__init__(Exception)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is not None and isinstance(error, Exception):
            log.error("a picture could not be drawn (%s: %s); the run's scores are not affected", kind.__name__, error)
            logging.getLogger("steepest.traceback").info("drawing failed", exc_info=error)
        return bool(super().__exit__(kind, error, trace))


def remove_curves(folder: Path) -> None:
    """Take the event files of a run away that begins anew."""
    for path in folder.glob("events.out.tfevents.*"):
        path.unlink()


def _parts(checked: Checked, alone: bool) -> tuple[Epochs, list[Callback], dict[str, Instrument]]:
    """The stop rule, Lightning's own callbacks and this project's instruments, by their names."""
    stop = checked.groups["stop"]()
    built = {name: callback() for name, callback in checked.groups["callbacks"].items()}
    extra = [callback for callback in built.values() if isinstance(callback, Callback)]
    instruments = {name: one for name, one in built.items() if isinstance(one, Instrument)}
    if not alone:  # a sweep has a bar of its own
        instruments = {name: one for name, one in instruments.items() if not isinstance(one, RunProgress)}
    if isinstance(stop, Epochs):
        return stop, extra, instruments
    return Epochs(checked.groups["trainer"].arguments.get("max_epochs") or 1000), [*extra, stop], instruments


def _already_finished(state: dict[str, Any], rule: Epochs, most: int | None, folder: Path) -> Outcome | None:
    """The outcome of a run that has nothing left to do; None where it can continue."""
    kept, run_json = state["callbacks"].get(TRACKER), read_json(folder / "run.json")
    metrics = read_json(folder / "metrics.json")
    if kept is None or run_json.get("status") != "finished" or metrics.get("status") != "finished":
        return None
    epochs = kept["updates"] // kept["batches"]
    at_limit = bool(rule.limit(epochs, kept["updates"])) or (most not in (None, -1) and epochs >= most)
    if not (at_limit or is_verdict(kept["reason"])):
        return None
    log.warning("%s has finished already (%s): there is nothing to do", folder, metrics["stop_reason"])
    return Outcome(metrics, None)


def _scorers(evaluator: Evaluator, model: Predictor, datamodule: WindowDataModule) -> Mapping[str, PartScorer]:
    """Where the model is trained; on the CPU those that the end of the run has anyway."""
    if model.device.type == "cpu":
        return evaluator.scorers
    return part_scorers(datamodule.placed(model.device, next(model.parameters()).dtype))


def _engine(model: Predictor, trainer: Trainer) -> tuple[str, str]:
    """What will make the updates, and why it is not the kernel."""
    if not isinstance(model, ManualPredictor):
        return "autograd", ""
    check_precision(trainer)
    return choose_engine(model, trainer, model.build_optimizer())


def _check_same_engine(record: RunRecord, engine: str) -> None:
    before = record.facts.get("engine")
    if record.resumed and before not in (None, engine):
        raise ValueError(
            f"resume={record.folder}: the {before} trained the run so far, and the {engine} would now, whose last "
            "digits differ: resume it as it began, or start a new run"
        )


def _objective_without_val(config: DictConfig, record: RunRecord) -> DictConfig:
    """Let the objective be the training part's where the split leaves no validation part, and note it."""
    split, objective = OmegaConf.select(config, "data.split"), str(config.objective)
    if split is None or len(split) != 3 or split[1] != 0 or not objective.startswith("val/"):
        return config
    config = config.copy()
    config.objective = f"train/{objective.removeprefix('val/')}"
    record.notes.append(f"there is no val part (data.split), so the objective is {config.objective}")
    return config


def fit(
    trainer: Trainer, model: Predictor, datamodule: WindowDataModule, checkpoint: Path | None
) -> tuple[Status, str]:
    """Fit; the status, and the reason of one that is not ``finished``."""
    gc.freeze()  # what is there by now stays: the garbage collector need not look through it again and again
    try:
        trainer.fit(model, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    except Diverged as error:
        return "failed", f"diverged: {error}"
    except Disagreement as error:
        return "failed", f"audit: {error}"
    except SystemExit:  # Lightning's answer to Ctrl-C
        if not trainer.interrupted:
            raise
        return "stopped", "interrupted"
    finally:
        gc.unfreeze()
    return "finished", ""
