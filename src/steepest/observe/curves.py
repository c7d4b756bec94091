"""Reads selected curves of many runs quickly. This module does not import torch.

It decodes only records with the selected tags. TensorBoard's reader is slower because it computes the checksum of every
record in Python.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np

HEADER, FOOTER = 12, 4  # bytes of a record around its event: length and its checksum; the event's checksum


class Curve(NamedTuple):
    """A scalar by update.

    Attributes:
        steps: the number of updates done, ascending (K,).
        values: in single precision, as TensorBoard keeps them (K,).
    """

    steps: np.ndarray
    values: np.ndarray


def read_curves(folder: Path, tags: Sequence[str] | None) -> dict[str, Curve]:
    """The curves with these tags in a run's event files, or all curves for None. An unfinished last record is ignored.

    Raises:
        ValueError: a file is damaged.
    """
    from tensorboard.compat.proto.event_pb2 import Event

    points_of: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in _records(path, [b""] if tags is None else [tag.encode() for tag in tags]):
            event = Event.FromString(record)
            for value in event.summary.value:
                if (tags is None or value.tag in tags) and value.HasField("simple_value"):
                    points_of.setdefault(value.tag, {})[event.step] = (
                        value.simple_value
                    )  # a resumed run overwrites values
    curves = {}
    for tag, points in points_of.items():
        steps, values = zip(*sorted(points.items()), strict=True)
        curves[tag] = Curve(np.array(steps), np.array(values, np.float32))
    return curves


def _records(path: Path, names: Sequence[bytes]) -> Iterator[bytes]:
    """The events of a file that contain one of these names."""
    content, place = path.read_bytes(), 0
    while place + HEADER <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        start = place + HEADER
        end = start + length
        if end + FOOTER > len(content):
            return
        if any(content.find(name, start, end) >= 0 for name in names):
            event = content[start:end]
            checksum = google_crc32c.value(event)
            masked = ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
            if content[end : end + FOOTER] != struct.pack("<I", masked):
                raise ValueError(f"{path}: bytes {start} to {end} are damaged; delete the file, or run the job again")
            yield event
        place = end + FOOTER


def thinned(curve: Curve, most: int, keep: int | None = None) -> Curve:
    """At most `most` evenly spaced points of a curve, including both ends, and the point at index `keep`."""
    count = len(curve.steps)
    if count <= most:
        return curve
    places = np.unique(np.linspace(0, count - 1, most).round().astype(int))
    if keep is not None:
        places = np.union1d(places, [keep])
    return Curve(curve.steps[places], curve.values[places])
