"""Five functions of different kinds, found by the same net in the same three steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.parts.go import captures
from steepest.course.parts.kinds import SIDE
from steepest.course.parts.pictures import boards, draw_board, draw_series, draw_shapes, draw_sounds, moves
from steepest.course.runs import Run, sweep_runs
from steepest.observe.figures import BLUE, ORANGE, finish

KINDS = {"Vowels": "sound", "Shapes": "picture", "Captures": "Go", "ShippedPrices": "prices", "Voice": "continuation"}
LEAST = {"sounds": 0.9, "pictures": 0.85, "points of Go": 0.75}  # of the share of correct classes; chance has a half
MOVES, BETTER, FOLLOWED = 2.0, 0.95, 0.5  # times the captures of random moves; least and most relative squared errors
BOARDS, SEED = 200, 1000  # new boards for each seed; added to the seed for other boards than those of the training


def teach(folder: Path) -> Finding:
    """How good is each function on inputs that it never saw?"""
    runs: dict[str, list[Run]] = {kind: [] for kind in KINDS.values()}
    for run in sweep_runs(folder):
        runs[KINDS[type(run.datamodule.dataset).__name__]].append(run)
    sound_S, picture_S, point_S = (
        np.array([_correct(run) for run in runs[kind]]) for kind in ("sound", "picture", "Go")
    )
    move_S, random_S = np.array([_captures(run) for run in runs["Go"]]).T
    price_S, voice_S = (np.array([_error(run) for run in runs[kind]]) for kind in ("prices", "continuation"))

    figure = Figure(figsize=(13, 8), layout="constrained")
    sound, picture, board, prices, voice, bars = figure.subplots(2, 3).ravel()
    draw_sounds(sound, runs["sound"][0])
    draw_shapes(picture, runs["picture"][0], SIDE)
    go = runs["Go"][0]
    draw_board(board, go, boards(1, go.asked("data", "board"), SEED)[0])
    draw_series(prices, runs["prices"][0], "Prices to a number: tomorrow's price", "days")
    draw_series(voice, runs["continuation"][0], "A sound to a structure: its continuation", "values, 8000 in a second")
    shares = (sound_S, picture_S, point_S, move_S)
    means, spreads = [one.mean() for one in shares], [one.std(ddof=1) for one in shares]
    names = ["sounds", "pictures", "points\nof Go", "moves\nin Go"]
    bars.bar(names, means, yerr=spreads, color=BLUE, capsize=4, label="the net")
    place = np.arange(len(names))
    bars.hlines([0.5, 0.5, 0.5, random_S.mean()], place - 0.3, place + 0.3, color=ORANGE, lw=3, label="chance")
    bars.set(ylabel="share of correct answers", ylim=(0, 1.35), title="Classes and moves, on new inputs")
    finish(bars)
    often, near, no_better = (move_S >= MOVES * random_S).all(), voice_S.max() <= FOLLOWED, price_S.min() >= BETTER
    return Finding(
        f"Correct on new inputs: {means[0]:.1%} of the sounds, {means[1]:.1%} of the pictures. In Go, {means[3]:.0%} "
        f"of the net's moves capture, {random_S.mean():.0%} of random ones. The squared error of the continuation is "
        f"{voice_S.mean():.2f} times that of the mean; for the price, {price_S.mean():.2f} times that of no change.",
        {
            **{
                f"with every seed, at least {least:.0%} of the {name} are correct": bool(values_S.min() >= least)
                for (name, least), values_S in zip(LEAST.items(), shares, strict=False)
            },
            f"with every seed, moves in Go capture {MOVES:g} times as often as random ones, or more": bool(often),
            f"with every seed, the error of the continuation is at most {FOLLOWED} times that of the mean": bool(near),
            f"with every seed, the error of the price is at least {BETTER} times that of no change": bool(no_better),
        },
        figure,
        {
            "rows": [
                ("vowel", "right", *_row(sound_S, 0.5)),
                ("shape", "right", *_row(picture_S, 0.5)),
                ("capture or not", "right", *_row(point_S, 0.5)),
                ("move in Go", "right", *_row(move_S, random_S.mean())),
                ("tomorrow's price", "squared error", *_row(price_S, 1.0)),
                ("continuation", "squared error", *_row(voice_S, 1.0)),
            ],
            "seeds": len(sound_S), "boards": BOARDS, "hidden": go.asked("model", "hidden"),
            "sound": runs["sound"][0].windows.inputs, "picture": SIDE**2,
            "ahead": runs["continuation"][0].windows.horizon,
        },
    )  # fmt: skip


def _row(values_S: np.ndarray, reference: float) -> tuple[str, str]:
    return f"{values_S.mean():.2f} ± {values_S.std(ddof=1):.2f}", f"{reference:.2f}"


def _correct(run: Run) -> float:
    """The share of correct classes on the test part."""
    x_ND, y_N1 = run.samples("test")
    with torch.no_grad():
        return float((run.module()(x_ND).argmax(1) == y_N1[:, 0]).double().mean())


def _captures(run: Run) -> tuple[float, float]:
    """The share of new boards on which the most probable point captures, and that of random points."""
    new = boards(BOARDS, run.asked("data", "board"), SEED + run.checked.run.seed)
    found = []
    for board_BB, (point_N2, chance_N) in zip(new, moves(run, new), strict=True):
        right_N = captures(board_BB)[tuple(point_N2.T)]
        found.append((right_N[chance_N.argmax()], right_N.mean()))
    best, random = np.mean(found, axis=0)
    return float(best), float(random)


def _error(run: Run) -> float:
    """The mean squared error on the test part, relative to that of no change (prices) or of the mean."""
    x_ND, y_NH = run.samples("test")
    with torch.no_grad():
        return float((run.module()(x_ND) - y_NH).square().mean() / y_NH.square().mean())
