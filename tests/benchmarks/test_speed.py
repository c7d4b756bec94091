"""How fast hand-derived gradients train: ratios in one run, of medians of interleaved rounds.

    pytest tests/benchmarks -m speed -n 0

The two-layer net 28-64-1, sigmoid, batch 64, gradient descent, 5,000 rows, one thread, whole fits with the Trainer's own
start and end; every contender that can keeps the loss of every update.

What each step towards speed bought, by leaving it out of the whole (`test_every_step_towards_speed_still_pays`; one run
on a 2-core CPU, whose noise is some 10 %):

    several updates a step: the Trainer's own cost is shared                                      3.7 x
    `lighten`: gradient descent as one foreach kernel, no profiler range, no look for hooks       1.5 x
    `Steps`: callbacks that do not watch steps are not asked at each                              1.3 x
    one residual for the loss and its slope                                                       1.15 x
    the slope of the sigmoid in one kernel                                                        1.1 x

Tried and left out: gradients written into buffers made beforehand (`out=`), one multiplication for weights and biases
together, `torch.inference_mode` (a tenth faster, but then no callback may change a gradient in place).
"""

from functools import partial

import contenders
import pytest

pytestmark = pytest.mark.speed


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
    assert ratio(f"without {step}", contenders.manual_with_losses, without, 1) >= 0.97
