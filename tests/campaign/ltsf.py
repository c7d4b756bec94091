"""Prints the tables of docs/ltsf.md: `python -m tests.campaign.ltsf FOLDER`.

FOLDER has the files ETTh1.csv, ETTh2.csv and exchange_rate.csv. Exit code 1: a score of persistence or of the
closed-form linear model differs from the published one in the third decimal.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HORIZONS = (96, 192, 336, 720)
BATCH = 32  # the published scores of persistence and DLinear leave out the last, incomplete batch of test windows
ROWS = {"ETTh1": (8640, 2880, 2880), "ETTh2": (8640, 2880, 2880), "exchange_rate": (5311, 760, 1517)}
SERIES = {
    "ETTh1": "[HUFL,HULL,MUFL,MULL,LUFL,LULL,OT]", "ETTh2": "[HUFL,HULL,MUFL,MULL,LUFL,LULL,OT]",
    "exchange_rate": "['0','1','2','3','4','5','6',OT]",
}  # fmt: skip
# File -> (mean squared error, mean absolute error) of standardised values for each horizon.
PERSISTENCE = {  # "Repeat" in Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?", table 2
    "ETTh1": [(1.295, 0.713), (1.325, 0.733), (1.323, 0.744), (1.339, 0.756)],
    "ETTh2": [(0.432, 0.422), (0.534, 0.473), (0.591, 0.508), (0.588, 0.517)],
    "exchange_rate": [(0.081, 0.196), (0.167, 0.289), (0.305, 0.396), (0.823, 0.681)],
}
# "OLS" in Toner & Darlow 2024, "An Analysis of Linear Time Series Forecasting Models", with a window of 720 rows: what
# the authors' code (github.com/sir-lab/linear-forecasting, run_main.sh) prints for these files.
CLOSED_FORM = {
    "ETTh1": [(0.376, 0.399), (0.413, 0.422), (0.448, 0.448), (0.492, 0.505)],
    "ETTh2": [(0.309, 0.373), (0.423, 0.444), (0.539, 0.512), (0.900, 0.672)],
    "exchange_rate": [(0.091, 0.218), (0.217, 0.342), (0.450, 0.500), (1.392, 0.881)],
}
# DLinear in Zeng et al. 2023 for a horizon of 96 (github.com/cure-lab/LTSF-Linear, LTSF-Benchmark.md), and the options
# of their scripts.
DLINEAR = {
    "ETTh1": ((0.375, 0.399), ()),
    "ETTh2": ((0.289, 0.353), ("optimizer.lr=0.05",)),
    "exchange_rate": ((0.089, 0.208), ("optimizer.lr=0.0005", "data.batch_size=8")),
}


def scores(folder: Path, name: str, horizon: int, *words: str, whole: bool) -> dict[str, tuple[float, float]]:
    """Train, and return the standardised errors of the test part: of the model and of each baseline.

    Args:
        folder: the folder of the files.
        name: the file, without its ending.
        horizon: the number of rows to predict.
        words: overrides.
        whole: whether the test part has all windows, or only complete batches of them.
    """
    train, val, test = ROWS[name]
    left_out = 0 if whole else (test - horizon + 1) % BATCH
    with tempfile.TemporaryDirectory() as run:
        line = [
            sys.executable, str(ROOT / "train.py"), "experiment=ltsf", f"data.path={folder.resolve() / name}.csv",
            f"data.series={SERIES[name]}", f"data.split=[{train},{val},{test - left_out}]", f"data.horizon={horizon}",
            "logger=none", "callbacks=none", "evaluation.predictions=none", f"hydra.run.dir={run}/r", *words,
        ]  # fmt: skip
        subprocess.run(line, cwd=run, capture_output=True, check=True, timeout=3600)
        metrics = json.loads((Path(run) / "r" / "metrics.json").read_text())
    found = {"model": metrics["test"]} | {name: parts["test"] for name, parts in metrics["baselines"].items()}
    return {name: (row["mse_scaled"], row["mae_scaled"]) for name, row in found.items()}


def shown(pair: tuple[float, float]) -> str:
    """The two errors with three decimals."""
    return " / ".join(f"{error:.3f}" for error in pair)


def rows(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield the lines of the tables, and whether each agrees with what was published."""
    quick = ("model=linear_manual", "stop.epochs=1")
    tables = (
        ("persistence", PERSISTENCE, ("data.window=1",), False),
        ("least_squares", CLOSED_FORM, ("data.window=720",), True),
    )
    for baseline, published, words, whole in tables:
        yield f"\n| file | horizon | {baseline}, published | steepest |\n|---|---|---|---|", True
        for name, pairs in published.items():
            for horizon, pair in zip(HORIZONS, pairs, strict=True):
                found = scores(folder, name, horizon, *quick, *words, whole=whole)[baseline]
                yield f"| {name} | {horizon} | {shown(pair)} | {shown(found)} |", shown(pair) == shown(found)
    yield (
        "\n| file | DLinear, published | `model=dlinear` | `model=nlinear` | `model=rlinear` |\n|---|---|---|---|---|",
        True,
    )
    for name, (pair, words) in DLINEAR.items():
        kinds = [
            scores(folder, name, 96, f"model={kind}", *words, whole=False)["model"]
            for kind in ("dlinear", "nlinear", "rlinear")
        ]
        yield f"| {name} | {shown(pair)} | {' | '.join(map(shown, kinds))} |", True


if __name__ == "__main__":
    agree = True
    for line, equal in rows(Path(sys.argv[1])):
        print(line if equal else f"{line} <- differs", flush=True)
        agree &= equal
    sys.exit(not agree)
