"""The best epoch; among epochs with objectives equal to rounding, the last one."""

import math

import numpy as np
import pytest
import torch

from steepest.engine.descent import UpdateLog
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.observe.instrument import View
from steepest.runs.stops import Epochs
from steepest.runs.tracker import Tracker

FEW = {torch.float32: 1.2e-7, torch.float64: 2.3e-16}  # one unit in the last place of 1, about


class Scripted:
    """A scorer with given scores."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values = name, iter(values)

    def epoch(self, outputs, loss):
        return {self.name: next(self.values)}, 0.0


def best_of(values, *, name="mse", dtype=torch.float32):
    """A tracker after epochs with these scores."""
    network = MLP(1, [], 1, seed=0).to(dtype)
    view = View(network, LOSSES["mse"], torch.optim.SGD(network.parameters()), None, 1, None, None, "kernel")  # type: ignore[arg-type]
    tracker = Tracker(
        view, f"val/{name}", Epochs(1000), {}, {"val": Scripted(name, values)}, lambda origin_M: torch.zeros(1, 1)
    )  # type: ignore[arg-type, dict-item]
    one = np.ones(1)
    for number in range(len(values)):
        with torch.no_grad():
            network.W1.fill_(number + 1)
        tracker.log(UpdateLog(number, one, one[None], one[None], None, [], one, 1, 1))
        tracker.epoch_end()
    return tracker


@pytest.mark.parametrize("dtype", FEW)
def test_among_objectives_equal_to_rounding_the_last_is_best(dtype):
    unit = FEW[dtype]
    assert best_of([1, 0.5, 0.5 + unit / 2, 0.5 - unit / 2, 0.6], dtype=dtype).best.epochs == 4
    assert best_of([1, 0.5, 0.5 + unit / 2, 0.6], dtype=dtype).best.epochs == 3
    assert best_of([1, 0.5, 0.5, 0.5], dtype=dtype).best.epochs == 4
    assert best_of([1, 0.5, 0.5 + 40 * unit, 0.6], dtype=dtype).best.epochs == 2


def test_small_increases_do_not_add_up():
    values = [0.5 * (1 + 3e-7 * k) for k in range(20)]  # each equal to rounding to the one before
    best = best_of(values).best
    assert best.epochs == 2
    assert best.least == 0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_skill_is_maximised(sign):
    assert best_of([sign * v for v in (0.1, 0.3, 0.2)], name="skill").best.epochs == (2 if sign > 0 else 1)
    assert best_of([sign * 0.3, sign * 0.3 - 1e-9, -2], name="skill").best.epochs == 2


def test_an_objective_that_is_not_finite_is_never_the_best():
    assert best_of([math.nan, math.inf]).best is None
    assert best_of([math.nan, 1.0, math.nan, -math.inf]).best.epochs == 2


def test_later_updates_do_not_change_the_weights_of_the_best_epoch():
    tracker = best_of([1, 0.5, 0.9])
    best = tracker.best
    assert (best.epochs, best.updates, best.objective) == (2, 2, 0.5)
    assert best.weights["W1"].item() == 2
    assert tracker.view.network.W1.item() == 3


def test_a_trackers_state_is_plain_data_and_is_restored(tmp_path):
    tracker = best_of([1, 0.5, 0.9])
    torch.save(tracker.state_dict(), tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    other = best_of([])
    other.load_state_dict(state)
    assert other.history == tracker.history
    assert (other.view.updates, other.view.epochs, other.best.epochs) == (3, 3, 2)
    assert torch.equal(other.best.weights["W1"], tracker.best.weights["W1"])
