"""Times contenders against each other in one run: interleaved, so that a noisy machine is as noisy for all of them."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable

import pytest
import torch

RATIOS: list[tuple[str, float, float]] = []
ROUNDS, EPOCHS = 9, 25


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
def ratio(benchmark):
    """`ratio(claim, ours, others, at_least)`: how many times faster ours is, by the medians of interleaved rounds.

    `ours` and `others` take a number of epochs and return what trains that long and says how many updates it did.
    """

    def measure(claim: str, ours: Callable, others: Callable, at_least: float) -> float:
        times: list[float] = []

        def other_first():
            train = others(EPOCHS)
            start = time.perf_counter()
            updates = train()
            times.append((time.perf_counter() - start) / updates)
            return (ours(EPOCHS),), {}

        updates = ours(1)() * EPOCHS
        others(1)()
        benchmark.pedantic(lambda train: train(), setup=other_first, rounds=ROUNDS)
        mine = statistics.median(benchmark.stats.stats.data) / updates
        theirs = statistics.median(times)
        benchmark.extra_info |= {"ratio": theirs / mine, "ours_us": 1e6 * mine, "theirs_us": 1e6 * theirs}
        RATIOS.append(
            (f"{claim} ({1e6 * theirs:.0f} / {1e6 * mine:.0f} microseconds per update)", theirs / mine, at_least)
        )
        return theirs / mine

    return measure


def pytest_terminal_summary(terminalreporter):
    if RATIOS:
        terminalreporter.section("ratios of medians")
        for claim, found, wanted in RATIOS:
            terminalreporter.write_line(f"{found:6.2f} x  (at least {wanted:g})  {claim}")
