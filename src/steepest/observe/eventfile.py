"""TensorBoard's event files: writes many scalars at once.

TensorBoard's writer takes about 80 microseconds per event, most of it for checksums in Python: more than an update of a
small model. This file encodes many rows of scalars at once, into the same bytes. It does not use Lightning.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import google_crc32c
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import layout_pb2

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from torch.utils.tensorboard.writer import SummaryWriter

Crc = TypeVar("Crc", int, np.ndarray)
Numbers = Sequence[int] | Sequence[float] | np.ndarray
HEADER, FOOTER = 12, 4  # bytes of a record around its event
PREFIX = "events.out.tfevents."
_numbers = itertools.count()  # numbers the files of this process


class EventFile:
    """An event file that is flushed at every write.

    Args:
        path: of the file; new events are appended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("ab")  # open for the whole run

    @classmethod
    def takes_over(cls, writer: EventFileWriter) -> EventFile:
        """Take the file of TensorBoard's writer, to replace that writer behind a `SummaryWriter`."""
        writer.close()
        return cls(Path(writer._file_name))

    @classmethod
    def begin(cls, folder: Path) -> EventFile:
        """Create a file with TensorBoard's name and header."""
        now = time.time()
        number = next(_numbers)
        name = f"{PREFIX}{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{number}"
        file = cls(folder / name)
        file.add_event(Event(wall_time=now, file_version="brain.Event:2"))
        return file

    def continues(self, length: int) -> bool:
        """Copy the first bytes of the folder's earlier event file into this one, and delete the earlier files.

        The file of a resumed run then has each point once, and none from after its checkpoint.

        Args:
            length: the length of the earlier file in bytes when the checkpoint was written.

        Returns:
            Whether such a file exists.
        """
        earlier = [p for p in sorted(self.path.parent.glob(f"{PREFIX}*")) if p != self.path]
        complete = [p for p in earlier if p.stat().st_size >= length]
        if not complete:
            return False
        self.file.close()
        part = self.path.with_name("events.part")  # TensorBoard does not read files of this name
        part.write_bytes(complete[-1].read_bytes()[:length])
        part.replace(self.path)
        for path in earlier:
            path.unlink()
        return True

    def get_logdir(self) -> str:
        """The folder of the file."""
        return str(self.path.parent)

    def add_event(self, event: Event) -> None:
        """Write any event."""
        self.add_events([event])

    def add_events(self, events: Iterable[Event]) -> None:
        """Write any events at once."""
        self.write(b"".join(_record(event.SerializeToString()) for event in events))

    def write(self, records: bytes) -> None:
        """Write records, as `encode` makes them.

        Lightning closes its logger at the end of a fit. A run writes more after that, so the file is opened again.
        """
        if self.file.closed:
            self.file = self.path.open("ab")
        self.file.write(records)
        self.file.flush()

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Close the file."""
        self.file.close()


Sink: TypeAlias = "SummaryWriter | EventFile"
_file_of: WeakKeyDictionary[SummaryWriter, EventFile] = WeakKeyDictionary()


def event_file(writer: Sink) -> EventFile:
    """Return the `EventFile` of a writer, also of a closed one. The first call replaces TensorBoard's file writer."""
    if isinstance(writer, EventFile):
        return writer
    if writer not in _file_of:
        files = writer._get_file_writer()
        files.event_writer = _file_of[writer] = EventFile.takes_over(files.event_writer)
    return _file_of[writer]


def write_event(writer: Sink, tags: Sequence[str], values: Sequence[float], step: int) -> None:
    """One event that holds several values."""
    summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in zip(tags, values, strict=True)])
    event_file(writer).add_event(Event(wall_time=time.time(), step=step, summary=summary))


