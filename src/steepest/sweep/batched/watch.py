"""What is recorded of runs that are trained together: for each of them what its own callbacks would have.

Shapes: R runs, P numbers of all parameters, T parameter tensors, K updates.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steepest.data.windows import Windows
from steepest.nets.stack import Stack
from steepest.observe.columns import Tags, update_rows
from steepest.observe.health import memory, unit_health
from steepest.observe.hessian import Hessian
from steepest.observe.histograms import histograms
from steepest.observe.looks import BETWEEN_RATIOS, is_turn
from steepest.observe.settings import RecorderSettings, VitalsSettings
from steepest.sweep.batched.members import Block, Member


class Look:
    """Room for what is seen of K updates of R runs, on their device.

    Args:
        stack: the runs, before the first of these updates.
        done: updates before it.
        count: K.
        kept: what a look leaves for a later one.
        entries: whether all parameters are kept.
        norms: whether more than losses is looked at.

    Attributes:
        losses: (K, R) of each update's batches, before it.
        norms: (K, R, 2 T) of the parameters before it, then of the gradients.
        entries: (K, R, P) the parameters before it, if kept.
    """

    def __init__(
        self, stack: Stack, done: int, count: int, kept: dict[str, Tensor], entries: bool, norms: bool
    ) -> None:
        self.stack, self.done, self.number, self.kept, self.looks = stack, done, 0, kept, norms
        runs, new = len(stack), stack.theta.new_empty
        self.losses = new(count, runs)
        self.norms = new(count, runs, 2 * len(stack.sizes))
        self.entries = new(count, runs, sum(stack.sizes)) if entries else None
        self.ratios: list[tuple[int, Tensor]] = []  # the update, and |step| / |parameters| of each tensor (R, T)
        self.pieces = [*stack.pieces(stack.theta), *stack.pieces(stack.gradient)]

    def take(self, loss_R: Tensor) -> None:
        """Look at one update of all runs, before it is done."""
        stack, number = self.stack, self.number
        self.losses[number] = loss_R
        self.number += 1
        if not self.looks:
            return
        torch.stack([torch.linalg.vector_norm(part, dim=1) for part in self.pieces], 1, out=self.norms[number])
        if self.entries is not None:
            self.entries[number] = stack.rows(stack.theta)
        updates = self.done + number
        if updates % BETWEEN_RATIOS == 1 and "from here" in self.kept:
            before = self.kept.pop("from here")
            self.ratios.append((updates, stack.norms(stack.theta - before) / stack.norms(before)))
        if updates % BETWEEN_RATIOS == 0:
            self.kept["from here"] = stack.theta.clone()

    def now(self) -> np.ndarray:
        """The parameters as they are: their norms, then, if kept, their numbers (R, columns)."""
        stack = self.stack
        norms_RT = stack.norms(stack.theta)
        found = [norms_RT] if self.entries is None else [norms_RT, stack.rows(stack.theta)]
        return torch.cat(found, 1).cpu().numpy()


class Watch:
    """Turns looks at all runs into each run's rows.

    Args:
        callbacks: of one of the runs; which are there, and their options, is the same for all.
        references: lines to hold losses against, written beside every epoch's scores.
        windows: in which they are trained.
    """

    def __init__(self, callbacks: Sequence[Any], references: dict[str, float], windows: Windows) -> None:
        self.recorder = next((c for c in callbacks if isinstance(c, RecorderSettings)), None)
        self.vitals = next((c for c in callbacks if isinstance(c, VitalsSettings)), None)
        self.curvature = next((c for c in callbacks if isinstance(c, Hessian)), None)
        self.references, self.windows = references, windows
        self.x_ND = windows.spread("train", self.vitals.samples if self.vitals else 1).x_ND
        self.tags: dict[int, Tags] = {}
        self.kept: dict[str, Tensor] = {}  # from one look to the next
        self.done: dict[int, tuple[int, int, float]] = {}  # updates, samples and time, when units were last looked at

    def begin(self, members: Sequence[Member], stack: Stack) -> None:
        """Name each run's numbers, and write the parameters before the first update."""
        self.small = False
        self.began = time.perf_counter()
        self._curvatures(members, stack, range(len(members)))
        if self.recorder is None:
            return
        for member in members:
            shapes = {n: p.shape for n, p in member.predictor.network.named_parameters()}
            self.tags[member.number] = Tags.of(shapes, self.recorder.scalars)
        self.small = any(tags.small for tags in self.tags.values())
        now_RC = self.look(stack, 0, 0).now()
        for run, member in enumerate(members):
            tags, now_C = self.tags[member.number], self._own(now_RC[run], member, stack, run, 1)
            member.keep(Block(tags.led_to, np.array([0]), np.array([time.time()]), now_C[None]))

    def look(self, stack: Stack, done: int, count: int) -> Look:
        """Room for what is seen of the next `count` updates."""
        return Look(stack, done, count, self.kept, self.small, self.recorder is not None)

    def keep(self, members: Sequence[Member], look: Look, done_R: np.ndarray, began: float) -> None:
        """Take over what was seen; of a run that diverged, of its updates before that.

        Args:
            members: the runs looked at.
            look: at the last updates.
            done_R: how many of them each run has done.
            began: the time before the first.
        """
        count = look.number
        moments_K = np.linspace(began, time.time(), count + 1)[1:]
        if self.recorder is None:
            return
        losses_KR, norms_KRT = look.losses.cpu().numpy(), look.norms.cpu().numpy()
        seen_KRC = norms_KRT if look.entries is None else np.concatenate([norms_KRT, look.entries.cpu().numpy()], 2)
        now_RC = look.now()
        for run, member in enumerate(members):
            done, tags = int(done_R[run]), self.tags[member.number]
            if not done:
                continue
            before_KC = self._own(seen_KRC[: done + 1, run], member, look.stack, run, 2)
            after_C = self._own(now_RC[run], member, look.stack, run, 1)
            if done < count:  # the update that was refused was looked at, too
                after_C = np.delete(before_KC[done], np.s_[len(tags.ratios) : 2 * len(tags.ratios)])
            with np.errstate(over="ignore", invalid="ignore"):
                rows_KC = update_rows(losses_KR[:done, run], before_KC[:done], after_C)
            updates_K = np.arange(look.done + 1, look.done + done + 1)
            member.keep(Block(tags.update, updates_K, moments_K[:done], rows_KC))
            for update, ratios_RT in look.ratios:
                if update <= look.done + done:
                    moment = moments_K[max(0, update - look.done - 1)]
                    row = ratios_RT[run].cpu().numpy()
                    member.keep(Block(tags.ratios, np.array([update]), np.array([moment]), row[None]))

    def _own(self, seen_C: np.ndarray, member: Member, stack: Stack, run: int, norms: int) -> np.ndarray:
        """What is a run's own of what was seen of all: not the padding, nor entries of a model that is too large."""
        count = norms * len(stack.sizes)
        if not self.small:
            return seen_C
        if not self.tags[member.number].small:
            return seen_C[..., :count]
        return np.concatenate([seen_C[..., :count], seen_C[..., count:][..., stack.own_places(run)]], -1)

    def epoch(self, members: Sequence[Member], stack: Stack, scores: Sequence[dict[str, float]]) -> None:
        """Take in the end of an epoch: scores, learning rates, spread of the parameters, units, histograms."""
        moment = np.array([time.time()])
        found: list[dict[str, float]] = [dict(row) | self.references for row in scores]
        looked = self._turns(members, self.vitals)
        shares = self._health(members, stack, looked) if looked else {}
        spreads, drawn = self._spread(stack), self._turns(members, self.recorder, "histograms")
        for run, member in enumerate(members):
            step = np.array([member.updates])
            if self.recorder is not None:
                rate = float(member.optimizer.param_groups[0]["lr"])
                row = np.array([[rate, member.epochs + 1.0, *spreads[run]]])
                member.keep(Block(self.tags[member.number].epoch, step, moment, row))
            member.keep(Block(tuple(found[run]), step, moment, np.array([[*found[run].values()]])))
            if run in looked:
                row = np.array([[values[run] for values in shares.values()]])
                member.keep(Block(tuple(shares), step, moment, row))
        if drawn:
            self._histograms(members, stack, drawn)
        self._curvatures(members, stack, self._turns(members, self.curvature))

    def _turns(self, members: Sequence[Member], callback: Any, looks: str = "looks") -> list[int]:
        """The runs at which a callback looks at the end of this epoch."""
        if callback is None:
            return []
        often = getattr(callback, looks)
        return [run for run, m in enumerate(members) if is_turn(m.epochs + 1, m.rule.epochs, often)]

    def _curvatures(self, members: Sequence[Member], stack: Stack, runs: Sequence[int]) -> None:
        for run in runs:
            member = members[run]
            if self.curvature is not None and self.curvature.is_for(member.predictor):
                stack.into(member.predictor.network, run)
                found = self.curvature.seen(member.predictor, self.windows)
                moment, values = np.array([time.time()]), np.array([[*found.values()]])
                member.keep(Block(tuple(found), np.array([member.updates]), moment, values))

    def end(self, member: Member) -> None:
        """Say where a run's descent ended."""
        if self.curvature is not None and member.status == "finished" and self.curvature.is_for(member.predictor):
            options = member.optimizer.param_groups[0]
            member.ending = self.curvature.judged(member.predictor, self.windows, options, member.batch)

    def _health(self, members: Sequence[Member], stack: Stack, runs: Sequence[int]) -> dict[str, list[float]]:
        shares = unit_health(stack.layers, stack.activations, self.x_ND, stack.widths())
        found = {name: share_R.tolist() for name, share_R in shares.items()}
        now = time.perf_counter()
        before = [self.done.get(m.number, (0, 0, self.began)) for m in members]
        since = [(m.updates - u, m.samples - n, now - t) for m, (u, n, t) in zip(members, before, strict=True)]
        found["speed/updates_per_second"] = [updates / max(seconds, 1e-9) for updates, _, seconds in since]
        found["speed/samples_per_second"] = [samples / max(seconds, 1e-9) for _, samples, seconds in since]
        self.done |= {members[run].number: (members[run].updates, members[run].samples, now) for run in runs}
        used = memory(stack.theta.device)
        if used is not None:
            found["speed/memory"] = [used] * len(members)
        return found

    def _spread(self, stack: Stack) -> list[list[float]]:
        """The mean of each parameter tensor, then the greatest absolute number of each, for every run."""
        parts = [block.flatten(1) for block in stack.blocks(stack.theta)]
        sizes_RT = stack.theta.new_tensor([[s.numel() for s in shapes] for shapes in stack.own_shapes])
        means_RT = torch.stack([part.sum(1) for part in parts], 1) / sizes_RT
        extremes_RT = torch.stack([torch.linalg.vector_norm(part, float("inf"), dim=1) for part in parts], 1)
        return torch.cat([means_RT, extremes_RT], 1).tolist()

    def _histograms(self, members: Sequence[Member], stack: Stack, runs: Sequence[int]) -> None:
        for what, numbers in (("parameters", stack.theta), ("gradients", stack.gradient)):
            for place, name in enumerate(stack.names):
                if not stack.padded:  # all runs' tensors are of one size
                    whole = histograms(stack.pieces(numbers)[place].cpu().numpy()[runs])
                else:
                    own = [stack.of(numbers, run)[place].reshape(1, -1).cpu().numpy() for run in runs]
                    whole = [histogram for row in own for histogram in histograms(row)]
                for run, histogram in zip(runs, whole, strict=True):
                    if histogram is not None and histogram.num > 1:
                        members[run].histograms.append((f"{what}/{name}", histogram, members[run].updates))
