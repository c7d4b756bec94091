"""Nets that predict how much a stock moves, on other stocks and decades: as they are, and with aligned statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from steepest.course.lesson import Finding
from steepest.course.parts.domain import Scaling, interval, transferred
from steepest.course.runs import Run, mean_and_deviation, sweep_runs
from steepest.observe.figures import BLACK, BLUE, ORANGE, finish

LEARNT = 0.95  # the largest mean error of the nets at home, in errors of the window's average
HOME, AWAY = "2000", "1990"  # the first year of the training
SHOWN = (("AMD", ORANGE), ("JNJ", BLUE))  # a wild and a calm stock, for the picture
KINDS = (("as they are", ORANGE, "o"), ("aligned", BLUE, "s"))


def teach(folder: Path) -> Finding:
    """How much larger is the error on another stock, in another decade, and what does aligning win back?"""
    runs: dict[tuple, Run] = {}
    for run in sweep_runs(folder):
        runs[run.asked("data", "since")[:4], run.asked("data", "series")[0], run.checked.run.seed] = run
    stocks, seeds = (sorted({key[i] for key in runs}) for i in (1, 2))
    nets = {key: run.predictor("best").network for key, run in runs.items()}
    scaling = {key: Scaling(run.windows.mean_S, run.windows.scale_S) for key, run in runs.items()}
    first = [(HOME, stock, seeds[0]) for stock in stocks]
    own = Scaling(*(torch.stack([scaling[key][i] for key in first])[:, :, None] for i in (0, 1)))
    samples = [runs[key].samples("test") for key in first]
    x_SND, y_SN1 = (torch.stack([some[i] for some in samples]) * own.scale + own.mean for i in (0, 1))
    sizes = (len(seeds), len(stocks), len(stocks))  # the stock of the training, and the stock of the test

    def errors(years: str, aligned: bool) -> np.ndarray:
        keys = [(years, stock, seed) for seed in seeds for stock in stocks]
        found = [transferred(nets[key], own if aligned else scaling[key], x_SND) for key in keys]
        return np.array([_mean_square(p_SN1 - y_SN1) for p_SN1 in found]).reshape(sizes)

    home = _same(errors(HOME, False))  # (seeds, stocks)
    learnt = np.exp(np.log(home / _mean_square(x_SND.mean(2, keepdim=True) - y_SN1)).mean(1))
    # The logarithm of the error, in errors at home, as they are and aligned, for pairs of stocks or for each stock.
    later, earlier = (
        [np.log(errors(years, aligned) / home[:, None]) for aligned in (False, True)] for years in (HOME, AWAY)
    )
    growth = {"another stock": later, "another decade": [_same(some) for some in earlier], "both": earlier}
    spans = {name: [interval(g.mean(0)) for g in (raw, fit, fit - raw)] for name, (raw, fit) in growth.items()}
    raw, fit = earlier
    mean, low, _ = np.array([[interval(g) for g in some] for some in (raw, raw - fit, fit)]).transpose(2, 0, 1)
    moves = [[float(scaling[years, stock, seeds[0]].mean) for stock in stocks] for years in (AWAY, HOME)]

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for stock, colour in SHOWN:
        weeks = runs[HOME, stock, seeds[0]].windows
        dates = weeks.index.get_level_values("date")
        left.plot(dates, weeks.price_T, color=colour, lw=0.7, label=stock)
    left.set(xlabel="year", ylabel="mean move of a day, %", yscale="log", title="A wild and a calm stock, by week")
    for kind, (label, colour, mark) in enumerate(KINDS):
        middles, ends = np.split(np.array([spans[name][kind] for name in growth]), [1], axis=1)
        x, bars = np.arange(3) + 0.24 * kind - 0.12, np.abs(ends - middles).T
        middle.errorbar(x, middles[:, 0], bars, fmt=mark, color=colour, capsize=4, ms=7, label=label)
        pairs = np.divide.outer(*moves).ravel(), np.exp(growth["both"][kind].mean(0)).ravel()
        right.plot(*pairs, mark, color=colour, ms=3, label=label)
    middle.axhline(1, color=BLACK, lw=0.9, ls=":", label="nets at home")
    middle.set_xticks(range(3), list(growth))
    middle.set(ylabel="error, in errors at home", title="Away from home, with intervals", xlim=(-0.5, 2.5))
    right.set(xlabel="mean move at training, in those of the new stock", ylabel="error, in errors at home")
    right.set(yscale="log", title="Nets of the earlier decade: pairs of stocks")
    for axes in figure.axes:
        finish(axes)
    return Finding(
        f"On another stock in another decade, the error changes by {_percent(spans['both'][0])}, compared with nets at "
        f"home (95% interval over the stocks); with aligned statistics, by {_percent(spans['both'][1])}.",
        {
            f"with every seed, nets at home have at most {LEARNT} of the error of the average": max(learnt) <= LEARNT,
            "with every seed, the error on another stock and decade is larger, by its interval": low[0].min() > 1,
            "with every seed, aligning lowers it, by its interval": low[1].min() > 1,
            "with every seed, it remains larger than at home, by its interval": low[2].min() > 1,
        },
        figure,
        {
            "rows": [(name, *map(_percent, found)) for name, found in spans.items()],
            "learnt": mean_and_deviation(learnt),
            "against": [mean_and_deviation(learnt * mean[i]) for i in (0, 2)],
            "seeds": len(seeds),
            "stocks": len(stocks),
            "weeks": list(x_SND.shape[1:]),
            "years": [int(dates[-x_SND.shape[1]].year), int(dates[-1].year)],
        },
    )


def _same(error_KSS: np.ndarray) -> np.ndarray:
    """The nets of each stock on the stock itself (seeds, stocks)."""
    return np.diagonal(error_KSS, axis1=1, axis2=2)


def _mean_square(gap_SN1: Tensor) -> np.ndarray:
    return gap_SN1.square().mean((1, 2)).numpy()


def _percent(factor: tuple[float, float, float]) -> str:
    """A factor of the error and its interval, as changes in percent."""
    mean, low, high = (100 * (some - 1) for some in factor)
    return f"{mean:+.0f} % ({low:+.0f} to {high:+.0f})"