def custom_scalars(layout: dict[str, Any]) -> Summary:
    """The layout of the Custom Scalars tab: category -> chart -> ``["Multiline", tags]``.

    It equals `torch.utils.tensorboard.summary.custom_scalars`, whose import takes longer than a small sweep.
    """
    categories = []
    for title, charts in layout.items():
        lines = {name: layout_pb2.MultilineChartContent(tag=tags) for name, (_, tags) in charts.items()}
        chart = [layout_pb2.Chart(title=name, multiline=content) for name, content in lines.items()]
        categories.append(layout_pb2.Category(title=title, chart=chart))
    content = layout_pb2.Layout(category=categories).SerializeToString()
    tensor = TensorProto(dtype="DT_STRING", string_val=[content], tensor_shape=TensorShapeProto())
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="custom_scalars"))
    return Summary(value=[Summary.Value(tag="custom_scalars__config__", tensor=tensor, metadata=metadata)])


def write_histograms(writer: Sink, tensors: Mapping[str, np.ndarray], step: int) -> None:
    """One event with a histogram of each tensor, by tag; a tensor that overflowed has none."""
    found = zip(tensors, histograms(list(tensors.values())), strict=True)
    values = [Summary.Value(tag=tag, histo=histogram) for tag, histogram in found if histogram is not None]
    if values:
        event_file(writer).add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))


