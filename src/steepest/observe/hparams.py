"""Writes a run's hyperparameters and results as one row of TensorBoard's HPARAMS tab.

The table first shows five settings and, to the right of them, five results. A click shows the others. TensorBoard shows
settings marked as differing first, so this module marks those that the user set. The first five results are the first
five of `METRICS`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from steepest.observe.eventfile import Sink, event_file, write_event

NUMBERS = (
    "seed", "data.window", "data.horizon", "data.batch_size", "model.units", "model.layers", "optimizer.lr",
    "optimizer.momentum", "optimizer.weight_decay", "stop.epochs", "stop.updates",
)  # fmt: skip
WORDS = (
    "data", "data.transform", "data.target", "data.relative_to_last", "model", "model.hidden", "model.activation",
    "model.loss", "optimizer", "scheduler", "stop", "trainer.precision",
)  # fmt: skip
# The results: the same list in every run, because TensorBoard takes one run's list for all runs.
METRICS = (
    "best/objective", "test/skill", "test/rmse", "test/mase", "test/directional_accuracy", "test/accuracy",
    "test/cross_entropy", "critical/verdict", "critical/gradient_norm", "critical/greatest_eigenvalue",
    "critical/smallest_eigenvalue",
)  # fmt: skip
FIRST = ("model", "data.window", "optimizer.lr")  # the settings that come first if the user set none


def hyperparameters(plain: dict[str, Any], overrides: Sequence[str]) -> dict[str, float | str | None]:
    """The hyperparameters that the tab shows: always the same keys, and those that the user set.

    Args:
        plain: the resolved config.
        overrides: what the user typed; all jobs of a sweep have the same keys.

    Returns:
        Numbers and words, or None for a key that the config does not have.
    """
    flat: dict[str, Any] = {"seed": plain["seed"]}
    for group in ("data", "model", "optimizer", "scheduler", "stop", "trainer"):
        values = plain.get(group) or {}
        flat[group] = str(values.get("_target_", "none")).rsplit(".", 1)[-1]
        flat |= {f"{group}.{key}": value for key, value in values.items() if not str(key).startswith("_")}
    hidden = flat.get("model.hidden") or []
    hidden = hidden if isinstance(hidden, list) else [hidden]
    flat["model.layers"], flat["model.units"] = len(hidden) + 1, sum(hidden)
    others = [key for key in _typed(overrides) if key in flat and "." in key and key not in NUMBERS + WORDS]
    numbers = {key: flat[key] if _is_number(flat.get(key)) else None for key in NUMBERS}
    words = {key: None if flat.get(key) is None else str(flat[key]) for key in WORDS}
    return numbers | words | {key: flat[key] if _is_number(flat[key]) else str(flat[key]) for key in others}


def begin_session(writer: Sink, values: dict[str, float | str | None], overrides: Sequence[str]) -> None:
    """Write a run's hyperparameters; those that the user set come first."""
    now = time.time()
    first = set(_typed(overrides)) & set(values) or set(FIRST)
    columns, start = [], SessionStartInfo(start_time_secs=now)
    for key, value in values.items():
        number = key in NUMBERS or isinstance(value, float | int)
        kind = api_pb2.DATA_TYPE_FLOAT64 if number else api_pb2.DATA_TYPE_STRING
        columns.append(api_pb2.HParamInfo(name=key, type=kind, differs=key in first))
        if isinstance(value, str):
            start.hparams[key].string_value = value
        elif value is not None:
            start.hparams[key].number_value = value
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in METRICS]
    experiment = api_pb2.Experiment(hparam_infos=columns, metric_infos=metrics, time_created_secs=now)
    _write(writer, metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))
    _write(writer, metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))


def end_session(writer: Sink, status: str, values: dict[str, float | None], step: int) -> None:
    """Write a run's results, and how it ended: ``finished``, ``stopped`` or ``failed``."""
    known = {tag: value for tag, value in values.items() if value is not None}
    assert all(tag in METRICS for tag in known), "the tab shows only the metrics that a session began with"
    if known:
        write_event(writer, list(known), list(known.values()), step)
    codes = {"finished": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
    end = SessionEndInfo(status=codes.get(status, api_pb2.STATUS_UNKNOWN), end_time_secs=time.time())
    _write(writer, metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def _write(writer: Sink, tag: str, content: HParamsPluginData) -> None:
    # TensorBoard's own functions for this need TensorFlow.
    described = metadata.create_summary_metadata(content)
    value = Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)
    event_file(writer).add_event(Event(wall_time=time.time(), summary=Summary(value=[value])))


def _typed(overrides: Sequence[str]) -> list[str]:
    """The keys of what the user typed."""
    return [override.split("=", 1)[0].lstrip("+") for override in overrides]


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)
