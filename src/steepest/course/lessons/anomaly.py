"""Shocks found by the error of a forecast and by the error of a rebuilt window, against a limit on the value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from steepest.course.lesson import Finding
from steepest.course.parts.anomaly import DISPLACED, SPIKE
from steepest.course.parts.detectors import DETECTORS, USUAL, Alarms
from steepest.course.runs import Run, sweep_runs
from steepest.observe.figures import BLACK, BLUE, GREEN, ORANGE, RED, finish

VALUE, FORECAST, REBUILT, KNOWN = DETECTORS
COLOURS = dict(zip(DETECTORS, (ORANGE, BLUE, GREEN, BLACK), strict=True))
MOST, FEW = 0.8, 0.2  # the least recall of a detector that finds a kind of shock; the largest of one that does not
MORE = 0.2  # by which the average precision of the nets is higher than that of the value
AFTER = 0.65  # the least share of the forecast's false alarms that follow a shock, over all seeds
SHOWN = slice(100, 260)  # the days of the picture


def teach(folder: Path) -> Finding:
    """Which shocks does each detector find, and how many of its alarms are false?"""
    runs, pairs = sweep_runs(folder), dict[int, list[Run]]()
    for run in runs:
        pairs.setdefault(run.checked.run.seed, []).append(run)
    alarms = [Alarms(some) for some in pairs.values()]
    found = {name: np.array([one.found(name) for one in alarms]) for name in DETECTORS}  # (seeds, 4)
    nets = np.stack([found[FORECAST], found[REBUILT]])
    recalls = {name: [f"{recall:.0%}" for recall in some.mean(0)[1:3]] for name, some in found.items()}
    after = np.concatenate([one.after_N[one.false[FORECAST]] for one in alarms])
    usual = np.concatenate([one.after_N for one in alarms])
    return Finding(
        f"Over {len(alarms)} seeds, a limit on the value finds {recalls[VALUE][0]} of the spikes and "
        f"{recalls[VALUE][1]} of the displaced values; the error of the forecast finds "
        f"{' and '.join(recalls[FORECAST])}, that of the rebuilt window {' and '.join(recalls[REBUILT])}.",
        {
            f"with every seed, the limit on the value finds at least {MOST:.0%} of the spikes and at most {FEW:.0%} of "
            "the displaced values": bool((found[VALUE][:, 1] >= MOST).all() and (found[VALUE][:, 2] <= FEW).all()),
            f"with every seed, both nets find at least {MOST:.0%} of each kind": bool((nets[..., 1:3] >= MOST).all()),
            f"with every seed, the average precision of both nets is at least {MORE} above the value's": bool(
                (nets[..., 3] >= found[VALUE][:, 3] + MORE).all()
            ),
            "over the seeds, no net has a higher mean average precision than the known season": bool(
                (nets[..., 3].mean(1) <= found[KNOWN][:, 3].mean()).all()
            ),
            f"at least {AFTER:.0%} of the forecast's false alarms come while a shock is in the window": bool(
                after.mean() >= AFTER
            ),
        },
        _figure(next(iter(pairs.values()))[0], alarms[0]),
        {
            "rows": [(name, *map(_percent, some.T)) for name, some in found.items()],
            "seeds": len(alarms),
            "shocks": int((alarms[0].kind_N > 0).sum()),
            "days": len(alarms[0].kind_N),
            "usual": USUAL,
            "code": next(code for run in runs if (code := run.checked.plain["model"].get("code"))),
            "after": float(after.mean()),
            "usually": float(usual.mean()),
        },
    )


def _percent(values: np.ndarray) -> str:
    return f"{100 * values.mean():.0f} ± {100 * values.std(ddof=1):.0f}"


def _figure(run: Run, alarms: Alarms) -> Figure:
    """Some days of a seed with the scores of three detectors, and the precision and recall of all."""
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    (top, forecast), (rebuilt, right) = figure.subplots(2, 2)
    _, y_N1 = run.samples("test")
    kind_N = alarms.kind_N[SHOWN]
    for axes, line_N, name in (
        (top, y_N1[SHOWN, 0].numpy(), VALUE),
        (forecast, alarms.scores[FORECAST][SHOWN], FORECAST),
        (rebuilt, alarms.scores[REBUILT][SHOWN], REBUILT),
    ):
        axes.plot(line_N, color=COLOURS[name], lw=1)
        for kind, mark, label in ((SPIKE, "^", "spike"), (DISPLACED, "o", "displaced value")):
            days = np.flatnonzero(kind_N == kind)
            axes.plot(days, line_N[days], mark, color=RED, mfc="none", ms=10, label=label)
        for limit in (alarms.limits[name], -alarms.limits[name])[: 2 if axes is top else 1]:
            axes.axhline(limit, color=BLACK, lw=0.9, ls=":")
        axes.plot([], [], color=BLACK, lw=0.9, ls=":", label="limit of an alarm")
        axes.set_ylim(top=1.5 * float(line_N.max()))  # room for the legend
        axes.set(xlabel="day", ylabel="value" if axes is top else "error", title=f"Alarms by the {name}")
    for name, score_N in alarms.scores.items():
        precision, recall, _ = precision_recall_curve(alarms.kind_N > 0, score_N)
        right.plot(recall, precision, color=COLOURS[name], label=name, ls="--" if name == KNOWN else "-")
    right.set(xlabel="share of the shocks found", ylabel="share of the alarms that are right", title="All limits")
    for axes in (top, forecast, rebuilt, right):
        finish(axes)
    return figure
