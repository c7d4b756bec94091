"""Walk-forward evaluation: refits the model for each fold of the test part, on the rows before it.

The kernel trains the models in parallel threads; models that it cannot train are trained in turn, by a Trainer. Each
finished model is saved in the run's folder, so a resumed run trains only the missing ones. This module does not import
Lightning.

Shapes: N samples of the test part, M samples of one training's folds, O outputs.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from steepest.data.batches import PreparedData
from steepest.data.calendar import day_text
from steepest.data.faults import counted
from steepest.data.windows import Windows
from steepest.evaluate import baselines, own
from steepest.evaluate.baselines import share_of_ones
from steepest.evaluate.evaluation import Evaluator
from steepest.evaluate.folds import WalkForward
from steepest.evaluate.pooled import Pooled, TrainingFacts
from steepest.evaluate.scoring import Outputs, PartScorer
from steepest.observe.instrument import Instrument
from steepest.runs.build import build, reason_against_kernel
from steepest.runs.checkpoints import load, save
from steepest.runs.config import Checked, baselines_of, metrics_of
from steepest.runs.finish import ended, put
from steepest.runs.folds import Folds, Training, first_targets
from steepest.runs.loop import KernelTraining
from steepest.runs.process import processes
from steepest.runs.record import Status
from steepest.runs.stops import Diverged, EarlyStop, Epochs, Interrupted, Threshold
from steepest.runs.tracker import Tracker

# Lightning callbacks that do not change the descent
OBSERVERS = (
    "DeviceStatsMonitor", "LearningRateMonitor", "ModelSummary", "RichModelSummary", "RichProgressBar",
    "TQDMProgressBar",
)  # fmt: skip
FOLDER = "folds"  # in the checkpoints folder
KEY, FACTS, NUMBERS = "steepest_fold", "steepest_fold_facts", "steepest_fold_numbers"  # keys of a saved model
SAME = ("persistence", "majority")  # references whose predictions do not depend on the fold
PREDICTED = "predicted"  # the name of the model's predictions, among the names of the baselines


@dataclass(frozen=True)
class Trained:
    """A training's model, and the predictions for its folds by name: the model's (`PREDICTED`) and the baselines'."""

    facts: TrainingFacts
    weights: Mapping[str, Tensor]
    numbers: Mapping[str, Tensor]


@dataclass(frozen=True)
class Fitted:
    """A finished training, whose network has the parameters of the best epoch.

    Attributes:
        tracker: its tracker.
        outputs: computes the outputs (M, O) for the samples with these origins (M,).
    """

    tracker: Tracker
    outputs: Outputs


# Trains a config on windows, from these weights (None: the seed's initial weights). `interrupted` returns True when the
# training should stop.
FitFold = Callable[[Checked, Windows, Mapping[str, Tensor] | None, Callable[[], bool]], Fitted]


def fit_fold(
    checked: Checked, windows: Windows, weights: Mapping[str, Tensor] | None, interrupted: Callable[[], bool]
) -> Fitted:
    """Train a fold's model with the kernel.

    Raises:
        Diverged: if the training fails.
        Interrupted: if it was interrupted.
    """
    parts = build(checked, windows)
    if weights is not None:
        put(parts.network, weights)
    run = KernelTraining(checked, checked.groups["data"](), parts, windows, fold_scorers(checked, windows))
    best_of(run.tracker, *run.train(interrupted=interrupted))
    return Fitted(run.tracker, lambda origin_M: run.descent.predict(origin_M.numpy()))


def fold_scorers(checked: Checked, windows: Windows) -> dict[str, PartScorer]:
    """The scorers of the parts on which the objective and the stop rule depend."""
    stop = checked.groups["stop"]()
    # (A stop rule of Lightning can monitor any score.)
    parts = [part for part in ("train", "val") if len(windows.parts[part])]
    watched = _watched(stop) if isinstance(stop, Epochs) else parts
    names = {name.split("/")[0] for name in (checked.run.objective, *watched)}
    share_H = share_of_ones(windows) if windows.classes else None
    return {name: PartScorer(windows, name, share_H, metrics_of(checked)) for name in sorted(names)}


def best_of(tracker: Tracker, status: Status, reason: str) -> None:
    """Give the network of a finished training the parameters of its best epoch.

    Raises:
        Diverged: if the training failed.
        Interrupted: if it was interrupted.
    """
    status, reason = ended(tracker, status, reason)
    if status == "stopped":
        raise Interrupted
    if status == "failed" or tracker.best is None:
        raise Diverged(reason)
    put(tracker.view.network, tracker.best.weights)


