"""A small market whose best policy is known, as an environment of gymnasium and as a table for dynamic programming.

Shapes: S states, A = 2 actions, N episodes side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from steepest.data.formulas import made_rows
from steepest.data.ranges import Rows
from steepest.data.sources import RowData

try:
    import gymnasium
except ImportError:  # the extra may not be installed
    raise ValueError("the lesson reinforcement needs the extra 'course': pip install 'steepest[course]'") from None

LEVELS, COST, DISCOUNT, DAYS = 7, 1.1, 0.9, 60  # the price is 0 to 6; cost of a trade; discount of a day; days played
STATES = 2 * LEVELS  # state = 2 * level + 1 if the share is held
UP_L = 1 - np.arange(LEVELS) / (LEVELS - 1)  # the probability that the price rises by 1; else it falls by 1


def day(state: Any, action: Any, chance: Any) -> tuple[Any, Any]:
    """The next state and the reward of one day, for numbers or arrays (N,).

    Args:
        state: the states of this day.
        action: 1 to hold the share until tomorrow, 0 not to.
        chance: numbers drawn uniformly from [0, 1).
    """
    level, held = state // 2, state % 2
    change = np.where(chance < UP_L[level], 1, -1)
    return 2 * (level + change) + action, action * change - COST * (action != held)


class Market(gymnasium.Env):
    """The market as an environment: each day, choose whether to hold one share."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Discrete(STATES)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.state, self.days = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Start without a share, at a price that is drawn uniformly."""
        super().reset(seed=seed)
        self.state, self.days = 2 * int(self.np_random.integers(LEVELS)), 0
        return self.state, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Play one day; the episode is cut after `DAYS` days."""
        state, reward = day(self.state, int(action), self.np_random.random())
        self.state, self.days = int(state), self.days + 1
        return self.state, float(reward), False, self.days >= DAYS, {}


def table() -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of the next state (S, A, S) and the expected rewards (S, A)."""
    chance_SAS, reward_SA = np.zeros((STATES, 2, STATES)), np.zeros((STATES, 2))
    for state in range(STATES):
        level, held = divmod(state, 2)
        for action in (0, 1):
            for change, chance in ((1, UP_L[level]), (-1, 1 - UP_L[level])):
                if chance > 0:
                    chance_SAS[state, action, 2 * (level + change) + action] = chance
            reward_SA[state, action] = action * (2 * UP_L[level] - 1) - COST * (action != held)
    return chance_SAS, reward_SA


def values(policy_SA: np.ndarray) -> np.ndarray:
    """The expected discounted reward from each state (S,) of a policy, by the linear system v = r + discount P v."""
    chance_SAS, reward_SA = table()
    chance_SS = np.einsum("sa,sat->st", policy_SA, chance_SAS)
    return np.linalg.solve(np.eye(STATES) - DISCOUNT * chance_SS, (policy_SA * reward_SA).sum(1))


def best_policy() -> np.ndarray:
    """The best policy (S, A) by policy iteration (Howard 1960): evaluate it, then take the best action everywhere."""
    chance_SAS, reward_SA = table()
    policy_SA = np.eye(2)[np.zeros(STATES, int)]
    while True:
        action_S = (reward_SA + DISCOUNT * chance_SAS @ values(policy_SA)).argmax(1)
        if (policy_SA[np.arange(STATES), action_S] == 1).all():
            return policy_SA
        policy_SA = np.eye(2)[action_S]


@dataclass(kw_only=True)
class BestActions(RowData):
    """All states in turn, one column each, and the action of the best policy, which only scores a model."""

    rows: Rows = 700
    classes: bool = True

    def read(self) -> pd.DataFrame:
        state = np.arange(self.rows) % STATES
        names = [f"{'held' if s % 2 else 'flat'}_{s // 2}" for s in range(STATES)]
        return made_rows(np.eye(STATES)[state], best_policy()[state, 1], names)
