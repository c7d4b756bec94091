"""How fast hand-derived gradients train: ratios of times. In each round, the two contenders run one after the other.

    pytest tests/benchmarks/test_speed.py -m speed -n 0

The task: two-layer net 28-64-1, sigmoid, batch 64, gradient descent, 5,000 rows, one thread. The times are those of
whole fits, including the Trainer's start and end. Every contender keeps the loss of every update. The result is the
median over rounds. Every bound is asserted.
"""

from __future__ import annotations

import gc
import logging
import os
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
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
PAIRS, LONG = 24, 100  # number of pairs of runs with and without instruments, and their epochs


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
    """`ratio(claim, ours, others, at_least)` measures how many times faster ours is, the median over rounds.

    In a round, the two run one after the other, so a slow spell of the machine affects both. `ours` and `others` take
    a number of epochs and return a function that trains that long and returns its number of updates.
    """

    def measure(claim: str, ours: Callable, others: Callable, at_least: float, epochs=EPOCHS, rounds=ROUNDS) -> None:
        found, mine, theirs = compare(benchmark, ours, others, epochs, rounds)
        line = f"{claim} ({1e6 * theirs:.4g} / {1e6 * mine:.4g} microseconds per update)"
        request.config.stash.setdefault(RATIOS, []).append((line, found, f"at least {at_least:g}"))
        assert found >= at_least

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


def test_against_the_usual_lightning_module(ratio):
    ratio("the usual Lightning module, DataLoader, self.log", contenders.manual, contenders.usual_lightning, 60)


def test_against_a_plain_autograd_loop_with_every_norm_kept(ratio):
    # (The kernel keeps the norms of every gradient and parameter tensor in any case.)
    ratio("a plain autograd loop, data in memory; ours keeps every norm", contenders.manual, contenders.plain_loop, 10)


def test_against_scikit_learns_mlp_regressor(ratio):
    ratio("scikit-learn's MLPRegressor", contenders.manual, contenders.scikit_learn, 10)


@pytest.mark.parametrize(("ours", "at_least"), [("manual", 0.95), ("kernel", 1.3)])
def test_against_a_jitted_scan(ratio, ours, at_least):
    pytest.importorskip("jax", reason="pip install -e '.[bench]' brings JAX")
    ratio(
        f"jax.jit(lax.scan(value_and_grad)), against {ours}", getattr(contenders, ours), contenders.jax_scan, at_least
    )


def test_many_runs_against_vmap_of_that_scan(ratio):
    pytest.importorskip("jax", reason="pip install -e '.[bench]' brings JAX")
    ours, theirs = (partial(made, runs=64) for made in (contenders.many_kernels, contenders.jax_scan))
    ratio("vmap of that scan over 64 runs, one thread", ours, theirs, 1.0, epochs=2, rounds=5)


def test_the_line_against_the_usual_lightning_module(ratio):
    ours, theirs = (partial(made, inputs=1, hidden=()) for made in (contenders.manual, contenders.usual_lightning))
    ratio("the line 1-1: the usual Lightning module", ours, theirs, 150)


def product_rate(multiply: Callable[[], object]) -> float:
    """Matrix products per second, the best of several tries."""
    multiply()
    took = []
    for _ in range(15):
        start = time.perf_counter()
        multiply()
        took.append(time.perf_counter() - start)
    return 1 / min(took)


def test_a_wide_net_against_a_plain_autograd_loop(ratio):
    wide = {"hidden": (1024, 1024), "batch": 1024}
    left, right = torch.rand(2, 1024, 1024)
    blas = product_rate(lambda: left.numpy() @ right.numpy()) / product_rate(lambda: left @ right)
    ours, theirs = (partial(made, **wide) for made in (contenders.manual, contenders.plain_loop))
    # A wide net's work is nearly all matrix products. OpenBLAS does twice as many per second as PyTorch's library where
    # it uses wider instructions.
    claim = (
        f"28-1024-1024-1, batch 1024: a plain autograd loop (OpenBLAS does {blas:.2f} products per product of PyTorch)"
    )
    ratio(claim, ours, theirs, 1.5 if blas > 1.5 else 0.95, 1, 7)


@pytest.mark.parametrize(
    ("instruments", "at_most"), [("default", 1.4), ("curvature", 0), ("noise", 0), ("steps", 0), ("audit", 0)]
)
def test_instruments_cost_little(benchmark, request, instruments, at_most):
    """Training with instruments takes at most `at_most` times as long as without (0: no bound); median over pairs."""
    pairs: list[dict[str, float]] = []

    def one_after_the_other():
        # Each is first in every second pair, so a slow spell of the machine affects both.
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


def test_with_default_instruments_it_is_40_times_as_fast_as_the_usual_module(benchmark, request):
    pairs = []

    def one_after_the_other():
        train = contenders.usual_lightning(5)
        start = time.perf_counter()
        updates = train()
        pairs.append((contenders.watched("default", LONG)[0], (time.perf_counter() - start) / updates))

    contenders.watched("default", 1)
    pairs.clear()
    benchmark.pedantic(one_after_the_other, rounds=7)
    found = statistics.median(usual / ours for ours, usual in pairs)
    ours, usual = (1e6 * statistics.median(side) for side in zip(*pairs, strict=True))
    line = f"the usual Lightning module, ours with the default instruments ({usual:.4g} / {ours:.4g} microseconds)"
    request.config.stash.setdefault(RATIOS, []).append((line, found, "at least 40"))
    assert found >= 40
