"""Some curves of many runs, read quickly: records without their tags are skipped before they are decoded. No torch.

(`events.read_scalars` reads all curves of one run. TensorBoard's reader takes the checksum of every record, in Python.)
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
        steps: updates done, ascending (K,).
        values: as TensorBoard keeps them, in single precision (K,).
    """

    steps: np.ndarray
    values: np.ndarray


def read_curves(folder: Path, tags: Sequence[str]) -> dict[str, Curve]:
    """Those of these tags that a run's event files hold; a file that is being written is read as far as it is whole.

    Raises:
        ValueError: for a damaged file.
    """
    from tensorboard.compat.proto.event_pb2 import Event

    names = [tag.encode() for tag in tags]
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in records(path, names):
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.tag in tags and value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value  # a resumed run's later word
    curves = {}
    for tag, points in found.items():
        steps = sorted(points)
        curves[tag] = Curve(np.array(steps), np.array([points[step] for step in steps], np.float32))
    return curves


def records(path: Path, names: Sequence[bytes]) -> Iterator[bytes]:
    """The events of a file that hold one of these names."""
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
                raise ValueError(
                    f"{path}: its bytes {start} to {end} are damaged; take the file away, or run the job again"
                )
            yield event
        place = end + FOOTER


def thinned(curve: Curve, most: int, keep: int | None = None) -> Curve:
    """At most so many points of a curve, at even distances, with both ends.

    Args:
        curve: a curve.
        most: how many.
        keep: the place of one more that is not left out.
    """
    count = len(curve.steps)
    if count <= most:
        return curve
    places = np.unique(np.linspace(0, count - 1, most).round().astype(int))
    if keep is not None:
        places = np.union1d(places, [keep])
    return Curve(curve.steps[places], curve.values[places])
