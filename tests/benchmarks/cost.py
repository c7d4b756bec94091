"""What an update of one run costs when R runs are updated at once, for R from 1 to 4,096.

    env -u OPENBLAS_CORETYPE python tests/benchmarks/cost.py docs/cost_of_a_run.png [--device cuda]

(That variable, where an environment sets it, holds NumPy's products to the kernels of another processor.)

The two-layer net 28-64-1, sigmoid, batch 64, gradient descent, one thread. Beside it the floor: the arithmetic of its
matrix products at the rate of the largest one of them that is measured here.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
import typer
from threadpoolctl import threadpool_limits

from steepest import ManualPredictor
from steepest.data.windows import Batch
from steepest.nets.products import multiply
from steepest.sweep.batched.sizes import seconds_of_an_update
from steepest.runs.process import keep_freed_memory

INPUTS, HIDDEN, BATCH, MOST, ROUNDS = 28, 64, 64, 4096, 12
PRODUCTS = 2 * BATCH * (2 * INPUTS * HIDDEN + 3 * HIDDEN)  # operations: forward, and backward but for dL/dx


def rate(device: torch.device) -> float:
    """Operations a second of the products of 64 x 28 by 28 x 64 matrices, 64 at a time, at the quickest of many tries."""
    x, w = (torch.randn(64, *shape, device=device) for shape in ((BATCH, INPUTS), (INPUTS, HIDDEN)))
    best = float("inf")
    for _ in range(200):
        began = time.perf_counter()
        multiply(x, w)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 64 * 2 * BATCH * INPUTS * HIDDEN / best


def main(path: Path, device: Annotated[str, typer.Option()] = "cpu") -> None:
    """Measure, print and draw."""
    torch.set_num_threads(1)
    threadpool_limits(1, "blas")
    keep_freed_memory()
    where = torch.device(device)
    model = ManualPredictor(INPUTS, 1, [HIDDEN], optimizer=lambda p: torch.optim.SGD(p, 0.01))
    member = SimpleNamespace(predictor=model, optimizer=model.build_optimizer())
    x_ND, y_NH = torch.randn(BATCH, INPUTS, device=where), torch.randn(BATCH, 1, device=where)
    counts = [1 << power for power in range(MOST.bit_length())]
    batch = Batch(x_ND, y_NH, 1.0)
    # Of several rounds the quickest: a noisy machine's slow moments hit one round, not all.
    rounds = [[1e6 * seconds_of_an_update(member, batch, count) for count in counts] for _ in range(ROUNDS)]
    costs = [min(tries) for tries in zip(*rounds, strict=True)]
    floor = 1e6 * PRODUCTS / rate(where)
    for count, cost in zip(counts, costs, strict=True):
        sys.stdout.write(
            f"{count:5d} runs at once: {cost:8.2f} microseconds per run and update, {cost / floor:5.1f} x the floor\n"
        )
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.loglog(counts, costs, "o-", base=2, label="an update of one of R runs")
    axes.axhline(floor, color="0.5", linestyle="--", label="its matrix products alone")
    axes.set(xlabel="runs at once, R", ylabel="microseconds", title=f"28-64-1, batch {BATCH}, {device}")
    axes.set_yticks([2**k for k in range(2, 9)], [str(2**k) for k in range(2, 9)])
    axes.set_xticks(counts[::2], map(str, counts[::2]))
    axes.legend()
    axes.grid(alpha=0.2)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    typer.run(main)
