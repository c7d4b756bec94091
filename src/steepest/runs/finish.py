"""The end of a run: score its best epoch and write its record, before pictures are drawn.

Both drivers use it, the Trainer and the threads. No Lightning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from steepest.data.windows import Windows
from steepest.evaluate.critical import KINDS
from steepest.evaluate.evaluation import Evaluation, Evaluator
from steepest.evaluate.folds import Predictions
from steepest.evaluate.pooled import Pooled
from steepest.evaluate.scoring import Outputs
from steepest.evaluate.table import extrapolation_hint, line_in_words, named_coefficients
from steepest.observe.audit import Parity
from steepest.observe.hparams import end_session
from steepest.runs.files import write_text
from steepest.runs.record import RunRecord, Status
from steepest.runs.stops import Diverged, Interrupted
from steepest.runs.tracker import Tracker


def facts(tracker: Tracker, status: Status, reason: str, seconds: float) -> dict[str, Any]:
    """The first entries of metrics.json: how the run ended."""
    best = tracker.best
    return {
        "status": status,
        "stop_reason": reason,
        "updates": tracker.view.updates,
        "epochs": tracker.view.epochs,
        "seconds": seconds,
        "objective": {
            "name": tracker.objective,
            "value": None if best is None else best.objective,
            "epoch": None if best is None else best.epochs,
        },
        "train": {},
        "val": {},
        "test": {},
        "baselines": {},
    }


def ended(tracker: Tracker, status: Status, reason: str) -> tuple[Status, str]:
    """Return the final status of a run and its reason. A run without a finite objective has failed."""
    if status == "finished" and tracker.best is None:
        return "failed", f"{tracker.objective} had no finite value: lower optimizer.lr, or check the data's scale"
    return status, reason


def end_early(tracker: Tracker, record: RunRecord, status: Status, reason: str, seconds: float) -> dict[str, Any]:
    """Record a run that was interrupted or failed, and return its metrics."""
    metrics = facts(tracker, status, reason, seconds)
    if tracker.view.sink is not None:
        end_session(tracker.view.sink, status, {}, tracker.view.updates)
    record.metrics(metrics)
    record.end(metrics)
    return metrics


def finish(
    tracker: Tracker,
    evaluator: Evaluator,
    outputs: Outputs,
    record: RunRecord,
    seconds: float,
    kept: Predictions,
    walk: Callable[[Tracker, Outputs], Pooled] | None = None,
) -> tuple[dict[str, Any], Evaluation | None]:
    """Score the best epoch and write the results. The caller then marks the run as complete with `record.end`.

    Args:
        tracker: the run's tracker; its network gets the best epoch's parameters.
        evaluator: the evaluator of the run's data.
        outputs: computes the outputs (M, O) for samples with these origins, at the current parameters.
        record: the run's record.
        seconds: the time spent on training.
        kept: the parts that the table of predictions contains.
        walk: trains the walk-forward models and returns their predictions, given the tracker and `outputs`. A holdout
            has no such function.

    Returns:
        The content of metrics.json, and the evaluation, which is None if the run stopped or failed before it was
        scored.
    """
    if tracker.best is not None:
        put(tracker.view.network, tracker.best.weights)
    try:
        pooled = walk(tracker, outputs) if walk is not None else None
    except Diverged as error:
        return end_early(tracker, record, "failed", f"diverged: {error}", seconds), None
    except Interrupted:
        return end_early(tracker, record, "stopped", "interrupted", seconds), None
    evaluation = evaluator.evaluate(outputs, pooled)
    metrics = facts(tracker, "finished", tracker.reason, seconds) | tracker.results()
    metrics |= _assessment(evaluation, tracker.view.network, evaluator.windows)
    record.predictions(evaluation, kept)
    if evaluation.walk_forward is not None:
        metrics["walk_forward"] = evaluation.walk_forward.facts()
        for fold, skill in enumerate(evaluation.walk_forward.folds["skill"]):
            tracker.view.write({"walk_forward/skill": skill} if skill is not None else {}, fold)
        write_text(record.folder / "folds.csv", evaluation.walk_forward.folds.to_csv(index=False))
    for instrument in tracker.instruments.values():
        if isinstance(instrument, Parity):
            write_text(record.folder / "parity.csv", instrument.table().to_csv(index=False))
    if tracker.view.sink is not None:
        end_session(tracker.view.sink, "finished", _final_values(metrics), tracker.view.updates)
    for listener in tracker.view.listeners:
        listener({k: v for k, v in _final_values(metrics).items() if v is not None}, tracker.view.updates)
    record.metrics(metrics)
    return metrics, evaluation


@torch.no_grad()
def put(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy these values into a network's parameters and buffers."""
    for name, value in network.state_dict().items():  # (the values share the network's memory)
        value.copy_(weights[name])


def _assessment(evaluation: Evaluation, network: nn.Module, windows: Windows) -> dict[str, Any]:
    """The part of metrics.json about the model: its scores, the baselines' scores, and the verdict."""
    verdict = evaluation.verdict()
    return evaluation.model | {
        "baselines": evaluation.baselines,
        "series": evaluation.series,
        "steps": evaluation.steps,
        "verdict": verdict.sentence,
        "beat_reference": verdict.beat,
        "p_value": verdict.p_value,
        "intervals": [asdict(interval) for interval in evaluation.intervals],
        "coefficients": named_coefficients(network, windows),
        **({} if evaluation.beaten is None else {"beaten_on": evaluation.beaten}),
        "line": line_in_words(network, windows),
        "hint": extrapolation_hint(network, windows),
    }


def _final_values(metrics: dict[str, Any]) -> dict[str, float | None]:
    """The results that TensorBoard's HPARAMS tab shows."""
    values = {"best/objective": metrics["objective"]["value"]}
    values |= {f"test/{name}": metrics["test"].get(name) for name in ("rmse", "mase", "cross_entropy", "skill")}
    values |= {f"test/{name}": metrics["test"].get(name) for name in ("directional_accuracy", "accuracy")}
    if "critical" in metrics:
        names = ("gradient_norm", "greatest_eigenvalue", "smallest_eigenvalue")
        values |= {f"critical/{name}": metrics["critical"][name] for name in names}
        values["critical/verdict"] = float(KINDS[metrics["critical"]["verdict"]][0])
    return values
