"""A net trained on price levels fails above its training prices. The same net trained on differences does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import Run, over_seeds, sweep_results, sweep_runs
from steepest.observe.figures import BLACK, BLUE, ORANGE, finish

PARTS = (("train", "training days"), ("val", "the years after"), ("test", "the last years"))
NAMES = {False: "net on price levels", True: "net on differences"}
COLOURS = {False: ORANGE, True: BLUE}
FAR, NEAR = 10, 0.02  # error as a multiple of that of tomorrow = today; relative difference from it


def teach(folder: Path) -> Finding:
    """Compare both nets on days with prices above all training prices."""
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for run in sweep_runs(folder):
        runs[bool(run.asked("data", "relative_to_last"))].append(run)
    settings = {
        setting.asked["data.relative_to_last"].lower() == "true": setting for setting in sweep_results(folder).settings
    }
    persistence = {part: runs[True][0].metrics["baselines"]["persistence"][part]["rmse"] for part, _ in PARTS}
    ratios = {kind: [run.metrics["test"]["rmse"] / persistence["test"] for run in same] for kind, same in runs.items()}
    tables = {
        kind: pd.read_csv(same[0].folder / "predictions.csv", parse_dates=["date"]) for kind, same in runs.items()
    }
    levels = tables[False]
    learned = levels.loc[levels["part"] == "train", ["last", "actual"]].to_numpy()
    lowest, highest = float(learned.min()), float(learned.max())
    test = levels[levels["part"] == "test"]
    highest_prediction = float(test["prediction"].max())

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(levels["date"], levels["actual"], color=BLACK, lw=2.4, alpha=0.35, label="price")
    for kind, table in tables.items():
        left.plot(table["date"], table["prediction"], color=COLOURS[kind], lw=0.9, label=NAMES[kind])
        right.plot(table["last"], table["prediction"], ".", color=COLOURS[kind], ms=2.5, label=NAMES[kind])
    for axes, line in ((left, left.axhline), (right, right.axvline)):
        line(highest, color=BLACK, lw=0.9, ls=":", label=f"highest training price, {highest:.0f}")
        finish(axes)
    ends = np.array([levels["last"].min(), levels["last"].max()])
    right.plot(ends, ends, color=BLACK, lw=0.8, label="tomorrow = today")
    left.set(ylabel="points", title="Above the training prices, the net on levels falls behind")
    right.set(
        xlabel="price today (points)", ylabel="prediction for tomorrow (points)", title="Its predictions flatten out"
    )
    finish(right)
    errors = {kind: {part: over_seeds(settings[kind], f"{part}/rmse") for part, _ in PARTS} for kind in runs}
    skill = {kind: over_seeds(settings[kind], "test/skill") for kind in runs}
    rows = [
        {"name": NAMES[kind]} | {part: str(errors[kind][part]) for part, _ in PARTS} | {"skill": str(skill[kind])}
        for kind in runs
    ]
    return Finding(
        f"On the last years, the net on price levels has an error of {errors[False]['test']} points (skill "
        f"{skill[False].mean:.0f}), the same net on differences from today's price one of {errors[True]['test']} "
        f"(skill {skill[True].mean:.4f}); tomorrow = today has {persistence['test']:.2f}.",
        {
            f"all prices of the last years are above the training prices: {test['last'].min():.0f} or more, "
            f"against {highest:.0f} or less": bool(test[["last", "actual"]].to_numpy().min() > highest),
            f"with every seed, the error of the net on levels is more than {FAR} times that of tomorrow = today": min(
                ratios[False]
            )
            > FAR,
            f"with every seed, the net on differences has the error of tomorrow = today to within {NEAR:.0%}": max(
                abs(ratio - 1) for ratio in ratios[True]
            )
            < NEAR,
            f"the net on levels predicts at most {highest_prediction:.0f} points, while the price reaches "
            f"{test['actual'].max():.0f}": highest_prediction < 0.75 * test["actual"].max(),
        },
        figure,
        {
            "rows": rows,
            "persistence": persistence,
            "seeds": skill[False].n,
            "lowest": lowest,
            "highest": highest,
            "highest_prediction": highest_prediction,
            "top": float(test["actual"].max()),
            "ratio": float(np.mean(ratios[False])),
            "skill": skill[False].mean,
        },
    )
