"""One run, from a checked config to its record: build, fit, evaluate on the best epoch, write, say how good it is."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from steepest.data.batches import Batches
from steepest.lightning.datamodule import WindowDataModule
from steepest.data.windows import Batch
from steepest.evaluate.evaluation import Evaluation, evaluate
from steepest.evaluate.names import better
from steepest.nets.agreement import Disagreement
from steepest.lightning.predictors import Diverged, Predictor
from steepest.observe.audit import Audit
from steepest.observe.curvature import Curvature
from steepest.observe.figures import draw_parity
from steepest.observe.gallery import draw_descent, draw_scores, gathered, show
from steepest.observe.hparams import begin_session, end_session, hyperparameters
from steepest.observe.parity import Parity
from steepest.observe.progress import RunProgress
from steepest.observe.scores import EpochScores
from steepest.observe.tags import layout
from steepest.lightning.checkpoints import BestCheckpoint, LastCheckpoint
from steepest.runs.checks import check_choices, check_objective
from steepest.runs.config import Checked, check
from steepest.lightning.escape import Escape
from steepest.runs.files import write_text
from steepest.runs.outcome import assessment, final_values
from steepest.runs.process import keep_freed_memory
from steepest.runs.pruning import trial_of
from steepest.runs.record import RunRecord, Status, data_facts, device_name
from steepest.lightning.stops import Pruning, stop_reason

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        metrics: what metrics.json says, ``status`` and ``stop_reason`` first.
        evaluation: the scores, if the run finished.
    """

    metrics: dict[str, Any]
    evaluation: Evaluation | None

    @property
    def objective(self) -> float | None:
        """The objective at the best epoch of a finished run."""
        return self.metrics["objective"]["value"] if self.evaluation else None


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
        resume: go on from the folder's last checkpoint.
        trust: packages a config may name, instead of the config's own list.
        alone: no job of a sweep: all pictures are drawn.

    Raises:
        ValueError: for configs, data or options that cannot be trained on; the record then says failed.
    """
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if first and not resume and (folder / "run.json").exists():
        raise ValueError(
            f"{folder} holds a run already: go on with it by resume={folder}, or give another hydra.run.dir"
        )
    record = RunRecord(folder, overrides, resume)
    try:
        return _run(check(_objective_without_val(config, record), trust), folder, record, first, resume, alone)
    except Exception as error:
        if first:
            record.fail(f"{type(error).__name__}: {error}")
        raise


def _run(checked: Checked, folder: Path, record: RunRecord, first: bool, resume: bool, alone: bool) -> Outcome:
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
    rule = checked.groups["stop"]()
    last = folder / "checkpoints" / "last.ckpt"
    # Never a pickle: a checkpoint holds plain data, and one that does not is refused.
    state = torch.load(last, weights_only=True, map_location="cpu") if resume and last.exists() else None
    done = int(state["global_step"]) if state else 0
    logger = checked.groups["logger"]
    logger = logger(save_dir=str(folder), purge_step=done + 1 if state else None) if logger else False
    objective, kept = checked.run.objective, folder / "checkpoints"
    scores, latest, best = (
        EpochScores(objective),
        LastCheckpoint(kept),
        BestCheckpoint(kept, objective, better(objective)),
    )
    extra: list[Callback] = [callback() for callback in checked.groups["callbacks"].values()]
    if not alone:  # a sweep has a bar of its own
        extra = [callback for callback in extra if not isinstance(callback, RunProgress)]
    # Lightning refuses to clip for manual optimization; such a model has been given the bound itself.
    clip = {} if model.automatic_optimization else {"gradient_clip_val": None, "gradient_clip_algorithm": None}
    trial = None if resume else trial_of(checked.plain)  # a run that is gone on with by itself is no trial any more
    pruning = [] if trial is None else [Pruning(trial, scores)]
    callbacks = [*extra, scores, rule, *pruning, best, latest]
    trainer: Trainer = checked.groups["trainer"](logger=logger, callbacks=callbacks, **clip)
    if first:
        record.begin(checked.plain, data_facts(datamodule), device_name(trainer.strategy.root_device))
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_custom_scalars(layout())
        if isinstance(logger, TensorBoardLogger) and state is None:
            begin_session(logger.experiment, hyperparameters(checked.plain, record.overrides))
    for note in record.notes:
        log.warning("%s", note)

    started = time.perf_counter()
    status, reason = fit(trainer, model, datamodule, [rule, *pruning], last if state else None)
    if not trainer.is_global_zero:
        return Outcome({"status": status, "stop_reason": reason}, None)
    metrics: dict[str, Any] = {
        "status": status,
        "stop_reason": reason,
        "updates": trainer.global_step,
        "epochs": trainer.current_epoch,
        "seconds": time.perf_counter() - started,
        "objective": {"name": checked.run.objective, "value": _number(best.best_model_score)},
        "train": {},
        "val": {},
        "test": {},
        "baselines": {},
    }
    if status != "finished":
        if isinstance(logger, TensorBoardLogger):
            end_session(logger.experiment, status, {}, trainer.global_step)
            logger.finalize(status)
        record.end(metrics)
        return Outcome(metrics, None)
    evaluation = evaluate_best(model, datamodule, best.best_model_path)
    record.predictions(evaluation.predictions)
    writer = logger.experiment if isinstance(logger, TensorBoardLogger) else None
    windows_there = datamodule.placed("cpu", next(model.parameters()).dtype)
    title = checked.groups["model"].target.__name__
    descent = gathered(folder, title, model.cpu(), windows_there, evaluation, scores, extra, resumed=done > 0)
    draw_scores(descent)
    if alone or (descent.pictures is not None and descent.pictures.in_sweeps):
        draw_descent(descent, writer, trainer.global_step)
    for callback in extra:
        if isinstance(callback, Audit):
            metrics["audit"] = {"relative_error": callback.greatest, "updates_looked_at": callback.looks}
        if isinstance(callback, Curvature) and callback.ending is not None:
            metrics["critical"] = callback.ending.record() | {"sentence": callback.ending.sentence()}
        if isinstance(callback, Escape):
            metrics["escapes"] = callback.escapes
        if isinstance(callback, Parity):
            write_text(folder / "parity.csv", callback.table().to_csv(index=False))
            draw_parity(callback.table(), folder / "figures" / "parity.png")
            metrics["parity"] = callback.summary()
    if writer is not None:
        show(folder, writer, trainer.global_step)
    metrics |= assessment(evaluation, model, windows)
    if isinstance(logger, TensorBoardLogger):
        end_session(logger.experiment, status, final_values(metrics), trainer.global_step)
        logger.finalize("success")
    record.end(metrics)
    log.info("%s", metrics["verdict"])
    return Outcome(metrics, evaluation)


def _objective_without_val(config: DictConfig, record: RunRecord) -> DictConfig:
    """Let the objective be the training part's where the split leaves no validation part, and note it."""
    split, objective = OmegaConf.select(config, "data.split"), str(config.objective)
    if split is None or len(split) != 3 or split[1] != 0 or not objective.startswith("val/"):
        return config
    config = config.copy()
    config.objective = f"train/{objective.removeprefix('val/')}"
    record.notes.append(f"there is no val part (data.split), so the objective is {config.objective}")
    return config


