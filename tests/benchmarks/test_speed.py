"""How fast hand-derived gradients train: ratios in one run, the median over rounds in which the two run one after the other.

    pytest tests/benchmarks -m speed -n 0

The two-layer net 28-64-1, sigmoid, batch 64, gradient descent, 5,000 rows, one thread, whole fits with the Trainer's own
start and end; every contender that can keeps the loss of every update.

What each step towards speed bought, by leaving it out of the whole (`test_every_step_towards_speed_still_pays`; one run
on a 2-core CPU, whose noise is some 10 %; the last line is of two runs):

    several updates a step: the Trainer's own cost is shared                                      3.7 x
    `lighten`: gradient descent as one foreach kernel, no profiler range, no look for hooks       1.5 x
    `Steps`: callbacks that do not watch steps are not asked at each                              1.2 x
    one residual for the loss and its slope                                                       1.1 x
    the slope of the sigmoid in one kernel                                                 1.0 to 1.1 x

Tried and left out: gradients written into buffers made beforehand (`out=`), one multiplication for weights and biases
together, `torch.inference_mode` (a tenth faster, but then no callback may change a gradient in place).
"""

from __future__ import annotations

import gc
import logging
import statistics
import time
from collections.abc import Callable
from functools import partial

import contenders
import pytest
import torch
from conftest import RATIOS

pytestmark = pytest.mark.speed
ROUNDS, EPOCHS = 15, 25
PAIRS, LONG = 24, 100  # pairs of watched runs, and their epochs


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _quiet():
    import lightning.pytorch  # noqa: F401  # it sets its loggers up

    names = ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def ratio(benchmark, request):
    """`ratio(claim, ours, others, at_least)`: how many times faster ours is, the median over rounds.

    In a round the two run one after the other, so that a slow spell of the machine falls on both.
    `ours` and `others` take a number of epochs and return what trains that long and says how many updates it did.
    """

    def measure(claim: str, ours: Callable, others: Callable, at_least: float) -> float:
        found, mine, theirs = compare(benchmark, ours, others, EPOCHS, ROUNDS)
        line = f"{claim} ({1e6 * theirs:.0f} / {1e6 * mine:.0f} microseconds per update)"
        request.config.stash.setdefault(RATIOS, []).append((line, found, f"at least {at_least:g}"))
        return found

    return measure


def compare(benchmark, ours: Callable, others: Callable, epochs: int, rounds: int) -> tuple[float, float, float]:
    """How many times faster ours is, and the seconds per update of ours and theirs; medians over rounds."""
    times: list[float] = []

    def other_first():
        train = others(epochs)
        start = time.perf_counter()
        updates = train()
        times.append((time.perf_counter() - start) / updates)
        return (ours(epochs),), {}

    updates = ours(1)() * epochs
    others(1)()
    benchmark.pedantic(lambda train: train(), setup=other_first, rounds=rounds)
    ours_times = [seconds / updates for seconds in benchmark.stats.stats.data]
    found = statistics.median(other / mine for other, mine in zip(times, ours_times, strict=True))
    mine, theirs = statistics.median(ours_times), statistics.median(times)
    benchmark.extra_info |= {"ratio": found, "ours_us": 1e6 * mine, "theirs_us": 1e6 * theirs}
    return found, mine, theirs


def test_at_least_5_times_the_usual_lightning_module(ratio):
    found = ratio(
        "the usual Lightning module, DataLoader, self.log", contenders.manual_with_losses, contenders.usual_lightning, 5
    )
    assert found >= 5


def test_at_least_2_times_a_plain_autograd_loop(ratio):
    found = ratio("a plain autograd loop, data in memory", contenders.manual_with_losses, contenders.plain_loop, 2)
    assert found >= 2


def test_at_least_1_5_times_scikit_learns_mlp_regressor(ratio):
    found = ratio("scikit-learn's MLPRegressor", contenders.manual_with_losses, contenders.scikit_learn, 1.5)
    assert found >= 1.5


def test_watched_at_every_update_not_slower_than_the_plain_loop(ratio):
    found = ratio(
        "a plain autograd loop, ours with gradient and parameter norms of every update",
        contenders.manual_watched,
        contenders.plain_loop,
        1,
    )
    assert found >= 1


@pytest.mark.parametrize("step", contenders.STEPS)
def test_every_step_towards_speed_still_pays(ratio, step):
    without = partial(lambda steps, epochs: contenders.manual_without(epochs, *steps), [step])
    assert ratio(f"without {step}", contenders.manual_with_losses, without, 1) >= 0.95  # the noise


@pytest.mark.parametrize(
    ("instruments", "at_most"), [("default", 1.10), ("curvature", 1.25), ("noise", 0), ("steps", 0), ("audit", 0)]
)
def test_looking_costs_little(benchmark, request, instruments, at_most):
    """Training with instruments takes at most so many times as long as without (0: no bound), the median over pairs."""
    pairs: list[dict[str, float]] = []

    def one_after_the_other():
        # Each is first in every second pair: what slows the machine down for a while slows both.
        order = ("none", instruments) if len(pairs) % 2 else (instruments, "none")
        gc.collect()
        pairs.append({callbacks: contenders.watched(callbacks, LONG)[0] for callbacks in order})

    contenders.watched("none", 1)
    with_it, without = (contenders.watched(callbacks, LONG, alone=True)[1] for callbacks in (instruments, "none"))
    after = with_it - without
    benchmark.pedantic(one_after_the_other, rounds=PAIRS)
    found = statistics.median(pair[instruments] / pair["none"] for pair in pairs)
    with_it, without = (statistics.median(pair[name] for pair in pairs) for name in (instruments, "none"))
    line = f"callbacks={instruments} ({1e6 * with_it:.0f} / {1e6 * without:.0f} microseconds per update)"
    line += f", and {after:.1f} s at the end of the run" if after > 0.2 else ""
    benchmark.extra_info |= {"ratio": found, "seconds_at_the_end": after}
    bound = f"at most {at_most:.2f}" if at_most else "no bound"
    request.config.stash.setdefault(RATIOS, []).append((line, found, bound))
    assert found <= (at_most or float("inf"))
