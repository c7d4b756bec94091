"""Whole sweeps as a user starts them, from the command to the last folder: ratios of times.

    pytest tests/benchmarks/test_sweeps.py -m speed -n 0

A two-layer net 28-64-1, sigmoid, 5,000 training rows, batch 64, gradient descent, 20 epochs; 16 learning rates x 16
seeds. `hydra/launcher=threads` does all 256 jobs with folders, curves, checkpoints, predictions and scores; the others
do what they usually do. The times of slow contenders are extrapolated from 10 jobs (joblib: 18): the time of 2 jobs,
plus 254 times the time of each additional job.
"""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import contenders
import numpy as np
import pytest
import torch
from conftest import RATIOS, ROOT

pytestmark = pytest.mark.speed

HERE = Path(__file__).parent / "sweeps"
RATES, SEEDS, EPOCHS, ROUNDS = [f"{rate:.4g}" for rate in np.geomspace(0.001, 0.1, 16)], range(16), 20, 3
ROWS = contenders.ROWS + 1000 + contenders.INPUTS
DATA = [
    "data=random_walk", f"data.rows={ROWS}", "data.transform=log_return", f"data.window={contenders.INPUTS}",
    "data.split=[0.84,0.08,0.08]", f"data.batch_size={contenders.BATCH}",
]  # fmt: skip
NETS = ["model=mlp_manual", f"model.hidden={list(contenders.HIDDEN)}", *DATA, f"stop.epochs={EPOCHS}"]
LINES = ["model=linear_manual", "data=sp500", "data.window=1", "data.relative_to_last=false", "stop.epochs=5"]


def seconds(*words: object, folder: Path) -> float:
    """The running time of a command, in seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=contenders.AS_INSTALLED,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return time.perf_counter() - start


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """A file with the same samples as arrays."""
    from conftest import composed

    from steepest.lightning.datamodule import WindowDataModule
    from steepest.runs.config import check

    module = WindowDataModule(check(composed(*DATA)).groups["data"]())
    module.setup()
    windows, path = module.placed("cpu", torch.float32), tmp_path_factory.mktemp("data") / "data.npz"
    found = {}
    for part in ("train", "val"):
        batches = [batch for _, batch in windows.walk(part)]
        found |= {f"{part}_x": torch.cat([b.x_ND for b in batches]).numpy()}
        found |= {f"{part}_y": torch.cat([b.y_NH for b in batches]).numpy()}
    np.savez(path, **found)
    return path


@pytest.fixture
def report(request):
    """`report(claim, ratio, bound)` prints a line at the end."""
    return lambda *line: request.config.stash.setdefault(RATIOS, []).append(line)


def threads(folder: Path, rates=RATES, seeds=SEEDS) -> float:
    """Seconds of our whole sweep."""
    varied = [f"optimizer.lr={','.join(rates)}", f"seed={','.join(map(str, seeds))}"]
    sweep = folder / f"sweep{time.time_ns()}"
    took = seconds(
        ROOT / "train.py", "-m", "hydra/launcher=threads", *NETS, *varied, f"hydra.sweep.dir={sweep}", folder=folder
    )
    assert len(list(sweep.glob("*/metrics.json"))) == len(rates) * len(seeds)
    return took


def usual(folder: Path, arrays: Path, jobs: int, *launcher: str) -> float:
    """Seconds of the usual Hydra app with `jobs` jobs: two learning rates for each of jobs / 2 seeds."""
    varied = [f"rate={RATES[0]},{RATES[8]}", f"seed={','.join(map(str, range(jobs // 2)))}", f"epochs={EPOCHS}"]
    sweep = f"hydra.sweep.dir={folder / f'usual{time.time_ns()}'}"
    return seconds(HERE / "usual.py", "-m", f"data={arrays}", *varied, sweep, *launcher, folder=folder)


def extrapolated(take: Callable[[int], float], jobs: int) -> float:
    """Seconds of all jobs, extrapolated from the times of 2 and of `jobs` jobs."""
    few = take(2)
    return few + (take(jobs) - few) / (jobs - 2) * (len(RATES) * len(SEEDS) - 2)


@pytest.mark.parametrize(
    ("name", "launcher", "jobs", "bound"),
    [
        ("Hydra's basic launcher with the usual Lightning module", (), 10, 60),
        ("joblib, 2 workers, with it", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), 18, 40),
    ],
)
def test_against_the_usual_sweep(tmp_path, arrays, report, name, launcher, jobs, bound):
    if launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    theirs, ours = extrapolated(lambda n: usual(tmp_path, arrays, n, *launcher), jobs), threads(tmp_path)
    report(f"{name} ({theirs:.0f} s / {ours:.1f} s)", theirs / ours, f"at least {bound}")
    assert theirs / ours >= bound


def test_against_plain_loops(tmp_path, arrays, report):
    def loops(jobs: int) -> float:
        seeds = ",".join(map(str, range(jobs // 2)))
        return seconds(HERE / "loops.py", arrays, f"{RATES[0]},{RATES[8]}", seeds, folder=tmp_path)

    theirs, ours = extrapolated(loops, 10), threads(tmp_path)
    report(f"plain PyTorch loops in one process ({theirs:.0f} s / {ours:.1f} s)", theirs / ours, "at least 5")
    assert theirs / ours >= 5


def test_against_scikit_learns_grid_search(tmp_path, arrays, report):
    found, pairs = [], []
    for _ in range(ROUNDS):
        theirs = seconds(HERE / "grid.py", arrays, ",".join(RATES), ",".join(map(str, SEEDS)), folder=tmp_path)
        pairs.append((theirs, threads(tmp_path)))
        found.append(pairs[-1][0] / pairs[-1][1])
    theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    report(
        f"scikit-learn's GridSearchCV, n_jobs=2 ({theirs:.0f} s / {ours:.1f} s)", statistics.median(found), "at least 5"
    )
    assert statistics.median(found) >= 5


def test_a_thousand_linear_models(tmp_path, report):
    rates, seeds = ",".join(f"{rate:.4g}" for rate in np.geomspace(1e-4, 0.1, 100)), ",".join(map(str, range(10)))
    took = seconds(
        ROOT / "train.py", "-m", "hydra/launcher=threads", *LINES, f"optimizer.lr={rates}", f"seed={seeds}",
        "hydra.sweep.dir=linear", folder=tmp_path,
    )  # fmt: skip
    report(f"10 seconds, for a thousand linear models ({took:.1f} s)", 10 / took, "at least 1")
    assert took <= 10
    assert len(list((tmp_path / "linear").glob("*/metrics.json"))) == 1000


def test_a_dry_run_estimates_the_time_of_the_sweep(tmp_path, report):
    varied = [f"optimizer.lr={','.join(RATES)}", f"seed={','.join(map(str, SEEDS))}"]
    command = [sys.executable, ROOT / "train.py", "-m", "hydra/launcher=threads", *NETS, *varied]
    dry = subprocess.run(
        [*map(str, command), "sweep.dry_run=true"], cwd=tmp_path, env=contenders.AS_INSTALLED, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    (estimate,) = re.findall(r"about (\d+) seconds on this machine", dry.stdout)
    took = threads(tmp_path)
    report(
        f"the time of 256 jobs ({took:.1f} s), against the estimate of a dry run ({estimate} s)",
        took / int(estimate),
        "0.7 to 1.3",
    )
    assert 0.7 <= took / int(estimate) <= 1.3
