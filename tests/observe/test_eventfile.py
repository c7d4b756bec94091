"""Events written in bulk, compared with TensorBoard's writer and reader."""

import struct
import time

import numpy as np
import pytest
from conftest import read_scalars
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import custom_scalars as torchs_own

from steepest.observe.eventfile import (
    EventFile,
    custom_scalars,
    encode,
    event_file,
    write_event,
    write_histograms,
)
from steepest.observe.tags import layout


def tensorboards_own(tags, rows, steps, times):
    out = b""
    for row, step, moment in zip(rows, steps, times, strict=True):
        values = [Summary.Value(tag=tag, simple_value=float(number)) for tag, number in zip(tags, row, strict=True)]
        data = Event(wall_time=moment, step=step, summary=Summary(value=values)).SerializeToString()
        length = struct.pack("<Q", len(data))
        out += length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))
    return out


@given(
    st.lists(st.integers(1, 2**40), min_size=1, max_size=20, unique=True).map(sorted),
    st.lists(st.text("abc/_[],01", min_size=1, max_size=60), min_size=1, max_size=6, unique=True),
    st.integers(0, 2**31),
)
def test_rows_have_the_bytes_that_tensorboard_writes(steps, tags, seed):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(len(steps), len(tags))).astype(np.float32)
    rows[random.random(rows.shape) < 0.2] = random.choice([np.nan, np.inf, -np.inf, 0.0, 1e-45])
    times = time.time() + random.random(len(steps))
    assert encode(tags, rows, steps, times) == tensorboards_own(tags, rows, steps, times)


def test_tensorboard_reads_rows_and_other_events_of_one_file(tmp_path):
    writer = SummaryWriter(str(tmp_path))
    writer.add_scalar("own", 0.5, 1)
    write_event(writer, ["a", "b"], [1.0, 2.0], 0)
    rows = np.arange(600.0).reshape(300, 2)
    event_file(writer).write(encode(["a", "b"], rows, range(1, 301), [time.time()] * 300))
    write_histograms(writer, {"h": np.array([1.0, 2.0, 2.0, 3.0])}, 300)
    writer.add_scalar("own", 0.25, 2)
    # No flush, no close: what is written is on disk.
    curves = read_scalars(tmp_path)
    assert curves["a"].tolist() == [1.0, *rows[:, 0]]
    assert curves["b"].index.tolist() == list(range(301))
    assert curves["own"].tolist() == [0.5, 0.25]
    assert isinstance(event_file(writer), EventFile)
    assert len(list(tmp_path.glob("events*"))) == 1
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    histogram = events.Histograms("h")[0].histogram_value
    assert (histogram.min, histogram.max, histogram.num, histogram.sum, histogram.sum_squares) == (1, 3, 4, 8, 18)
    assert sum(histogram.bucket) == 4
    writer.close()


def test_a_writer_that_was_closed_continues_its_file(tmp_path):
    writer = SummaryWriter(str(tmp_path))
    write_event(writer, ["a"], [1.0], 1)
    writer.close()
    write_event(writer, ["a"], [2.0], 2)
    event_file(writer).close()
    assert len(list(tmp_path.iterdir())) == 1
    assert read_scalars(tmp_path)["a"].tolist() == [1.0, 2.0]


def test_a_row_with_the_wrong_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected values of shape \(2, 2\), got \(2, 3\)"):
        encode(["a", "b"], np.zeros((2, 3)), [1, 2], [0.0, 0.0])


@pytest.mark.parametrize("values", [np.random.default_rng(0).normal(size=1000), np.full(7, 3.0), np.array([2.0])])
def test_a_histogram_has_numpys_bins(tmp_path, values):
    writer = SummaryWriter(str(tmp_path))
    write_histograms(writer, {"h": values}, 1)
    writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    mine = events.Histograms("h")[0].histogram_value
    filled = [(limit, count) for limit, count in zip(mine.bucket_limit, mine.bucket, strict=True) if count]
    if np.ptp(values):
        counts, edges = np.histogram(values, 30)
        np.testing.assert_allclose(mine.bucket_limit, edges[1:])
        assert mine.bucket == counts.tolist()
    else:
        assert sum(count for _, count in filled) == len(values)
        assert filled[0][0] >= values[0]


def test_a_histogram_of_numbers_that_overflowed_is_left_out(tmp_path):
    writer = SummaryWriter(str(tmp_path))
    write_histograms(writer, {"h": np.array([1.0, np.inf])}, 1)
    write_event(writer, ["a"], [1.0], 1)
    writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.Tags()["histograms"] == []


def test_the_layout_is_written_as_pytorch_writes_it():
    assert custom_scalars(layout(2, ("W1[0,0]",))) == torchs_own(layout(2, ("W1[0,0]",)))
