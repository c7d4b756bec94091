"""Nets of 10, 100 and 1000 units on prices."""

from __future__ import annotations

from pathlib import Path

from steepest.course.lesson import Finding
from steepest.course.overfitting import overfitting


def teach(folder: Path) -> Finding:
    """How do more units change the training loss and the later loss?"""
    return overfitting(folder, "units of the hidden layer")
