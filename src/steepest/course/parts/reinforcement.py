"""A policy that learns by playing: the policy gradient.

Shapes: S states, N episodes side by side, T days.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Interval
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from steepest.course.parts.market import DAYS, DISCOUNT, LEVELS, STATES, Market, day, values
from steepest.data.ranges import Count

Discount = Annotated[float, Interval(ge=0, lt=1)]


class Policy(LightningModule):
    """A net that gives each action a score, and learns from the rewards of the days that it plays.

    REINFORCE (Williams 1992) changes the parameters by sum_t discount^t (G_t - b_t) d log p_t / d theta. p_t is the
    probability of the action on day t, and G_t the discounted reward from that day on. The baseline b_t, the mean of G
    over the visits of the same state, lowers the noise. With discount 0, only the reward of the first day counts.
    """

    states_S2: Tensor

    def __init__(self, inputs: int, outputs: int, discount: Discount = DISCOUNT, hidden: Count = 32) -> None:
        super().__init__()
        self.discount = discount
        self.net = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, outputs))
        state_S = torch.arange(inputs)
        self.register_buffer("states_S2", torch.stack([state_S // 2 / (LEVELS - 1), state_S % 2], 1) * 2.0 - 1)

    def forward(self, x_NS: Tensor) -> Tensor:
        """The scores of the actions (N, 2). Each row of x has its largest number in the column of its state."""
        return self.net(self.states_S2[x_NS.argmax(1)])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Play from the states of the batch. The targets, the best actions, are not used."""
        start_N = batch[0].argmax(1)
        log_S2 = self.net(self.states_S2).log_softmax(1)
        return policy_loss(log_S2, *play(log_S2.exp().detach(), start_N), self.discount)

    def on_train_epoch_end(self) -> None:
        """Log the exact value of the policy from a start without a share, mean over the prices."""
        with torch.no_grad():
            chance_S2 = self.net(self.states_S2).double().softmax(1)
        self.log("policy/value", float(values(chance_S2.numpy())[::2].mean()))


def play(chance_S2: Tensor, start_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The states, actions and rewards (T, N) of episodes, whose actions have these probabilities in each state."""
    draws_TN2 = torch.rand(DAYS, len(start_N), 2).numpy()
    chance_S, state_N = chance_S2[:, 1].numpy(), start_N.numpy()
    played = []
    for draw_N2 in draws_TN2:
        action_N = (draw_N2[:, 0] < chance_S[state_N]).astype(int)
        next_N, reward_N = day(state_N, action_N, draw_N2[:, 1])
        played.append((state_N, action_N, reward_N))
        state_N = next_N
    states, actions, rewards = (torch.from_numpy(np.stack(some)) for some in zip(*played, strict=True))
    return states, actions, rewards.to(chance_S2.dtype)


def policy_loss(log_S2: Tensor, state_TN: Tensor, action_TN: Tensor, reward_TN: Tensor, discount: float) -> Tensor:
    """A number whose slope by the log-probabilities (S, 2) estimates that of minus the value: see `Policy`."""
    day_T = torch.arange(len(reward_TN), dtype=reward_TN.dtype)
    weight_TN = (discount**day_T)[:, None].expand_as(reward_TN)
    ahead_TT = (day_T - day_T[:, None]).clamp(min=0)
    return_TN = torch.triu(discount**ahead_TT) @ reward_TN
    total_S, visits_S = (
        torch.bincount(state_TN.flatten(), some.flatten(), STATES) for some in (weight_TN * return_TN, weight_TN)
    )
    baseline_S = (total_S / visits_S.clamp(min=1e-9)).to(return_TN.dtype)
    return -(weight_TN * (return_TN - baseline_S[state_TN]) * log_S2[state_TN, action_TN]).sum(0).mean()


def episode(action_S: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The states (T + 1,) and rewards (T,) of one episode of `Market`, with a fixed action in each state."""
    market = Market()
    states, rewards, ended = [market.reset(seed=seed)[0]], list[float](), False
    while not ended:
        state, reward, _, ended, _ = market.step(int(action_S[states[-1]]))
        states.append(state)
        rewards.append(reward)
    return np.array(states), np.array(rewards)
