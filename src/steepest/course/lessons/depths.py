"""Nets of one to four layers of 100 units on prices."""

from __future__ import annotations

from pathlib import Path

from steepest.course.lesson import Finding
from steepest.course.overfitting import overfitting


def teach(folder: Path) -> Finding:
    """How do more layers change the training loss and the later loss?"""
    return overfitting(folder, "hidden layers", ["1 layer", "2 layers", "3 layers", "4 layers"])
