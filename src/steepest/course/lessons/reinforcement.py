"""Reinforcement learning in a small market: a policy learnt from rewards, against the best one.

Shapes: S states, T days, N episodes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.parts.market import COST, DISCOUNT, LEVELS, STATES, best_policy, values
from steepest.course.parts.reinforcement import episode
from steepest.course.runs import Run, mean_and_deviation, sweep_runs
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

SHARE = 0.99  # of the best value, which a learnt policy reaches at least
EPISODES, ERRORS = 1000, 4  # episodes that test a value, and the standard errors by which they may differ
NAMES = {DISCOUNT: "learnt, all rewards", 0.0: "learnt, today's only"}


def teach(folder: Path) -> Finding:
    """Does a policy that learns from rewards find the best one?"""
    runs = sweep_runs(folder)
    learnt = {discount: [run for run in runs if run.asked("model", "discount") == discount] for discount in NAMES}
    value = {d: np.array([_value(np.eye(2)[_chances(run).argmax(1)]) for run in some]) for d, some in learnt.items()}
    never, always = (_value(np.eye(2)[np.full(STATES, action)]) for action in (0, 1))
    best, chance = _value(best_policy()), _value(np.full((STATES, 2), 0.5))
    action_S = _chances(learnt[DISCOUNT][0]).argmax(1)
    played = [episode(action_S, seed)[1] for seed in range(EPISODES)]
    played_N = np.array([(DISCOUNT ** np.arange(len(reward_T))) @ reward_T for reward_T in played])
    error = played_N.std(ddof=1) / EPISODES**0.5

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for discount, colour in zip(NAMES, (BLUE, ORANGE), strict=True):
        for seed, run in enumerate(learnt[discount]):
            curve = run.curve("policy/value")
            left.plot(curve.steps + 1, curve.values, color=colour, lw=1, label=None if seed else NAMES[discount])
    left.axhline(best, color=GREEN, ls="--", label="the best policy")
    left.axhline(always, color=BLACK, ls=":", label="buy and hold")
    left.set(xlabel="updates", ylabel="value of the policy", ylim=(1.5 * always, 1), title="The value, exactly")
    _draw_policy(middle, learnt[DISCOUNT])
    _draw_episode(right, action_S)
    for axes in (left, middle, right):
        finish(axes)
    rows = [("the best", f"{best:.3f}"), *((NAMES[d], mean_and_deviation(value[d])) for d in NAMES)]
    rows += [("never buy", f"{never:.3f}"), ("buy and hold", f"{always:.3f}"), ("by chance", f"{chance:.3f}")]
    return Finding(
        f"The best policy has a value of {best:.3f}. Over {len(value[DISCOUNT])} seeds, the policy learnt from all "
        f"rewards has {rows[1][1]}, that learnt from today's reward {rows[2][1]}; buy and hold has {always:.3f}.",
        {
            f"with every seed, the learnt policy has at least {SHARE:.0%} of the best value": bool(
                (value[DISCOUNT] >= SHARE * best).all()
            ),
            "with every seed, it beats buy and hold, and never buying": bool(
                (value[DISCOUNT] > max(never, always)).all()
            ),
            "with every seed, a policy learnt from today's reward alone earns nothing": bool(
                (value[0.0] <= never).all()
            ),
            f"the mean of {EPISODES} played episodes equals the computed value within {ERRORS} standard errors": bool(
                abs(played_N.mean() - value[DISCOUNT][0]) <= ERRORS * error
            ),
        },
        figure,
        {
            "rows": rows,
            "seeds": len(value[DISCOUNT]),
            "cost": COST,
            "discount": DISCOUNT,
            "highest": LEVELS - 1,
            "buy": int(np.flatnonzero(best_policy()[::2, 1]).max()),
            "sell": int(np.flatnonzero(best_policy()[1::2, 0]).min()),
            "played": f"{played_N.mean():.3f} ± {error:.3f}",
            "episodes": EPISODES,
        },
    )


def _value(policy_SA: np.ndarray) -> float:
    """The value of a policy at the start: without the share, mean over the prices."""
    return float(values(policy_SA)[::2].mean())


def _chances(run: Run) -> np.ndarray:
    """The probability of each action in each state (S, 2)."""
    return run.module()(run.scaled(np.eye(STATES))).softmax(1).detach().numpy()


def _draw_policy(axes: Axes, runs: list[Run]) -> None:
    for held, colour, name in ((0, BLUE, "without the share"), (1, ORANGE, "with the share")):
        axes.plot(best_policy()[held::2, 1], "o", color=colour, mfc="none", ms=9, label=f"best, {name}")
        for seed, run in enumerate(runs):
            axes.plot(_chances(run)[held::2, 1], color=colour, lw=1, label=None if seed else f"learnt, {name}")
    axes.set(xlabel="price", ylabel="probability of holding", ylim=(-0.1, 1.75), title="When to hold the share")
    axes.set_yticks([0, 0.5, 1])


def _draw_episode(axes: Axes, action_S: np.ndarray) -> None:
    state_T, reward_T = episode(action_S, 0)
    price_T, held_T = state_T // 2, np.flatnonzero(state_T[1:] % 2)
    axes.plot(price_T, color=BLACK, lw=1, label="price")
    axes.plot([held_T, held_T + 1], [price_T[held_T], price_T[held_T + 1]], color=BLUE, lw=3)
    axes.plot([], [], color=BLUE, lw=3, label="days with the share")
    axes.plot(np.append(0, reward_T.cumsum()), color=GREEN, ls="--", label="sum of the rewards")
    axes.set(xlabel="day", ylabel="price, rewards", title="The first seed's policy plays")