def walks_forward(checked: Checked) -> bool:
    """Whether a config evaluates its model walk-forward."""
    return bool(checked.groups["evaluation"].name == WalkForward.__name__)


def check_walk_forward(checked: Checked, windows: Windows) -> None:
    """Raise `ValueError` if a config requests folds that cannot be cut or trained."""
    if not walks_forward(checked):
        return
    asked = "evaluation=walk_forward"
    if not windows.ordered:
        raise ValueError(f"{asked} needs a time series, but these data are plain rows: use evaluation=holdout")
    if not len(windows.parts["test"]):
        raise ValueError(f"{asked} cuts the test part into folds, but the test part is empty: enlarge it (data.split)")
    options = checked.groups["trainer"].arguments
    if reason_against_kernel(checked) and processes(options) > 1:
        raise ValueError(
            f"{asked} trains the models of its folds in one process, not in several (trainer.devices="
            f"{options.get('devices')}): use trainer.devices=1"
        )
    for key, node in checked.groups["callbacks"].items():
        observes = isinstance(node.target, type) and issubclass(node.target, Instrument)
        if node.name == "Escape" or not (observes or node.name in OBSERVERS):
            raise ValueError(
                f"{asked} trains the models of its folds without callbacks, but callbacks.{key} ({node.name}) can "
                "change the descent: remove it"
            )
    checked.groups["evaluation"]().cut(len(np.unique(first_targets(windows))), windows.unit)


