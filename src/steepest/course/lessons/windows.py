"""The course's table: windows of 1, 7, 28 and 56 days, with training and later error, and tomorrow = today."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from steepest.course.lesson import Finding
from steepest.course.runs import over_seeds, sweep_results, sweep_runs
from steepest.observe.figures import BLUE, GREEN, ORANGE, finish

PARTS = (("train", "training days", BLUE), ("val", "the years after them", GREEN), ("test", "the last years", ORANGE))


def teach(folder: Path) -> Finding:
    """How does a longer window change the error on the training days and on later days?"""
    runs, results = sweep_runs(folder), sweep_results(folder)
    settings = sorted(results.settings, key=lambda setting: int(setting.asked["data.window"]))
    days = [int(setting.asked["data.window"]) for setting in settings]
    persistence = {part: runs[0].metrics["baselines"]["persistence"][part]["rmse"] for part, _, _ in PARTS}
    alike = all(
        run.metrics["baselines"]["persistence"][part]["rmse"] == persistence[part]
        for run in runs
        for part, _, _ in PARTS
    )
    errors = {part: [over_seeds(setting, f"{part}/rmse") for setting in settings] for part, _, _ in PARTS}
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    for axes, (part, name, colour) in zip(figure.subplots(1, 3), PARTS, strict=True):
        means, spreads = [e.mean for e in errors[part]], [e.std or 0 for e in errors[part]]
        axes.errorbar(
            range(len(days)),
            means,
            spreads,
            fmt="o-",
            color=colour,
            capsize=4,
            ms=8,
            label="linear model, mean and deviation over seeds",
        )
        axes.axhline(persistence[part], color="black", lw=0.9, ls=":", label="tomorrow = today")
        axes.set_xticks(range(len(days)), [str(n) for n in days])
        low, high = min(*means, persistence[part]), max(*means, persistence[part])
        axes.set_ylim(low - 0.4 * (high - low) - max(spreads), high + 0.9 * (high - low) + max(spreads))
        axes.set(xlabel="days in the window", ylabel="error (root mean square, points)", title=name.capitalize())
        finish(axes)
    rows = [{"days": n} | {part: str(errors[part][i]) for part, _, _ in PARTS} for i, n in enumerate(days)]
    train, test = [e.mean for e in errors["train"]], [e.mean for e in errors["test"]]
    return Finding(
        f"With {', '.join(map(str, days))} days, the error on the training days is "
        f"{', '.join(f'{e:.3f}' for e in train)} points. On the last years it is "
        f"{', '.join(f'{e:.2f}' for e in test)}; tomorrow = today has {persistence['test']:.2f}.",
        {
            f"the table is complete: {len(days)} windows, {errors['test'][0].n} seeds each": days == [1, 7, 28, 56]
            and len({e.n for part in errors.values() for e in part}) == 1
            and errors["test"][0].n > 1,
            "all windows are scored on the same days": alike,
        },
        figure,
        {
            "rows": rows,
            "persistence": persistence,
            "seeds": errors["test"][0].n,
            "test": test,
            "best_train": days[train.index(min(train))],
            "best_test": days[test.index(min(test))],
        },
    )
