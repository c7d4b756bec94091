"""How fast whole runs train on a GPU: hand-derived gradients (the textbook) against autograd; medians over rounds.

    pytest tests/benchmarks/test_gpu_speed.py -m speed -n 0

Both are runs of `train.py` without callbacks; the times are those of their training loops. Data: 5,000 windows of 28
days.
"""

from __future__ import annotations

import statistics

import contenders
import pytest
import torch
from conftest import RATIOS

pytestmark = [
    pytest.mark.speed,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]
ROUNDS = 3


@pytest.mark.parametrize(("hidden", "batch", "epochs"), [([64], 64, 10), ([1024, 1024], 1024, 20)])
def test_the_textbook_is_at_least_as_fast_as_autograd(request, hidden, batch, epochs):
    def seconds(model: str, trainer: str) -> float:
        net = [f"model.hidden=[{','.join(map(str, hidden))}]", f"data.batch_size={batch}", f"trainer={trainer}"]
        return contenders.watched("none", epochs, model=model, more=net)[0]

    contestants = [("mlp_manual", "gpu"), ("mlp", "gpu"), ("mlp_manual", "cpu")]
    for one in contestants:
        seconds(*one)
    rounds = [[seconds(*one) for one in contestants] for _ in range(ROUNDS)]
    ours, autograd, kernel = (1e6 * statistics.median(column) for column in zip(*rounds, strict=True))
    found = statistics.median(theirs / mine for mine, theirs, _ in rounds)
    where = f"28-{'-'.join(map(str, hidden))}-1, batch {batch}, {torch.cuda.get_device_name()}"
    times = f"{autograd:.0f} / {ours:.0f} microseconds per update; the kernel on one CPU thread: {kernel:.0f}"
    request.config.stash.setdefault(RATIOS, []).append((f"{where}: model=mlp ({times})", found, "at least 1"))
    assert found >= 1
