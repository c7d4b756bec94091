"""What is written of every update, and by which names. No Lightning here.

Shapes: K updates kept, P numbers of all parameters, T parameter tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np


class Tags(NamedTuple):
    """The names of what is written of a model.

    Attributes:
        small: whether each of its numbers has a curve.
        led_to: where an update leads: norms of the parameters, and their entries if it is small.
        update: what is written of every update: its loss, the gradient's norms, where it led.
        ratios: what is written of some.
        epoch: what is written of every epoch.
    """

    small: bool
    led_to: list[str]
    update: list[str]
    ratios: list[str]
    epoch: list[str]

    @classmethod
    def of(cls, shapes: Mapping[str, Sequence[int]], scalars: int) -> Tags:
        """For parameters of these names and shapes; up to so many have a curve each."""
        small = sum(map(prod, shapes.values())) <= scalars
        led_to = [f"parameter_norm/{n}" for n in shapes]
        if small:
            led_to += [
                f"parameter/{n}[{','.join(map(str, i))}]" for n, s in shapes.items() for i in product(*map(range, s))
            ]
        update = ["train/loss", *(f"gradient_norm/{n}" for n in ("total", *shapes)), *led_to]
        spread = [f"parameter_{what}/{n}" for what in ("mean", "extreme") for n in shapes]
        return cls(small, led_to, update, [f"update_ratio/{n}" for n in shapes], ["learning_rate", "epoch", *spread])


def update_rows(losses_K: np.ndarray, before_KC: np.ndarray, after_C: np.ndarray) -> np.ndarray:
    """What is written of K updates (K, columns), in the order of `Tags.update`.

    Args:
        losses_K: of each update's batch, before it.
        before_KC: before each update, norms of the T parameters, norms of their gradients, and what is kept of entries.
        after_C: after the last one, norms of the parameters, and the entries.
    """
    count = before_KC.shape[1] - len(after_C)  # T
    norms_KT, gradients_KT, entries_KP = np.split(before_KC, [count, 2 * count], axis=1)
    # Before the next update is after this one.
    after_KC = np.vstack([np.hstack([norms_KT, entries_KP])[1:], after_C])
    total_K1 = np.linalg.norm(gradients_KT, axis=1, keepdims=True)
    return np.hstack([losses_K[:, None], total_K1, gradients_KT, after_KC])
