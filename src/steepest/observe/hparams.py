"""TensorBoard's HPARAMS tab: what a run was asked to do, and what came of it, in one row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
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
# What came of it: the same list in every run, for TensorBoard takes one run's for all.
METRICS = (
    "best/objective", "test/rmse", "test/mase", "test/directional_accuracy", "test/accuracy", "test/cross_entropy",
    "test/skill", "critical/verdict", "critical/gradient_norm", "critical/greatest_eigenvalue",
    "critical/smallest_eigenvalue",
)  # fmt: skip


def hyperparameters(plain: dict[str, Any], overrides: Sequence[str]) -> dict[str, float | str | None]:
    """A config as flat values for the tab: always the same keys, and those that the user set.

    Args:
        plain: the config, resolved.
        overrides: what the user typed; the keys of one sweep's jobs are the same.

    Returns:
        Numbers and words; None where the config has no such key.
    """
    flat: dict[str, Any] = {"seed": plain["seed"]}
    for group in ("data", "model", "optimizer", "scheduler", "stop", "trainer"):
        values = plain.get(group) or {}
        flat[group] = str(values.get("_target_", "none")).rsplit(".", 1)[-1]
        flat |= {f"{group}.{key}": value for key, value in values.items() if not str(key).startswith("_")}
    hidden = flat.get("model.hidden") or []
    flat["model.layers"], flat["model.units"] = len(hidden) + 1, sum(hidden)
    typed = [o.split("=", 1)[0].lstrip("+") for o in overrides]
    further = [k for k in typed if k in flat and "." in k and k not in NUMBERS + WORDS]
    numbers = {key: _number(flat.get(key)) for key in NUMBERS}
    words = {key: None if flat.get(key) is None else str(flat[key]) for key in WORDS}
    more = {key: flat[key] if _number(flat[key]) is not None else str(flat[key]) for key in further}
    return numbers | words | more


def begin_session(writer: Sink, values: dict[str, float | str | None]) -> None:
    """Write what the run was asked to do."""
    kinds = {
        key: api_pb2.DATA_TYPE_FLOAT64 if key in NUMBERS or isinstance(value, float | int) else api_pb2.DATA_TYPE_STRING
        for key, value in values.items()
    }
    columns = [api_pb2.HParamInfo(name=key, type=kind) for key, kind in kinds.items()]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in METRICS]
    now = time.time()
    start = SessionStartInfo(start_time_secs=now)
    for key, value in values.items():
        if isinstance(value, str):
            start.hparams[key].string_value = value
        elif value is not None:
            start.hparams[key].number_value = value
    experiment = api_pb2.Experiment(hparam_infos=columns, metric_infos=metrics, time_created_secs=now)
    _write(writer, metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))
    _write(writer, metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))


def end_session(writer: Sink, status: str, values: dict[str, float | None], step: int) -> None:
    """Write what came of it, and how it ended: ``finished``, ``stopped`` or ``failed``."""
    known = {tag: value for tag, value in values.items() if value is not None}
    assert all(tag in METRICS for tag in known), "the tab shows the metrics that a session began with"
    if known:
        write_event(writer, list(known), list(known.values()), step)
    codes = {"finished": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
    end = SessionEndInfo(status=codes.get(status, api_pb2.STATUS_UNKNOWN), end_time_secs=time.time())
    _write(writer, metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def _write(writer: Sink, tag: str, content: HParamsPluginData) -> None:
    # TensorBoard's own functions for this need TensorFlow.
    described = metadata.create_summary_metadata(content)
    value = Summary.Value(
        tag=tag, metadata=SummaryMetadata.FromString(described.SerializeToString()), tensor=metadata.NULL_TENSOR
    )
    event_file(writer).add_event(Event(wall_time=time.time(), summary=Summary(value=[value])))


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, float | int) and not isinstance(value, bool) else None
