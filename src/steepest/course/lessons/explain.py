"""A net that learns the border of a picture in place of the picture, and the attribution that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.parts.explain import BORDER, SIDE, difference, gradient_times_input
from steepest.course.runs import Run, mean_and_deviation, sweep_runs
from steepest.observe.figures import BLUE, GREEN, ORANGE, finish

SWAPPED = 0.05  # the largest accuracy of the net with the border if the border says the opposite
LOST, NEAR = 0.08, 0.04  # its least loss without the border; and the largest distance of the other net to the optimum
HIGH, LOW = 0.6, 0.35  # bounds of the border's share in the attribution, with and without the border
SAME = 1e-12  # of the largest attribution
PICTURES = ("as trained", "border swapped", "border gone")


def teach(folder: Path) -> Finding:
    """What do the nets look at, and how good are they when the border is swapped or gone?"""
    runs = sweep_runs(folder)
    pairs = [[r for r in runs if r.asked("data", "border") is border] for border in (True, False)]
    found = [_compare(*pair) for pair in zip(*pairs, strict=True)]
    cheat, honest, rule, share, honest_share, gap = map(np.array, zip(*(scores for scores, _ in found), strict=True))
    pictures, (x_TD, y_T) = pairs[0][0].checked.groups["data"](), pairs[0][0].rows()

    figure = Figure(figsize=(12, 7), layout="constrained")
    above, below = figure.subplots(2, 3)
    for axes, kind in zip(above, (0, 1), strict=False):
        _draw(axes, x_TD[y_T == kind][0], f"A picture whose line {('falls', 'rises')[kind]}", "gray", -3, 3)
    _draw(above[2], pictures.lines()[1] - pictures.lines()[0], "Where the kinds differ", "PuOr_r", -1, 1)
    for axes, look_D, name in zip(below, found[0][1], ("with", "without"), strict=False):
        _draw(axes, look_D, f"Attribution, trained {name} border", "Purples", 0, look_D.max())
    for shift, name, colour, scores in ((-0.2, "with", ORANGE, cheat), (0.2, "without", BLUE, honest)):
        x, spread = np.arange(3) + shift, scores.std(0, ddof=1)
        below[2].bar(x, scores.mean(0), 0.38, yerr=spread, color=colour, capsize=4, label=f"trained {name} border")
    below[2].axhline(pictures.limit(), color=GREEN, ls=":", label=f"the best without border: {pictures.limit():.1%}")
    below[2].set_xticks(range(3), ["border there", "border swapped", "border gone"])
    below[2].set(ylabel="accuracy", ylim=(0, 1.5), yticks=[0, 0.5, 1], title="Accuracy on new pictures")
    finish(below[2])
    there, swapped, gone, other = *cheat.T, honest[:, 2]
    claims = {
        "the net trained with the border makes no mistake on the test pictures": there == 1,
        f"it is right on at most {SWAPPED:.0%} when the border is swapped": swapped <= SWAPPED,
        f"without border, it is at least {LOST * 100:.0f} percentage points worse than the other": other - gone >= LOST,
        f"the other is within {NEAR * 100:.0f} percentage points of the likelihood ratio": np.abs(other - rule) <= NEAR,
        f"the border has more than {HIGH:.0%} of the attribution in the first net": share > HIGH,
        f"it has less than {LOW:.0%} of it in the other net": honest_share < LOW,
        f"gradient times input equals that of captum (largest relative difference {gap.max():.0e})": gap < SAME,
    }
    return Finding(
        f"The net trained with the border is right on {there.mean():.1%} of the pictures, on {swapped.mean():.1%} when "
        f"the border is swapped, and on {gone.mean():.1%} when it is gone; the net trained without it on "
        f"{other.mean():.1%}. The border has {share.mean():.0%} of the first net's attribution.",
        {f"with every seed, {claim}": bool(holds.all()) for claim, holds in claims.items()},
        figure,
        {
            "rows": [
                ("trained with border", *map(mean_and_deviation, (*cheat.T, share))),
                ("trained without border", *map(mean_and_deviation, (*honest.T, honest_share))),
            ],
            "rule": mean_and_deviation(rule),
            "limit": pictures.limit(),
            "pixels": float(BORDER.mean()),
            "seeds": len(found),
            "side": SIDE,
        },
    )


def _compare(cheat: Run, honest: Run) -> tuple[tuple, tuple]:
    """Accuracies and attributions of two nets on the same test pictures, with and without the border."""
    part = cheat.windows.parts["test"]
    test = slice(int(part.first_S[0]), int(part.first_S[0] + part.count_S[0]))
    with_ND, without_ND, y_N = cheat.rows()[0][test], honest.rows()[0][test], cheat.rows()[1][test]
    shown = (with_ND, np.where(BORDER.ravel(), -with_ND, with_ND), without_ND)
    accuracy = [[(run.outputs(x_ND, "best").argmax(1) == y_N).mean() for x_ND in shown] for run in (cheat, honest)]
    rule = (cheat.checked.groups["data"]().rule(without_ND) == y_N).mean()
    looks = [_attribution(cheat, with_ND), _attribution(honest, without_ND)]
    shares = [look_D[BORDER.ravel()].sum() / look_D.sum() for look_D, _ in looks]
    return (*accuracy, rule, *shares, max(gap for _, gap in looks)), tuple(look_D for look_D, _ in looks)


def _attribution(run: Run, x_ND: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean size of gradient times input (D,), and the largest difference to captum's, relative to the largest."""
    try:
        from captum.attr import InputXGradient  # the extra may not be installed
    except ImportError:
        raise ValueError("the lesson explain needs the extra 'course': pip install 'steepest[course]'") from None
    network, scaled_ND = run.predictor("best").network, run.scaled(x_ND)
    mine_ND = gradient_times_input(network, scaled_ND)
    captums_ND = InputXGradient(lambda x_ND: difference(network, x_ND)).attribute(scaled_ND.clone().requires_grad_())
    gap = (mine_ND - captums_ND.detach()).abs().max() / mine_ND.abs().max()
    return mine_ND.abs().mean(0).numpy(), float(gap)


def _draw(axes: Axes, pixels: np.ndarray, title: str, colours: str, low: float, high: float) -> None:
    axes.imshow(pixels.reshape(SIDE, SIDE), cmap=colours, vmin=low, vmax=high)
    axes.set(title=title, xticks=[], yticks=[])
