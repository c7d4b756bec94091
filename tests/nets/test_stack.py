"""R networks as one: every network's numbers are its own, to the bit, whoever it is trained with."""

import pytest
import torch

from steepest.nets.descents import KINDS
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.nets.stack import Stack, _shares

pytestmark = pytest.mark.usefixtures("library")

RUNS, UPDATES = 9, 20


def trained(networks, x_RUBD, y_RUBH, loss):
    stack = Stack(networks, torch.device("cpu"), torch.float32)
    descent = KINDS[torch.optim.SGD]([torch.optim.SGD(n.parameters(), 0.05, momentum=0.5) for n in networks], stack)
    losses = []
    for update in range(UPDATES):
        losses.append(stack.loss_and_gradient(stack.with_one(x_RUBD[:, update]), y_RUBH[:, update], loss))
        descent.step(stack.theta, stack.gradient)
    return stack, torch.stack(losses)


@pytest.mark.parametrize(("inputs", "hidden", "outputs"), [(28, [64], 1), (1, [16], 1), (5, [], 1), (7, [16, 8], 3)])
@pytest.mark.parametrize("batch", [32, 5])
@torch.no_grad()
def test_a_networks_numbers_do_not_hang_on_who_it_is_trained_with(inputs, hidden, outputs, batch):
    networks = [MLP(inputs, hidden, outputs, "tanh", seed) for seed in range(RUNS)]
    x, y = torch.randn(RUNS, UPDATES, batch, inputs), torch.randn(RUNS, UPDATES, batch, outputs)
    whole, losses = trained(networks, x, y, LOSSES["mse"])
    score_on = torch.randn(300, inputs)
    for some in ([3], [8, 0], [1, 2, 3, 4, 5]):
        part, own = trained([networks[i] for i in some], x[some], y[some], LOSSES["mse"])
        assert torch.equal(part.rows(part.theta), whole.rows(whole.theta)[some])
        assert torch.equal(own, losses[:, some])
        assert torch.equal(part.outputs(score_on), whole.outputs(score_on)[some])
        left = whole.part(torch.tensor(some))
        assert torch.equal(left.outputs(score_on), part.outputs(score_on))


@pytest.mark.parametrize("batches", [1, 2, 3])
@pytest.mark.parametrize("units", [10, 4])
@torch.no_grad()
def test_batches_that_runs_share_are_as_if_each_had_its_own(batches, units):
    networks = [MLP(6, [units], 1, seed=seed) for seed in range(6)]
    shared, own = (Stack(networks, torch.device("cpu"), torch.float32) for _ in range(2))
    x, y = shared.with_one(torch.randn(batches, 16, 6)), torch.randn(batches, 16, 1)
    losses = shared.loss_and_gradient(x, y, LOSSES["mse"])
    each = 6 // batches
    assert torch.equal(losses, own.loss_and_gradient(*(t.repeat_interleave(each, 0) for t in (x, y)), LOSSES["mse"]))
    assert torch.equal(shared.gradient, own.gradient)


@torch.no_grad()
def test_gradients_are_autograds_whichever_way_weights_lie():
    for inputs, hidden in ((2, [9]), (9, [2]), (4, [4, 7, 3])):
        networks = [MLP(inputs, hidden, 2, "sigmoid", seed).double() for seed in range(3)]
        x, y = torch.randn(3, 11, inputs, dtype=torch.float64), torch.randn(3, 11, 2, dtype=torch.float64)
        stack = Stack(networks, torch.device("cpu"), torch.float64)
        stack.loss_and_gradient(stack.with_one(x), y, LOSSES["huber"])
        for run, network in enumerate(networks):
            with torch.enable_grad():
                loss = torch.nn.functional.huber_loss(network(x[run]), y[run])
                wanted = torch.autograd.grad(loss, list(network.parameters()))
            for mine, theirs in zip(stack.of(stack.gradient, run), wanted, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)


def test_no_share_is_of_a_single_run():
    for count in range(1, 50):
        for most in range(2, 9):
            shares = _shares(count, most)
            assert sum(shares) == count
            assert count == 1 or min(shares) > 1


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "hard_sigmoid"])
@torch.no_grad()
def test_outputs_of_many_samples_are_each_networks_own(activation):
    x = torch.randn(1500, 5)
    networks = [MLP(5, [units, 16], 2, activation, seed) for seed, units in enumerate([40, 8, 40, 32])]
    stack = Stack(networks, torch.device("cpu"), torch.float32)
    made = stack.outputs(x)
    for run, network in enumerate(networks):
        torch.testing.assert_close(made[run], network(x), rtol=1e-5, atol=1e-6)
    assert torch.equal(stack.part(torch.tensor([2, 1])).outputs(x), made[[2, 1]])
