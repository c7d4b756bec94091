"""One run without a Trainer: the compiled engine, the tracker and the record, in the calling thread.

It touches nothing process-wide: not Hydra's singleton, torch's global generator, the working directory, the
environment, the root logger, warning filters or pyplot. Therefore, runs can train in parallel.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event

from steepest.data.batches import PreparedData
from steepest.evaluate.baselines import reference_losses
from steepest.evaluate.evaluation import Evaluator
from steepest.observe.eventfile import EventFile, custom_scalars
from steepest.observe.hparams import begin_session, hyperparameters
from steepest.observe.recorder import dashboard
from steepest.runs.build import Parts, build, dtype_of, of_rows
from steepest.runs.checkpoints import LAST, save_best, save_last
from steepest.runs.checks import check_objective
from steepest.runs.config import Checked, baselines_of, kept_predictions, metrics_of, statistics_of
from steepest.runs.errors import described
from steepest.runs.finish import end_early, ended, finish
from steepest.runs.loop import KernelTraining
from steepest.runs.pruning import trial_of
from steepest.runs.record import RunRecord, data_facts, device_name, empty_parts
from steepest.runs.resume import fixed
from steepest.runs.tracker import Tracker
from steepest.runs.walk_forward import Walk, check_walk_forward, walks_forward

log = logging.getLogger(__name__)

KEPT = 4  # maximum number of data sets in memory


class SharedData:
    """Data sets that several runs use. Each is read once, and its baselines are scored once. Threads can share it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data_of: OrderedDict[str, _Shared] = OrderedDict()

    def of(self, checked: Checked) -> _Shared:
        """The data of a config; the first call reads them.

        Raises:
            ValueError: with every fault of the data.
        """
        seed = checked.run.seed if of_rows(checked) else None
        same = [checked.plain["data"], str(dtype_of(checked)), seed, walks_forward(checked), statistics_of(checked)]
        same += [checked.plain["evaluation"].get(key) for key in ("baselines", "metrics")]
        key = json.dumps(same, sort_keys=True)
        with self.lock:
            shared = self.data_of.setdefault(key, _Shared())
            self.data_of.move_to_end(key)
            while len(self.data_of) > KEPT:
                self.data_of.popitem(last=False)
        with shared.lock:
            if shared.data is None:
                shared.read(checked)
        return shared


class _Shared:
    data: PreparedData | None = None

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def read(self, checked: Checked) -> None:
        data = PreparedData(checked.groups["data"](), seed=checked.run.seed, keeps_frame=walks_forward(checked))
        data.setup()
        self.windows = data.placed("cpu", dtype_of(checked))
        self.evaluator = Evaluator(
            self.windows, requested=statistics_of(checked), own=baselines_of(checked), metrics=metrics_of(checked)
        )
        data.fitted = self.evaluator.fitted
        self.facts = data_facts(data)
        self.references: dict[str, dict[str, float]] = {}
        self.data = data

    def references_of(self, parts: Parts) -> dict[str, float]:
        """The losses of the baselines, by the run's loss function."""
        with self.lock:
            if parts.loss.name not in self.references:
                self.references[parts.loss.name] = reference_losses(parts.loss, self.windows)
            return self.references[parts.loss.name]


def drive(
    checked: Checked,
    folder: Path,
    overrides: list[str],
    shared: SharedData,
    *,
    config_text: str | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train, score and record one run in `folder`.

    Args:
        checked: a config for which `build.reason_against` returns None.
        folder: where the run's files go.
        overrides: what the user typed, for the record.
        shared: the data sets of all runs in this process.
        config_text: the text of config.yaml, if it is already known.
        interrupted: returns True when the run should stop; called several times a second.

    Returns:
        The content of metrics.json.

    Raises:
        ValueError: for data and options that do not match.
    """
    record = RunRecord(folder, overrides)
    sink: EventFile | None = None
    try:
        dataset = shared.of(checked)
        data = dataset.data
        assert data is not None
        windows = dataset.windows
        record.notes += empty_parts(windows) + dataset.evaluator.notes
        check_objective(checked, data.windows)
        check_walk_forward(checked, data.windows)
        parts = build(checked, data.windows)
        record.begin(checked.plain, dataset.facts, device_name(torch.device("cpu")), "kernel", text=config_text)
        if checked.groups["logger"]:
            sink = EventFile.begin(folder)
            charts = dashboard(parts.network, parts.instruments.values())
            sink.add_event(Event(wall_time=time.time(), summary=custom_scalars(charts)))
            begin_session(sink, hyperparameters(checked.plain, overrides), overrides)
        references = dataset.references_of(parts) if sink is not None else {}
        training = KernelTraining(
            checked, data.dataset, parts, windows, dataset.evaluator.scorers,
            sink=sink, references=references, trial=trial_of(checked.plain),
        )  # fmt: skip
        tracker = training.tracker
        started = time.perf_counter()
        kept, checkpoints = fixed(checked.plain, dataset.facts["sha256"]), folder / "checkpoints"
        save = partial(_save, tracker, parts, data, kept, checkpoints)
        status, reason = ended(tracker, *training.train(save, interrupted))
        seconds = time.perf_counter() - started
        if status != "finished":
            return end_early(tracker, record, status, reason, seconds)
        walk = None
        if walks_forward(checked):
            walk = Walk(checked, data, dataset.evaluator, kept, checkpoints, interrupted=interrupted).pooled
        metrics, evaluation = finish(
            tracker, dataset.evaluator, training.outputs, record, seconds, kept_predictions(checked), walk
        )
        if evaluation is None:
            return metrics
        record.end(metrics)
        log.info("%s", metrics["verdict"])
        return metrics
    except Exception as error:
        record.fail(described(error))
        raise
    finally:
        if sink is not None:
            sink.close()


def _save(
    tracker: Tracker, parts: Parts, data: PreparedData, config: dict[str, Any], folder: Path, *, last: bool = True
) -> None:
    tracker.flush()
    options = asdict(parts.spec)
    if last:
        save_last(tracker, parts.scheduler, options, data, config, folder / LAST)
    if tracker.best is not None:
        save_best(tracker.best, options, data, folder / "best.ckpt")