def histograms(tensors: Sequence[np.ndarray], bins: int = 30) -> list[HistogramProto | None]:
    """A histogram of each of Q tensors, in bins of equal width from its smallest number to its largest.

    None for a tensor whose numbers overflowed: it has no bins, and its norm shows the overflow. All tensors are sorted
    into bins together, as one array (P,).
    """
    sizes_Q = np.array([tensor.size for tensor in tensors])
    starts_Q = np.cumsum(sizes_Q) - sizes_Q
    numbers_P = np.concatenate([tensor.ravel() for tensor in tensors]).astype(float)
    with np.errstate(over="ignore", invalid="ignore"):
        low_Q, high_Q = (extreme.reduceat(numbers_P, starts_Q) for extreme in (np.minimum, np.maximum))
        spread_Q = high_Q - low_Q
        width_Q = np.where(spread_Q == 0, 1.0, spread_Q) / bins  # where all numbers are equal, the bins lie above them
        sums_Q, squares_Q = (np.add.reduceat(terms_P, starts_Q) for terms_P in (numbers_P, numbers_P * numbers_P))
        known_Q = np.isfinite(spread_Q)
        distance_P = (numbers_P - np.repeat(low_Q, sizes_Q)) / np.repeat(width_Q, sizes_Q)
    distance_P[np.repeat(~known_Q, sizes_Q)] = 0
    tensor_P = np.repeat(np.arange(len(tensors)), sizes_Q)
    place_P = np.minimum(distance_P.astype(int), bins - 1) + bins * tensor_P
    counts_QB = np.bincount(place_P, minlength=bins * len(tensors)).reshape(-1, bins)
    limits_QB = low_Q[:, None] + width_Q[:, None] * np.arange(1, bins + 1)
    columns = (known_Q, low_Q, high_Q, sizes_Q, sums_Q, squares_Q, limits_QB, counts_QB)
    return [
        HistogramProto(min=low, max=high, num=size, sum=total, sum_squares=squares, bucket_limit=limits, bucket=counts)
        if known
        else None
        for known, low, high, size, total, squares, limits, counts in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def encode(tags: Sequence[str], values_KC: np.ndarray, steps: Numbers, times: Numbers) -> bytes:
    """The records of one event for each of K rows, with a value for each of C tags.

    Args:
        tags: the names of the columns.
        values_KC: the values; written in single precision, as TensorBoard keeps them.
        steps: each row's update.
        times: each row's time, in Unix seconds.

    The events of all rows differ only in their numbers. So protocol buffers encode one event as a template, and the
    numbers of each row are written into a copy of it. (Steps of a different length in bytes have another template.)
    """
    steps_K, times_K = np.asarray(steps, np.uint64), np.asarray(times, "<f8")
    lengths_K = np.maximum(1, -(-np.ceil(np.log2(steps_K.astype(float) + 1)).astype(int) // 7))
    records = b""
    with np.errstate(over="ignore"):  # too large for single precision: infinite
        values_KC = np.asarray(values_KC, "<f4")
    if values_KC.shape != (len(steps_K), len(tags)):
        raise ValueError(f"expected values of shape {(len(steps_K), len(tags))}, got {values_KC.shape}")
    for length in np.unique(lengths_K):
        rows = lengths_K == length
        records += _encode(tuple(tags), values_KC[rows], steps_K[rows], times_K[rows], int(length))
    return records


def _encode(tags: tuple[str, ...], values_KC: np.ndarray, steps_K: np.ndarray, times_K: np.ndarray, size: int) -> bytes:
    """The records of rows whose steps take `size` bytes."""
    record, places = _template(tags, size)
    record_KL = np.empty((len(steps_K), len(record)), np.uint8)
    record_KL[:] = record
    values_KV = np.ascontiguousarray(values_KC, "<f4").view(np.uint8)
    numbers = [(places.time, times_K[:, None].view(np.uint8)), (places.step, _varints(steps_K, size))]
    numbers += [(start, values_KV[:, 4 * column : 4 * column + 4]) for column, start in enumerate(places.values)]
    for start, bytes_KB in numbers:
        record_KL[:, start : start + bytes_KB.shape[1]] = bytes_KB
    event_KL = record_KL[:, HEADER:-FOOTER]
    events, length = event_KL.tobytes(), event_KL.shape[1]
    sums_K = np.array([google_crc32c.value(events[a : a + length]) for a in range(0, len(events), length)], "<u8")
    record_KL[:, -FOOTER:] = _masked(sums_K).astype("<u4")[:, None].view(np.uint8)
    return record_KL.tobytes()


class _Places(NamedTuple):
    """The position in a record at which the bytes of each number start."""

    time: int
    step: int
    values: list[int]


@lru_cache(maxsize=64)
def _template(tags: tuple[str, ...], size: int) -> tuple[np.ndarray, _Places]:
    """The bytes of one record, and the positions of its numbers, found by comparing records with different numbers."""

    def record(time: float = 1.0, step: int = 1 << (7 * size - 1), value: float = 1.0) -> np.ndarray:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag in tags])
        return np.frombuffer(_record(Event(wall_time=time, step=step, summary=summary).SerializeToString()), np.uint8)

    def places(**kinds: Any) -> np.ndarray:
        one, other = (record(**{name: pair[side] for name, pair in kinds.items()}) for side in (0, 1))
        return HEADER + np.flatnonzero(one[HEADER:-FOOTER] != other[HEADER:-FOOTER])

    # Pairs of numbers whose bytes all differ.
    times, values = (
        [float(np.full(1, byte, "u1").repeat(width).view(kind)[0]) for byte in (1, 2)]
        for width, kind in ((8, "<f8"), (4, "<f4"))
    )
    steps = [sum(number << (7 * k) for k in range(size)) for number in (1, 2)]
    found = places(time=times), places(step=steps), places(value=values)
    assert [len(place) for place in found] == [8, size, 4 * len(tags)]
    return record(), _Places(int(found[0][0]), int(found[1][0]), found[2][::4].tolist())


def _varints(steps_K: np.ndarray, size: int) -> np.ndarray:
    """Steps as protocol buffers write them: seven bits a byte, lowest first; the top bit says that more follow."""
    shifts = 7 * np.arange(size, dtype=np.uint64)
    more = np.where(np.arange(size) < size - 1, 128, 0)
    return ((steps_K[:, None] >> shifts) & np.uint64(127)).astype(np.uint8) | more.astype(np.uint8)


def _record(event: bytes) -> bytes:
    """TensorFlow's record format: the length, its checksum, the event, its checksum."""
    length = struct.pack("<Q", len(event))
    sums = (google_crc32c.value(part) for part in (length, event))
    length_sum, event_sum = (struct.pack("<I", _masked(crc) & 0xFFFFFFFF) for crc in sums)
    return length + length_sum + event + event_sum


def _masked(crc: Crc) -> Crc:
    """Checksums (CRC-32C) as that format masks them; only the last 32 bits count."""
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8
