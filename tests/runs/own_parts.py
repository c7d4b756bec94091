"""Parts as a user writes them, right and wrong."""

from dataclasses import dataclass

import torch
from lightning.pytorch import Callback

from steepest import Activation, Epochs, Instrument, Loss, RandomWalk


def log_cosh(p, y):
    return (p - y).cosh().log().mean((-2, -1))


def log_cosh_backward(p, y):
    return (p - y).tanh() / (p.shape[-2] * p.shape[-1])


loss = Loss("log_cosh", log_cosh, log_cosh_backward)
wrong = Loss("log_cosh", log_cosh, lambda p, y: 2 * log_cosh_backward(p, y))
one_number = Loss("log_cosh", lambda p, y: (p - y).cosh().log().mean(), log_cosh_backward)
softsign = Activation("softsign", lambda z: z / (1 + z.abs()), lambda slope, z, a: slope / (1 + z.abs()) ** 2)


@dataclass
class AfterTwo(Epochs):
    """A stop rule."""

    def verdict(self, at):
        return "two epochs are enough" if at.epochs == 2 else ""


class NoClosure(torch.optim.SGD):
    """It does not call the closure of Lightning's Trainer."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr)

    def step(self, closure=None):
        return None


class FailingInstrument(Instrument):
    """It fails at the end of an epoch."""

    def epoch(self, view, scores):
        return scores["no such score"]


class FailingCallback(Callback):
    """It fails in a function that it calls."""

    def on_train_epoch_end(self, trainer, module):
        divided_by_zero(1)


class FailingData(RandomWalk):
    """It cannot be read."""

    def read(self):
        return self.rows.nothing


def divided_by_zero(number):
    return number / 0


def refuse(option):
    raise ValueError(f"{option} is too large")


def read_wrong():
    """It gives this package an option that it refuses."""
    return RandomWalk(rows=-1).read()
