"""A run's own folder, as the run by itself would have left it: record, curves, checkpoints, predictions, scores."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from steepest.data.windows import Windows
from steepest.evaluate.evaluation import Evaluation, Evaluator
from steepest.nets.stack import Stack
from steepest.observe.eventfile import EventFile, custom_scalars, encode, histogram_event
from steepest.observe.hparams import begin_session, end_session, hyperparameters
from steepest.observe.tags import layout
from steepest.sweep.batched.checkpoints import Checkpoints
from steepest.sweep.batched.members import Block, Member
from steepest.sweep.compose import Texts
from steepest.sweep.manifest import begin_job
from steepest.runs.files import write_text
from steepest.runs.outcome import assessment, final_values
from steepest.runs.record import PredictionsText, RunRecord

log = logging.getLogger(__name__)

SCORED = 1 << 24  # most predictions, of all runs and parts, that are held at once: 64 MiB of float32


@dataclass
class Folders:
    """What the folders of one group's runs have in common.

    Attributes:
        windows: of their data.
        data: what the record says of it.
        device: in words.
        evaluator: scores their models.
        checkpoints: writes them.
        events: whether there are any.
        text: of their predictions, once there is one.
        files: of the events of runs that have not ended, by number.
        dashboard: what each of them says the Custom Scalars tab shows.
    """

    windows: Windows
    data: dict[str, Any]
    device: str
    evaluator: Evaluator
    checkpoints: Checkpoints
    events: bool
    text: PredictionsText | None = None
    files: dict[int, EventFile] = field(default_factory=dict)
    dashboard: Summary = field(default_factory=lambda: custom_scalars(layout()))

    def begin(self, member: Member, texts: Texts) -> None:
        """Write what is known before the first update."""
        hydra = member.folder / ".hydra"
        hydra.mkdir(parents=True, exist_ok=True)
        (hydra / "config.yaml").write_text(texts.asked)
        (hydra / "hydra.yaml").write_text(texts.hydra)
        (hydra / "overrides.yaml").write_text(texts.overrides)
        begin_job(member.folder, member.number, member.overrides)
        member.record = RunRecord(member.folder, member.overrides)
        member.record.begin(member.checked.plain, self.data, self.device, texts.resolved)

    def end(self, members: Sequence[Member], written: Callable[[Member], None]) -> None:
        """Write everything else of runs that have ended; `written` is called with each as its folder is whole."""
        rows = sum(len(exam) for exam in self.evaluator.exams.values())
        at_once = max(1, SCORED // rows)
        for start in range(0, len(members), at_once):
            some = members[start : start + at_once]
            evaluations = self._evaluations([member for member in some if member.status == "finished"])
            for member in some:
                self._end(member, evaluations.get(member.number))
                written(member)

    def _evaluations(self, members: Sequence[Member]) -> dict[int, Evaluation]:
        """Of the best epoch of runs that have finished, by number."""
        for member in members:
            if member.best is not None:
                for mine, best in zip(member.predictor.network.parameters(), member.best.theta, strict=True):
                    mine.data.copy_(best)
        if not members:
            return {}
        windows = self.evaluator.windows
        stack = Stack([m.predictor.network for m in members], windows.price_T.device, windows.inputs_TF.dtype)
        made = self.evaluator.evaluate_runs(stack.outputs)
        return {member.number: evaluation for member, evaluation in zip(members, made, strict=True)}

    def _end(self, member: Member, evaluation: Evaluation | None) -> None:
        assert member.record is not None, "it began"
        metrics = member.facts() | {"train": {}, "val": {}, "test": {}, "baselines": {}}
        self.write(member)
        self.checkpoints.write(member)
        if member.ending is not None:
            metrics["critical"] = member.ending.record() | {"sentence": member.ending.sentence()}
        if evaluation is not None:
            self._predictions(member, evaluation)
            metrics |= assessment(evaluation, member.predictor, self.windows)
        if events := self.files.pop(member.number, None):
            values = final_values(metrics) if evaluation is not None else {}
            end_session(events, member.status, values, member.updates)
            events.close()
        member.record.end(metrics)
        self._log(member, metrics)

    def _predictions(self, member: Member, evaluation: Evaluation) -> None:
        if not np.isfinite(evaluation.predicted_M).all():
            assert member.record is not None
            member.record.predictions(evaluation.predictions)
            return
        if self.text is None:
            self.text = PredictionsText(evaluation.predictions, evaluation.column)
        write_text(member.folder / "predictions.csv", self.text.of(evaluation.predicted_M))

    def write(self, member: Member) -> None:
        """Write what is kept of a run's curves."""
        if self.events:
            if member.number not in self.files:
                events = self.files[member.number] = EventFile.begin(member.folder)
                events.add_event(Event(wall_time=time.time(), summary=self.dashboard))
                begin_session(events, hyperparameters(member.checked.plain, member.overrides))
            _write(self.files[member.number], member)
        member.written()

    def _log(self, member: Member, metrics: dict[str, Any]) -> None:
        now = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
        said = metrics.get("verdict") or metrics["stop_reason"]
        lines = [f"trained together with other jobs of its sweep: {member.reason}", said]
        write_text(member.folder / "train.log", "".join(f"[{now}][{__name__}][INFO] {line}\n" for line in lines))


def _write(events: EventFile, member: Member) -> None:
    for tags, blocks in in_order(member.blocks):
        events.write(
            encode(
                tags,
                np.concatenate([b.values for b in blocks]),
                np.concatenate([b.updates for b in blocks]),
                np.concatenate([b.moments for b in blocks]),
            )
        )
    events.add_events(histogram_event(*kept) for kept in member.histograms)


def in_order(blocks: Sequence[Block]) -> Iterator[tuple[tuple[str, ...], list[Block]]]:
    """Blocks of the same columns together, so that the steps of every column go up."""
    found: dict[tuple[str, ...], list[Block]] = {}
    known: set[str] = set()
    for block in blocks:
        tags = tuple(block.tags)
        if tags not in found and not known.isdisjoint(tags):  # a score was or was not defined, this once
            yield from found.items()
            found, known = {}, set()
        found.setdefault(tags, []).append(block)
        known |= set(tags)
    yield from found.items()
