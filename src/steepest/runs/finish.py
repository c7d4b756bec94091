"""The end of a run that came to its end: its best epoch is scored, and its record written, before any picture is drawn.

Both drivers end their runs here. No Lightning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from steepest.evaluate.evaluation import Evaluation, Evaluator
from steepest.evaluate.scoring import PartScorer
from steepest.observe.audit import Parity
from steepest.observe.hparams import end_session
from steepest.runs.files import write_text
from steepest.runs.outcome import assessment, final_values
from steepest.runs.record import RunRecord, Status
from steepest.runs.tracker import Tracker


def facts(tracker: Tracker, status: Status, reason: str, seconds: float) -> dict[str, Any]:
    """How a run ended, as metrics.json begins."""
    best = tracker.best
    return {
        "status": status,
        "stop_reason": reason,
        "updates": tracker.view.updates,
        "epochs": tracker.view.epochs,
        "seconds": seconds,
        "objective": {"name": tracker.objective, "value": None if best is None else best.objective},
        "train": {},
        "val": {},
        "test": {},
        "baselines": {},
    }


def end_early(tracker: Tracker, record: RunRecord, status: Status, reason: str, seconds: float) -> dict[str, Any]:
    """Record a run that was interrupted or that failed; its metrics."""
    metrics = facts(tracker, status, reason, seconds)
    if tracker.view.sink is not None:
        end_session(tracker.view.sink, status, {}, tracker.view.updates)
    record.end(metrics)
    return metrics


def finish(
    tracker: Tracker,
    model: nn.Module,
    evaluator: Evaluator,
    outputs: Callable[[PartScorer], Tensor],
    record: RunRecord,
    seconds: float,
) -> tuple[dict[str, Any], Evaluation]:
    """Score the best epoch and write the record.

    Args:
        tracker: of the run.
        model: whose network is the tracker's; it is left with the best epoch's parameters.
        evaluator: of its data.
        outputs: a part's outputs (N, O) at the current parameters.
        record: of the run.
        seconds: that it trained.

    Returns:
        What metrics.json says, and the evaluation.
    """
    if tracker.best is not None:
        put(tracker.view.network, tracker.best.weights)
    evaluation = evaluator.evaluate({part: outputs(scorer) for part, scorer in evaluator.scorers.items()})
    metrics = facts(tracker, "finished", tracker.reason, seconds) | tracker.results()
    metrics |= assessment(evaluation, model, evaluator.windows)
    record.predictions(evaluation)
    for instrument in tracker.instruments.values():
        if isinstance(instrument, Parity):
            write_text(record.folder / "parity.csv", instrument.table().to_csv(index=False))
    if tracker.view.sink is not None:
        end_session(tracker.view.sink, "finished", final_values(metrics), tracker.view.updates)
    record.end(metrics)
    return metrics, evaluation


@torch.no_grad()
def put(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network these parameters, in place."""
    for name, parameter in network.named_parameters():
        parameter.copy_(weights[name])