def build_model(checked: Checked, datamodule: WindowDataModule) -> Predictor:
    """The config's model for the data's inputs and outputs, its optimizer tried once so that bad values show early."""
    windows, groups = datamodule.windows, checked.groups
    check_choices(checked, windows)
    scheduler = groups.get("scheduler")
    predictor = groups["model"](
        inputs=windows.inputs,
        outputs=windows.outputs,
        optimizer=groups["optimizer"](),
        scheduler=scheduler() if scheduler else None,
    )
    predictor.monitor = checked.run.objective
    try:
        predictor.configure_optimizers()
    except ValueError as error:
        raise ValueError(f"optimizer: {error}") from error
    return predictor


def first_batch(config: DictConfig, dtype: torch.dtype) -> tuple[Predictor, Batch]:
    """A config's model at its initial weights, and the first batch it would be trained on, on the CPU.

    Raises:
        ValueError: as `run` does.
    """
    checked = check(config)
    datamodule = WindowDataModule(checked.groups["data"](), seed=checked.run.seed)
    datamodule.setup()
    predictor, dataset = build_model(checked, datamodule), datamodule.dataset
    batches = Batches(
        datamodule.placed("cpu", dtype), "train", dataset.batch_size, seed=checked.run.seed if dataset.shuffle else None
    )
    batch = next(iter(batches))
    assert isinstance(batch, Batch)
    return predictor.to(dtype=dtype), batch


def fit(
    trainer: Trainer, model: Predictor, datamodule: WindowDataModule, rules: Sequence[Any], checkpoint: Path | None
) -> tuple[Status, str]:
    """Fit and say how it ended."""
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
    return "finished", stop_reason(rules, trainer)


def evaluate_best(model: Predictor, datamodule: WindowDataModule, checkpoint: str) -> Evaluation:
    """Load the best epoch's parameters into the model and score it on every part."""
    if checkpoint:
        state = torch.load(checkpoint, weights_only=True, map_location=model.device)
        model.load_state_dict(state["state_dict"])
    model.eval()
    return evaluate(model, datamodule.placed(model.device, next(model.parameters()).dtype))


def _number(score: torch.Tensor | None) -> float | None:
    return None if score is None else float(score)
