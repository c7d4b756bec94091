"""Looking at parameters and gradients while they change, as cheaply as where they lie allows.

Shapes: K looks, P numbers of all parameters, T parameter tensors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from steepest.models.updates import Flat


def way_to_look(module: torch.nn.Module, parameters: list[Tensor], entries: bool) -> Look:
    """At a module whose parameters and gradient are one tensor on the CPU, by copies of it; else by PyTorch's norms."""
    flat = getattr(module, "flat", None)
    if flat is not None and flat.both.device.type == "cpu" and flat.both.numel() <= FlatLook.NUMBERS:
        return FlatLook(flat, entries)
    return Look(parameters, entries)


class Look:
    """Takes what there is to know of an update before it is done, anywhere and of any module.

    Args:
        parameters: whose norms, and gradients' norms, are taken.
        entries: whether the parameters themselves are kept too.
    """

    def __init__(self, parameters: list[Tensor], entries: bool) -> None:
        self.parameters, self.entries = parameters, entries
        self.kept: list[Tensor] = []
        self.kept_entries: list[Tensor] = []

    @torch.no_grad()
    def take(self) -> None:
        """Look at one update."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        assert len(gradients) == len(self.parameters), "every parameter has a gradient before a step"
        self.kept.append(torch.stack(torch._foreach_norm(self.parameters + gradients)))
        if self.entries:
            self.kept_entries.append(torch.cat([p.flatten() for p in self.parameters]))

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Of all looks since the last call: norms of all parameters, then of all gradients (K, 2 T); the parameters
        (K, P), if kept.
        """
        norms_K2T = torch.stack(self.kept).cpu().numpy()
        entries_KP = torch.stack(self.kept_entries).cpu().numpy() if self.entries else np.empty(0)
        self.kept, self.kept_entries = [], []
        return norms_K2T, entries_KP

    @torch.no_grad()
    def now(self) -> list[float]:
        """As the parameters are now: their norms, then, if kept, their numbers."""
        numbers = [p.flatten() for p in self.parameters] if self.entries else []
        return torch.cat([torch.stack(torch._foreach_norm(self.parameters)), *numbers]).tolist()

    @torch.no_grad()
    def mark(self) -> None:
        """Keep the parameters, to tell later how far they went."""
        self.marked = [p.clone() for p in self.parameters]

    @torch.no_grad()
    def ratios(self) -> list[float]:
        """How far each tensor went since the mark, relative to its norm there."""
        steps = torch._foreach_sub(self.parameters, self.marked)
        return (torch.stack(torch._foreach_norm(steps)) / torch.stack(torch._foreach_norm(self.marked))).tolist()

    @torch.no_grad()
    def spread(self) -> list[float]:
        """The mean of each parameter tensor, then the greatest absolute number of each."""
        extremes = torch._foreach_norm(self.parameters, ord=float("inf"))
        return torch.stack([*(p.mean() for p in self.parameters), *extremes]).tolist()


class FlatLook(Look):
    """The same of a `Flat` on a CPU: one copy a look, and the norms of many looks at once while they are in the cache.

    A small model's update leaves little in the processor's cache of the code that looks at it; so few different
    functions are called, and each does much.

    Args:
        flat: the parameters and their gradient.
        entries: whether the parameters themselves are kept too.
    """

    NUMBERS = 1 << 16  # copied before their norms are taken, a fraction of a core's cache

    def __init__(self, flat: Flat, entries: bool) -> None:
        super().__init__([*flat.parameters], entries)
        sizes = [p.numel() for p in flat.parameters]
        self.sizes, self.starts = np.array(sizes), np.cumsum([0, *sizes[:-1]])
        self.starts_of_both = np.cumsum([0, *sizes, *sizes[:-1]])
        self.both = flat.both.numpy()
        self.theta = self.both[: len(self.both) // 2]
        self.copies_M2P = np.empty((max(1, self.NUMBERS // len(self.both)), len(self.both)), self.both.dtype)
        self.copies, self.copied = list(self.copies_M2P), 0
        self.squares: list[np.ndarray] = []
        self.entries_kept: list[np.ndarray] = []

    def take(self) -> None:
        """Look at one update."""
        self.copies[self.copied][:] = self.both
        self.copied += 1
        if self.copied == len(self.copies):
            self._reduce()

    def _reduce(self) -> None:
        looks_m2P, self.copied = self.copies_M2P[: self.copied], 0
        if self.entries:
            self.entries_kept.append(looks_m2P[:, : len(self.theta)].copy())
        self.squares.append(np.add.reduceat(np.square(looks_m2P, out=looks_m2P), self.starts_of_both, axis=1))

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """As of any `Look`."""
        if self.copied:
            self._reduce()
        norms_K2T = np.sqrt(np.concatenate(self.squares))
        entries_KP = np.concatenate(self.entries_kept) if self.entries else np.empty(0)
        self.squares, self.entries_kept = [], []
        return norms_K2T, entries_KP

    def mark(self) -> None:
        """As of any `Look`."""
        self.from_P = self.theta.copy()

    def ratios(self) -> list[float]:
        """As of any `Look`."""
        steps_T, states_T = (
            np.add.reduceat(np.square(v), self.starts) for v in (self.theta - self.from_P, self.from_P)
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # a tensor of zeros goes infinitely far
            return np.sqrt(steps_T / states_T).tolist()

    def spread(self) -> list[float]:
        """As of any `Look`."""
        means_T = np.add.reduceat(self.theta, self.starts) / self.sizes
        return [*means_T.tolist(), *np.maximum.reduceat(np.abs(self.theta), self.starts).tolist()]