class Walk:
    """Trains the models of a run's folds, and pools their predictions.

    Args:
        checked: the run's config, which `check_walk_forward` accepts.
        data: the run's data, with its frame.
        evaluator: the evaluator of the run's data.
        fixed: the options and the data that determine the results; see `resume.fixed`.
        folder: the run's checkpoints folder.
        fit: trains a fold's model.
        workers: the number of threads; 1 trains in this thread.
        interrupted: returns True when the run should stop.
        say: displays the progress.
    """

    def __init__(
        self,
        checked: Checked,
        data: PreparedData,
        evaluator: Evaluator,
        fixed: Mapping[str, Any],
        folder: Path,
        *,
        fit: FitFold = fit_fold,
        workers: int = 1,
        interrupted: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.spec: WalkForward = checked.groups["evaluation"]()
        self.checked = replace(checked, groups=checked.groups | {"callbacks": {}})
        self.data, self.evaluator, self.folder = data, evaluator, folder / FOLDER
        self.own = baselines_of(checked)
        self.scorer = evaluator.scorers["test"]
        self.fit, self.workers, self.interrupted, self.say = fit, workers, interrupted, say
        self.depends_on = [dict(fixed), checked.plain["stop"]]
        self.folds = Folds(self.spec, data, evaluator.windows)
        self.stopped = threading.Event()

    def pooled(self, tracker: Tracker, outputs: Outputs) -> Pooled:
        """Train the models of the folds, and return the predictions of all folds.

        Args:
            tracker: the run's own tracker; its model predicts the first fold.
            outputs: computes the outputs (M, O) of the run's model for samples with these origins.

        Raises:
            Diverged: if a training fails, for example with a loss that is not finite.
            Interrupted: if the run was interrupted.
            ValueError: if the rows before a fold cannot be split or scaled.
        """
        assert tracker.best is not None, "the run itself has finished"
        first, *later = self.folds.trainings
        windows, weights = self.evaluator.windows, on_cpu(tracker.best.weights)
        own_N = torch.cat([block.in_data_units(outputs(block.origin_M)) for block in self.scorer.blocks()])
        whole = {PREDICTED: own_N.clone()} | _predictions(self.evaluator.predictors, self.scorer.origin_N)
        self.shapes = _shapes(weights), {name: all_N.shape[1:] for name, all_N in whole.items()}
        in_turn = self.spec.warm_start or self.workers == 1
        results = self._in_turn(later, weights) if in_turn else self._in_threads(later)
        for training, result in zip(later, results, strict=True):
            for name, number_M in result.numbers.items():
                whole[name][training.place_M] = number_M
        facts = [_facts(tracker, first, windows), *(result.facts for result in results)]
        return Pooled(whole.pop(PREDICTED), whole, self.folds.fold_N, facts, self.folds.groups, own_N)

    def _in_threads(self, trainings: list[Training]) -> list[Trained]:
        count, results = counted(len(trainings), "model"), list[Trained]()
        with ThreadPoolExecutor(max(1, min(self.workers, len(trainings)))) as pool:
            futures = [pool.submit(self._result, training, None) for training in trainings]
            try:
                for number, future in enumerate(futures):
                    self.say(f"walk-forward: {number} of {count}")
                    results.append(future.result())
            except BaseException:
                self.stopped.set()  # the threads stop at their next batch
                pool.shutdown(cancel_futures=True)
                raise
        return results

    def _in_turn(self, trainings: list[Training], weights: Mapping[str, Tensor]) -> list[Trained]:
        """Train one after another, for a warm start each from the previous model."""
        count, results = counted(len(trainings), "model"), list[Trained]()
        for number, training in enumerate(trainings):
            self.say(f"walk-forward: {number} of {count}")
            results.append(self._result(training, weights if self.spec.warm_start else None))
            weights = results[-1].weights
        return results

    def _result(self, training: Training, weights: Mapping[str, Tensor] | None) -> Trained:
        """Load the saved result of a training, or train from these weights (None: the seed's initial weights)."""
        path, key = self.folder / f"{training.number:04d}.ckpt", self._key(training, weights)
        if (kept := self._kept(path, key, len(training.place_M))) is not None:
            return kept
        windows, origin_M = self.folds.windows_of(training)
        trained = self._train(training, windows, origin_M, weights)
        save({"state_dict": trained.weights, KEY: key, FACTS: asdict(trained.facts), NUMBERS: trained.numbers}, path)
        return trained

    def _train(
        self, training: Training, windows: Windows, origin_M: Tensor, weights: Mapping[str, Tensor] | None
    ) -> Trained:
        """Train a model and predict the samples with these origins."""
        references = baselines.predictors(windows, baselines.fitted(windows))
        references |= own.predictors(windows, self.own, references)
        try:
            fitted = self.fit(self.checked, windows, weights, lambda: self.stopped.is_set() or self.interrupted())
        except Diverged as error:
            raise Diverged(f"the model of the fold that begins on {training.end:%Y-%m-%d}: {error}") from error
        predicted_MO = fitted.outputs(origin_M)
        numbers = {PREDICTED: predicted_MO if windows.classes else windows.to_price(predicted_MO, origin_M)}
        numbers |= _predictions(references, origin_M)
        best = fitted.tracker.best
        assert best is not None, "a finished training has a best epoch"
        return Trained(_facts(fitted.tracker, training, windows), on_cpu(best.weights), numbers)

    def _kept(self, path: Path, key: str, samples: int) -> Trained | None:
        """Load the result of the same training, or return None if the file has no complete one."""
        try:
            content = load(path)
            facts = TypeAdapter(TrainingFacts).validate_python(content[FACTS])
            weights, numbers = content["state_dict"], content[NUMBERS]
            shapes = _shapes(weights), {name: number.shape[1:] for name, number in numbers.items()}
            whole = shapes == self.shapes and all(len(number) == samples for number in numbers.values())
        except (OSError, ValueError, KeyError, AttributeError):  # (pydantic's error is a ValueError)
            return None
        return Trained(facts, weights, numbers) if whole and content.get(KEY) == key else None

    def _key(self, training: Training, weights: Mapping[str, Tensor] | None) -> str:
        """A checksum of everything that determines a training's result."""
        facts = [*self.depends_on, training.number, [str(day) for day in (training.start, training.val, training.end)]]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
        for tensor in (weights or {}).values():
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights on the CPU."""
    return {name: weight.cpu() for name, weight in weights.items()}


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}


def _predictions(predictors: Mapping[str, Callable[[Tensor], Tensor]], origin_M: Tensor) -> dict[str, Tensor]:
    """The predictions of the baselines except those in `SAME`."""
    # (Copies, because tensors made in inference mode cannot be written to.)
    return {name: predict(origin_M).clone() for name, predict in predictors.items() if name not in SAME}


def _facts(tracker: Tracker, training: Training, windows: Windows) -> TrainingFacts:
    best, view = tracker.best, tracker.view
    assert best is not None
    return TrainingFacts(
        train_from=day_text(training.start),
        val_from=day_text(training.val),
        trained_to=day_text(training.end),
        samples=len(windows.parts["train"]),
        updates=view.updates,
        epochs=view.epochs,
        best_epoch=best.epochs,
        objective=best.objective,
        stop_reason=tracker.reason,
    )


def _watched(rule: Epochs) -> list[str]:
    """The scores that a stop rule monitors."""
    if isinstance(rule, EarlyStop):
        return [rule.monitor]
    return ["train/full_loss"] if isinstance(rule, Threshold) else []
