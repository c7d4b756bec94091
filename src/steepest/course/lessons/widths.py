"""10, 100, 1000 units on prices."""

from __future__ import annotations

from pathlib import Path

from steepest.course.lesson import Finding
from steepest.course.overfitting import overfitting


def teach(folder: Path) -> Finding:
    """What do more units do to the training loss, and to the later one?"""
    return overfitting(folder, "units of the hidden layer")
