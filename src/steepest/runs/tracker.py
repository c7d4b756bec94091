"""The work after a run's updates and epochs, for both drivers: a Trainer, or a thread of a sweep.

At the end of an epoch the instruments are called, train and val are scored, the best epoch is kept, and the stop rule
decides whether the run ends. No Lightning.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from steepest.data.windows import Windows
from steepest.engine.descent import UpdateLog
from steepest.evaluate.names import better
from steepest.evaluate.scoring import Outputs, PartScorer
from steepest.nets.agreement import Disagreement
from steepest.nets.functional import evaluating, gradients_at
from steepest.nets.losses import Loss
from steepest.observe.instrument import NEVER, Instrument, View
from steepest.runs.pruning import Trial
from steepest.runs.stops import Diverged, EpochEnd, Epochs, is_verdict

log = logging.getLogger(__name__)

BATCH_LOSS = "train/batch_loss"
LEARNT = 0.001  # a batch is learnt by heart when its loss is this share of the loss before the first update, or less
ROUNDING = 4  # units in the last place: objectives that differ by no more are equal


@dataclass(frozen=True)
class Best:
    """The best epoch so far.

    Attributes:
        objective: its score.
        least: the best score of all epochs, which may differ from it by rounding.
        weights: the network's parameters, and its buffers if it has any, by name.
    """

    objective: float
    least: float
    epochs: int
    updates: int
    weights: dict[str, Tensor]


class Tracker:
    """Keeps one run's scores, its best epoch and the reason why it ended, and drives its instruments.

    Args:
        view: the run; its counts are kept here.
        objective: the score that chooses the best epoch.
        rule: when the run ends.
        instruments: by the names of `callbacks`.
        scorers: of the parts that are scored at every epoch.
        outputs: computes the outputs (M, O), in model space, for samples with these origins (M,).
        references: losses of the baselines, written with every epoch's scores.
        trial: the trial of a study whose pruner may end the run.
    """

    def __init__(
        self,
        view: View,
        objective: str,
        rule: Epochs,
        instruments: Mapping[str, Instrument],
        scorers: Mapping[str, PartScorer],
        outputs: Outputs,
        references: Mapping[str, float] | None = None,
        trial: Trial | None = None,
    ) -> None:
        self.view, self.objective, self.rule, self.instruments = view, objective, rule, dict(instruments)
        self.scorers = {part: scorer for part, scorer in scorers.items() if part != "test"}
        self.outputs, self.trial = outputs, trial
        self.references = {f"reference/{name}": loss for name, loss in (references or {}).items()}
        self.skipped: dict[str, str] = {}  # instruments that failed on the user's own model, and why
        self.history: list[dict[str, float]] = []  # for every epoch, the updates done and the scores
        self.best: Best | None = None
        self.first_loss: float | None = None  # of the first update's batch
        self.reason = ""

    @property
    def wants_entries(self) -> bool:
        """Whether the logs of updates must hold all parameters."""
        return any(i.wants_entries(self.view.network) for i in self.instruments.values())

    def begin(self) -> None:
        """Before the first update of this process."""
        with evaluating(self.view.network):
            self._each(lambda instrument: instrument.begin(self.view), raised=(ValueError,))

    def updates_ahead(self) -> int:
        """Return the number of updates that can run in one step before an instrument must observe a single update.

        It is 0 if an instrument must observe the next update.
        """
        return min((i.next_look(self.view.updates) for i in self.instruments.values()), default=NEVER)

    def updates_left(self) -> int:
        """The number of updates left before the run's limit."""
        limit = self.rule.updates_limit
        return NEVER if limit is None else limit - self.view.updates

    def look(self, x_ND: Tensor, y_NH: Tensor, loss: float, gradients: list[Tensor]) -> None:
        """Pass the next update, before it is applied, to the instruments that need it."""
        self.view.seen, self.view.gradients = (x_ND, y_NH, loss), gradients
        with evaluating(self.view.network):
            self._each(lambda one: one.look(self.view) if one.next_look(self.view.updates) == 0 else None)

    def log(self, log: UpdateLog) -> None:
        """Count updates, and pass their log to the instruments."""
        view = self.view
        if view.updates == 0 and len(log):
            self.first_loss = float(log.losses_K[0])
        view.updates += len(log)
        view.samples += log.samples
        view.batch = log.batch or view.batch
        with evaluating(view.network):
            self._each(lambda instrument: instrument.log(view, log))

    def epoch_end(self) -> dict[str, float]:
        """Score an epoch and return its scores. If the run ends here, `reason` says why."""
        view = self.view
        view.epochs += 1
        before = self.history[-1] if self.history else {}
        with evaluating(view.network):
            self._each(lambda instrument: instrument.epoch(view, before))
            scores = self._scores()
        self.history.append({"updates": float(view.updates)} | scores)
        view.write(scores | self.references)
        value = scores.get(self.objective)
        if value is not None and self._is_best(value):
            weights = {name: value.detach().clone() for name, value in view.network.state_dict().items()}
            least = value if self.best is None else min(value, self.best.least, key=self._sign)
            self.best = Best(value, least, view.epochs, view.updates, weights)
        end = EpochEnd(view.epochs, view.updates, scores, self._gradient_norm)
        self.reason = self.rule.look(end)
        if self.trial is not None:
            self.reason = self.trial.report(view.epochs, value, ends=bool(self.reason)) or self.reason
        return scores

    def flush(self) -> None:
        """Let the instruments write what they have buffered."""
        self._each(lambda instrument: instrument.flush(self.view))

    def end(self) -> None:
        """Called after the last update, if the run was not interrupted."""
        with evaluating(self.view.network):
            self._each(lambda instrument: instrument.end(self.view))
        self.flush()

    def results(self) -> dict[str, Any]:
        """The instruments' entries for metrics.json, and those that could not measure the user's own model."""
        found = {key: value for i in self.instruments.values() for key, value in i.result().items()}
        if self.view.only_batch is not None:
            found["one_batch"] = self._one_batch()
        return found | ({"skipped": self.skipped} if self.skipped else {})

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as plain data and tensors. A resumed run needs it to report the same results."""
        view, gradients = self.view, {}
        if view.updates % view.batches:  # within an epoch, whose end may need the last update's gradients
            named = view.network.named_parameters()
            gradients = {name: p.grad.detach().clone() for name, p in named if p.grad is not None}
        return {
            "updates": view.updates,
            "gradients": gradients,
            "samples": view.samples,
            "batch": view.batch,
            "batches": view.batches,
            "engine": view.engine,
            "world": view.world,
            "history": [dict(row) for row in self.history],
            "best": None if self.best is None else asdict(self.best),
            "rule": self.rule.state_dict(),
            "reason": self.reason,
            "first_loss": self.first_loss,
            "instruments": {name: i.state_dict() for name, i in self.instruments.items()},
            "events": 0 if view.sink is None else view.sink.path.stat().st_size,  # size of the event file in bytes
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state. A limit may have been raised since then; the verdict of a stop rule is final."""
        view = self.view
        view.updates, view.samples, view.batch = state["updates"], state["samples"], state["batch"]
        view.epochs = view.updates // state["batches"]
        for name, parameter in view.network.named_parameters():
            if name in state["gradients"]:
                parameter.grad = state["gradients"][name].to(parameter)
        self.history = [dict(row) for row in state["history"]]
        self.first_loss = state["first_loss"]
        self.best = None if state["best"] is None else Best(**state["best"])
        self.rule.load_state_dict(state["rule"], epochs=view.epochs, updates=view.updates)
        self.reason = state["reason"] if is_verdict(state["reason"]) else self.rule.reason
        for name, instrument in self.instruments.items():
            if name in state["instruments"]:
                instrument.load_state_dict(state["instruments"][name])

    def _each(self, call: Callable[[Instrument], None], raised: tuple[type[Exception], ...] = ()) -> None:
        """Call every instrument. One that fails on a model of the user's own is switched off.

        Args:
            call: what to call.
            raised: errors that end the run all the same.
        """
        ends: tuple[type[Exception], ...] = (Diverged, Disagreement, *raised)
        for name, instrument in list(self.instruments.items()):
            try:
                call(instrument)
            except ends:
                raise
            except Exception as error:  # PyTorch and the user's code may raise any error
                if not self.view.of_user:
                    raise
                del self.instruments[name]
                self.skipped[name] = f"{type(error).__name__}: {error}"
                log.warning("callbacks.%s cannot measure this model, and is off from now on (%s)", name, error)

    def _scores(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for part, scorer in self.scorers.items():
            scores, loss = scorer.epoch(self.outputs, self.view.loss)
            found |= {f"{part}/{name}": value for name, value in scores.items() if value is not None}
            # train/loss is taken: it is the loss of each update's batch.
            found["train/full_loss" if part == "train" else "val/loss"] = loss
        if self.view.only_batch is not None:
            targets_NH = self.view.windows.gather(self.view.only_batch).y_NH
            found[BATCH_LOSS] = float(self.view.loss(self.outputs(self.view.only_batch), targets_NH))
        return found

    def _one_batch(self) -> dict[str, Any]:
        """Whether the only batch was learnt by heart: its loss before the first update, and the lowest at an epoch."""
        least, updates = min((row[BATCH_LOSS], row["updates"]) for row in self.history)
        first = self.first_loss
        learnt = first is not None and least <= LEARNT * first
        return {"loss_before": first, "loss": least, "updates": int(updates), "learnt_by_heart": learnt}

    def _sign(self, value: float) -> float:
        return -value if better(self.objective) == "max" else value

    def _is_best(self, value: float) -> bool:
        """Whether an objective is the best so far. Among objectives equal up to rounding, the latest is best."""
        if self.best is None or not math.isfinite(value):
            return math.isfinite(value)
        epsilon = torch.finfo(next(self.view.network.parameters()).dtype).eps
        return self._sign(value) <= self._sign(self.best.least) + ROUNDING * epsilon * abs(self.best.least)

    def _gradient_norm(self) -> float:
        with evaluating(self.view.network):
            return gradient_norm(self.view.network, self.view.loss, self.view.windows)


@torch.no_grad()
def gradient_norm(network: nn.Module, loss: Loss, windows: Windows) -> float:
    """The Euclidean norm of the gradient of the whole training part's loss."""
    total = [torch.zeros_like(p) for p in network.parameters()]
    for _, (x_ND, y_NH, _) in windows.walk("train"):
        gradients = gradients_at(network, list(network.parameters()), loss, x_ND, y_NH)
        for sum_, gradient in zip(total, gradients, strict=True):
            sum_ += gradient * len(x_ND)
    return float(torch.stack([g.norm() for g in total]).norm()) / len(windows.parts["train"])
