"""Looking at parameters and gradients while they change, as cheaply as where they lie allows.

Shapes: K looks, P numbers of all parameters, T parameter tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from steepest.lightning.updates import Flat

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

BETWEEN_RATIOS = 50  # updates from one look at the size of a step to the next


class Rows(NamedTuple):
    """What K looks found.

    Attributes:
        norms: of all parameters before the update, then of all gradients (K, 2 T).
        entries: the parameters before it (K, P), if kept.
        ratios: after how many updates, and how far the last of them went: |step| / |parameters| of each tensor.
    """

    norms: np.ndarray
    entries: np.ndarray
    ratios: list[tuple[int, list[float]]]


def way_to_look(module: torch.nn.Module, parameters: list[Tensor], entries: bool, done: int) -> Look:
    """At a module whose parameters and gradient are one tensor on the CPU, by copies of it; else by PyTorch's norms."""
    flat = getattr(module, "flat", None)
    if flat is not None and flat.both.device.type == "cpu" and flat.both.numel() * 2 <= FlatLook.NUMBERS:
        return FlatLook(flat, entries, done)
    return Look(parameters, entries, done)


class Look:
    """Takes what there is to know of an update before it is done, anywhere and of any module.

    Args:
        parameters: whose norms, and gradients' norms, are taken.
        entries: whether the parameters themselves are kept too.
        done: updates before the first one that is looked at.
    """

    def __init__(self, parameters: list[Tensor], entries: bool, done: int = 0) -> None:
        self.parameters, self.entries, self.done = parameters, entries, done
        self.from_here: list[Tensor] | None = None
        self._begin()

    def _begin(self) -> None:
        self.kept: list[Tensor] = []
        self.kept_entries: list[Tensor] = []
        self.kept_ratios: list[tuple[int, Tensor]] = []

    @torch.no_grad()
    def take(self) -> None:
        """Look at one update."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        assert len(gradients) == len(self.parameters), "every parameter has a gradient before a step"
        self.kept.append(torch.stack(torch._foreach_norm(self.parameters + gradients)))
        if self.entries:
            self.kept_entries.append(torch.cat([p.flatten() for p in self.parameters]))
        if self.from_here is not None:
            steps = torch._foreach_sub(self.parameters, self.from_here)
            ways, states = (torch.stack(torch._foreach_norm(tensors)) for tensors in (steps, self.from_here))
            self.kept_ratios.append((self.done, ways / states))
        self.from_here = [p.clone() for p in self.parameters] if self.done % BETWEEN_RATIOS == 0 else None
        self.done += 1

    def rows(self) -> Rows:
        """What was found since the last call."""
        norms_K2T = torch.stack(self.kept).cpu().numpy()
        entries_KP = torch.stack(self.kept_entries).cpu().numpy() if self.entries else np.empty(0)
        ratios = [(done, ratios_T.tolist()) for done, ratios_T in self.kept_ratios]
        self._begin()
        return Rows(norms_K2T, entries_KP, ratios)

    @torch.no_grad()
    def now(self) -> list[float]:
        """As the parameters are now: their norms, then, if kept, their numbers."""
        numbers = [p.flatten() for p in self.parameters] if self.entries else []
        return torch.cat([torch.stack(torch._foreach_norm(self.parameters)), *numbers]).tolist()

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
        done: updates before the first one that is looked at.
    """

    NUMBERS = 1 << 18  # copied before their norms are taken: what a processor has near
    PLACES = (50, 25, 10, 5, 2)  # for copies: divisors of `BETWEEN_RATIOS`, so that a ratio is between the first two

    def __init__(self, flat: Flat, entries: bool, done: int = 0) -> None:
        self.both = flat.both
        self.theta = flat.theta.numpy()
        sizes = [p.numel() for p in flat.parameters]
        self.sizes, self.starts = np.array(sizes), np.cumsum([0, *sizes[:-1]])
        self.starts_of_both = np.cumsum([0, *sizes, *sizes[:-1]])
        self.places = next(n for n in self.PLACES if n * len(self.both) <= self.NUMBERS)
        copies_M2P = torch.empty((self.places, len(self.both)), dtype=self.both.dtype)
        self.copies_M2P, self.copies = copies_M2P.numpy(), list(copies_M2P)
        self.place = self.begun_at = done % self.places
        self.first_P: np.ndarray | None = None
        super().__init__([*flat.parameters], entries, done)

    def _begin(self) -> None:
        self.squares: list[np.ndarray] = []
        self.entries_kept: list[np.ndarray] = []
        self.ratios: list[tuple[int, list[float]]] = []

    def take(self) -> None:
        """As of any `Look`."""
        self.copies[self.place].copy_(self.both)  # NumPy's copy would cost twice as much: its code is not at hand
        self.place += 1
        if self.place == self.places:
            self._reduce()
            self.place = self.begun_at = 0

    def _reduce(self) -> None:
        """Turn the copies since the last time into what is kept of them."""
        looks_m2P = self.copies_M2P[self.begun_at : self.place]
        if self.entries:
            self.entries_kept.append(looks_m2P[:, : len(self.theta)].copy())
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # as PyTorch: infinite, and no word
            self._ratio(self.done - self.begun_at)
            self.squares.append(np.add.reduceat(np.square(looks_m2P, out=looks_m2P), self.starts_of_both, axis=1))
        self.done += len(looks_m2P)
        self.begun_at = self.place

    def _ratio(self, done_at_first: int) -> None:
        if done_at_first % BETWEEN_RATIOS:
            return
        if self.begun_at == 0:
            self.first_P = self.copies_M2P[0, : len(self.theta)].copy()
        if self.first_P is not None and self.place > 1:
            step_P = self.copies_M2P[1, : len(self.theta)] - self.first_P
            ways_T, states_T = (np.add.reduceat(np.square(v), self.starts) for v in (step_P, self.first_P))
            self.ratios.append((done_at_first + 1, np.sqrt(ways_T / states_T).tolist()))
            self.first_P = None

    def rows(self) -> Rows:
        """As of any `Look`."""
        if self.place > self.begun_at:
            self._reduce()
        entries_KP = np.concatenate(self.entries_kept) if self.entries else np.empty(0)
        found = Rows(np.sqrt(np.concatenate(self.squares)), entries_KP, self.ratios)
        self._begin()
        return found

    def spread(self) -> list[float]:
        """As of any `Look`."""
        means_T = np.add.reduceat(self.theta, self.starts) / self.sizes
        return [*means_T.tolist(), *np.maximum.reduceat(np.abs(self.theta), self.starts).tolist()]


def turn(trainer: Trainer, looks: int) -> bool:
    """Whether this epoch's end is one of about so many evenly spaced ones of a run."""
    return is_turn(trainer.current_epoch + 1, trainer.max_epochs, looks)


def is_turn(epochs: int, limit: int | None, looks: int) -> bool:
    """The same, of a run that has done so many epochs and does at most `limit`."""
    return epochs % max(1, (limit or 0) // looks) == 0
