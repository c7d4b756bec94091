"""How many runs are trained at once: as many as is fastest on this machine, and as padding their widths pays for."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import pairwise

import torch

from steepest.data.windows import Batch
from steepest.nets.descents import KINDS
from steepest.nets.networks import MLP
from steepest.nets.stack import Stack
from steepest.sweep.batched.members import Member

SHARE = 0.25  # of a device's memory that a group's updates may take
TRIES = 5  # at an update, to see how long it takes
PADDING = 1 << 20  # numbers times samples of padding in an update: their arithmetic takes about as long as its calls


def pieces(widths: Sequence[Sequence[int]], inputs: int, batch: int, at_once: int) -> list[list[int]]:
    """Runs by number, widest first, in groups: no more than `at_once`, and no more padding than another group costs.

    Args:
        widths: units of each hidden layer, of each run.
        inputs: of all of them.
        batch: samples of an update.
        at_once: most runs of a group.
    """
    found: list[list[int]] = []
    for run in sorted(range(len(widths)), key=lambda i: padded(inputs, widths[i]), reverse=True):
        if not found or len(found[-1]) >= at_once or _spare(widths, [*found[-1], run], inputs) * batch > PADDING:
            found.append([])
        found[-1].append(run)
    return found


def _spare(widths: Sequence[Sequence[int]], group: Sequence[int], inputs: int) -> int:
    """Numbers that padding adds to these runs."""
    widest = padded(inputs, [max(units) for units in zip(*(widths[i] for i in group), strict=True)])
    return sum(widest - padded(inputs, widths[i]) for i in group)


def padded(inputs: int, widths: Sequence[int]) -> int:
    """Numbers below the output layer of a model with so many units in each hidden layer."""
    return sum((below + 1) * units for below, units in pairwise([inputs, *widths]))


def fastest(member: Member, batch: Batch, most: int) -> int:
    """How many such runs cost least each when they are updated at once: tried out, for caches differ.

    Args:
        member: one of them.
        batch: of an update; where and in which precision they are trained.
        most: that are wanted; never more than a part of the device's memory holds.
    """
    need = batch.x_ND.dtype.itemsize * numbers_of_a_run(member.predictor.network, len(batch.x_ND))
    most = min(most, max(1, int(SHARE * memory(batch.x_ND.device) / need)))
    costs: dict[int, float] = {}
    for count in [*(1 << power for power in range(3, most.bit_length())), most]:
        costs[count] = seconds_of_an_update(member, batch, count)
        if costs[count] > 1.2 * min(costs.values()):
            break
    least = min(costs.values())
    # Of counts that are as good the greatest: the ends of epochs cost each run less, too.
    return max(count for count, cost in costs.items() if cost < 1.03 * least)


def seconds_of_an_update(member: Member, batch: Batch, count: int) -> float:
    """What an update of one of `count` runs at once takes, at the quickest try."""
    device = batch.x_ND.device
    stack = Stack([member.predictor.network] * count, device, batch.x_ND.dtype)
    descent = KINDS[type(member.optimizer)]([member.optimizer] * count, stack)
    x_RNI, y_RNH = (t.repeat(count, 1, 1) for t in (stack.with_one(batch.x_ND), batch.y_NH))
    seconds = []
    with torch.no_grad():
        for _ in range(TRIES):
            began = time.perf_counter()
            stack.loss_and_gradient(x_RNI, y_RNH, member.predictor.loss)
            descent.step(stack.theta, stack.gradient)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - began)
    return min(seconds) / count


def numbers_of_a_run(network: MLP, batch: int) -> int:
    """Numbers that one run's update touches: parameters, gradient and momenta; inputs; four a unit and sample."""
    own = sum(p.numel() for p in network.parameters())
    inputs, units = network.layers()[0][0].shape[1], sum(len(b) for _, b in network.layers())
    return 4 * own + batch * (inputs + 4 * units)


def memory(device: torch.device) -> int:
    """Bytes of a device that are free; of a processor, a core's share of all."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (os.cpu_count() or 1)
