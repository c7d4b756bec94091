"""Learning without labels first: the net fills in hidden days, then learns the classes from few labels.

Shapes: S seeds, Q shares of labels, N samples, D inputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.stats import ttest_rel
from torch.nn.utils import vector_to_parameters

from steepest.course.lesson import Finding
from steepest.course.runs import Run, sweep_runs
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, finish

GAIN, NONE, SIGNIFICANT = 0.05, 0.02, 0.05  # the least mean gain with few labels; the largest with all; bound of p
LUCK, SHORT, EXAMPLE = 0.01, 0.03, 12  # how far a net may be above and below the best classifier; the window shown


def teach(folder: Path) -> Finding:
    """How much does filling in hidden days help, with few labels and with all?"""
    runs = {
        (*map(r.checked.plain["model"].get, ("pretext", "labels")), r.checked.run.seed): r for r in sweep_runs(folder)
    }
    shares, seeds = sorted({key[1] for key in runs}), sorted({key[2] for key in runs})
    scores = np.array([[[_scores(runs[p, q, s]) for s in seeds] for q in shares] for p in (False, True)])
    scratch_QS, filled_QS = scores[..., 0]
    labels_Q, best_S, gain_QS = scores[1, :, :, 1].mean(1), scores[1, 0, :, 2], filled_QS - scratch_QS
    few_test, all_test = (ttest_rel(filled_QS[place], scratch_QS[place]) for place in (0, -1))
    bound = np.abs(all_test.confidence_interval(0.95)).max()  # of the mean gain with all labels
    above, below = scores[..., 0].max((0, 1)) - best_S, best_S - scores[:, -1, :, 0].min(0)

    place_Q, figure = np.arange(len(shares)), Figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = panels = figure.subplots(1, 3)
    error = _draw_filled(left, first := runs[True, shares[0], seeds[0]])
    for values_QS, colour, name in ((filled_QS, BLUE, "filled in first"), (scratch_QS, ORANGE, "from scratch")):
        mean_Q, spread_Q = values_QS.mean(1), values_QS.std(1, ddof=1)
        middle.errorbar(place_Q, mean_Q, spread_Q, fmt="o-", capsize=4, color=colour, label=name)
    middle.axhline(best_S.mean(), color=BLACK, ls=":", label="the best classifier")
    middle.set(ylabel="correct on new windows", title=f"Mean and deviation over {len(seeds)} seeds")
    right.plot(np.repeat(place_Q, len(seeds)), gain_QS.ravel(), "o", mfc="none", color=GREEN, label="one seed")
    right.axhline(0, color=BLACK, lw=0.8)
    right.set(ylabel="gain by filling in first", title="The difference, seed by seed")
    for axes in panels[1:]:
        axes.set_xticks(place_Q, [f"{share:.0%}" for share in shares])
        axes.set(xlabel="windows with a label", xlim=(-0.3, len(shares) - 0.7))
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    for axes in panels:
        finish(axes)
    few = f"with {shares[0]:.0%} of the labels"
    return Finding(
        f"Correct {few}: {filled_QS[0].mean():.1%} of new windows after filling in, {scratch_QS[0].mean():.1%} from "
        f"scratch. Correct with all labels: {filled_QS[-1].mean():.1%} and {scratch_QS[-1].mean():.1%}.",
        {
            f"{few}, filling in first is better with every seed": bool(gain_QS[0].min() > 0),
            f"{few}, the mean gain is at least {GAIN:.0%}": bool(gain_QS[0].mean() >= GAIN),
            f"a paired test of this gain over the seeds has p < {SIGNIFICANT}": bool(few_test.pvalue < SIGNIFICANT),
            f"with all labels, the 95% interval of the mean gain is within ± {NONE:.0%}": bool(bound <= NONE),
            f"no net is more than {LUCK:.0%} above the best classifier": bool(above.max() <= LUCK),
            f"with all labels, no net is more than {SHORT:.0%} below it": bool(below.max() <= SHORT),
        },
        figure,
        {
            "rows": [
                (f"{share:.0%}", round(count), *map(_spread, values))
                for share, count, *values in zip(shares, labels_Q, filled_QS, scratch_QS, gain_QS, strict=True)
            ],
            "seeds": len(seeds), "best": best_S.mean(), "p": float(few_test.pvalue), "bound": bound, "error": error,
            "days": first.windows.inputs, "noise": first.asked("data", "noise"), "masked": first.module().masked,
        },
    )  # fmt: skip


def _scores(run: Run) -> tuple[float, int, float]:
    """The accuracy on the test part, the number of labels, and the accuracy of the best classifier."""
    module, windows, (x_ND, y_N1) = run.module(), run.windows, run.samples("test")
    plain_ND = (x_ND * windows.input_scale_SF[0] + windows.input_mean_SF[0]).numpy()
    source: Any = run.datamodule.dataset
    best_N = source.best_classes(plain_ND)
    with torch.no_grad():
        correct_N = module(x_ND).argmax(1) == y_N1[:, 0]
    labels = module.labelled(run.samples("train")[0].float())  # in the precision of the training
    return float(correct_N.double().mean()), int(labels.sum()), float(np.mean(best_N == y_N1[:, 0].numpy()))


def _draw_filled(axes: Axes, run: Run) -> float:
    """Draw a test window as the net fills it in after the first task; return the mean squared error of hidden days."""
    module, (x_ND, _) = run.module(), run.samples("test")
    vector_to_parameters(module.pretrained_P, module.parameters())
    hidden_ND = torch.rand(x_ND.shape, generator=torch.Generator().manual_seed(0)) < module.masked
    with torch.no_grad():
        filled_ND = module.filled(x_ND, hidden_ND)
    x_D, p_D, hidden_D = x_ND[EXAMPLE], filled_ND[EXAMPLE], hidden_ND[EXAMPLE]
    day_D = torch.arange(1, len(x_D) + 1)
    axes.plot(day_D[~hidden_D], x_D[~hidden_D], "o", color=GREEN, label="what the net sees")
    axes.plot(day_D[hidden_D], x_D[hidden_D], "o", mfc="white", color=GREEN, label="hidden")
    axes.plot(day_D, p_D, color=BLUE, label="what the net fills in")
    axes.set(xlabel="day", ylabel="value, scaled", title="One window: hidden days, filled in")
    return float((filled_ND - x_ND)[hidden_ND].square().mean())


def _spread(share_S: np.ndarray) -> str:
    return f"{share_S.mean():.1%} ± {share_S.std(ddof=1):.1%}"
