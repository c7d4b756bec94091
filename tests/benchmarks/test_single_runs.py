"""Whole commands of a single run, and training against forecasting libraries: ratios of times, medians over rounds.

    pytest tests/benchmarks/test_single_runs.py -m speed -n 0

The comparison with neuralforecast needs a separate environment:

    python -m venv ENV && ENV/bin/pip install torch neuralforecast && export NEURALFORECAST_PYTHON=ENV/bin/python
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import RATIOS, ROOT, composed
from contenders import AS_INSTALLED

pytestmark = pytest.mark.speed

OTHER = os.environ.get("NEURALFORECAST_PYTHON", "")
STEPS, WINDOWS, LOOK_BACK, HIDDEN = 2000, 1024, 28, 64
MODELS = {
    "NLinear": ["model=linear_manual"],
    "MLP": ["model=mlp_manual", f"model.hidden=[{HIDDEN},{HIDDEN}]", "model.activation=relu"],
}


def seconds(*words: object) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True, env=AS_INSTALLED)
    return time.perf_counter() - start


def test_train_py_takes_little_more_than_its_imports_and_training(tmp_path, request):
    found = []
    for number in range(8):
        imports = seconds("-c", "import lightning.pytorch")
        folder = tmp_path / str(number)
        whole = seconds(ROOT / "train.py", f"hydra.run.dir={folder}")
        training = json.loads((folder / "metrics.json").read_text())["seconds"]
        found.append((whole / (imports + training), whole, imports, training))
    found = found[1:]  # the first run fills the file caches
    ratio = statistics.median(row[0] for row in found)
    whole, imports, training = (statistics.median(column) for column in list(zip(*found, strict=True))[1:])
    line = f"python train.py ({whole:.1f} s), of the import of Lightning and its training ({imports:.1f} + {training:.1f} s)"
    request.config.stash.setdefault(RATIOS, []).append((line, ratio, "at most 1.3"))
    assert ratio <= 1.3


def test_250_refits_of_the_two_layer_net_on_20_years_of_days_take_less_than_30_seconds(tmp_path, request):
    walk = ["model=mlp_manual", "data=random_walk", "data.rows=5040", "evaluation=walk_forward", "evaluation.folds=250"]
    took = seconds(ROOT / "train.py", *walk, f"hydra.run.dir={tmp_path / 'walk'}")
    metrics = json.loads((tmp_path / "walk" / "metrics.json").read_text())
    assert metrics["walk_forward"]["trainings"] == 250
    line = "python train.py with 250 refits of the two-layer net, 50 epochs each, on 5,040 days (seconds)"
    request.config.stash.setdefault(RATIOS, []).append((line, took, "at most 30"))
    assert took <= 30


@pytest.mark.skipif(not OTHER, reason="NEURALFORECAST_PYTHON names no interpreter")
@pytest.mark.parametrize("model", MODELS)
def test_against_neuralforecast(tmp_path, request, model):
    def theirs() -> float:
        words = [Path(__file__).with_name("forecasters.py"), ROOT / "data" / "stocks.csv.gz", model]
        words += [STEPS, WINDOWS, LOOK_BACK, HIDDEN]
        done = subprocess.run(
            [OTHER, *map(str, words)], cwd=tmp_path, check=True, capture_output=True, text=True, env=AS_INSTALLED
        )
        return float(done.stdout.split()[-1])

    def ours(number: int) -> float:
        from steepest.lightning.run import run

        options = [
            *MODELS[model], "optimizer=adam", "optimizer.lr=0.001", "data=stocks", f"data.window={LOOK_BACK}",
            f"data.batch_size={WINDOWS}", "stop.epochs=null", f"stop.updates={STEPS}", "callbacks=none", "threads=1",
        ]  # fmt: skip
        metrics = run(composed(*options), tmp_path / f"{model}{number}", options, alone=False).metrics
        assert metrics["updates"] == STEPS
        return metrics["seconds"]

    pairs = [(theirs(), ours(number)) for number in range(4)][1:]
    ratio = statistics.median(a / b for a, b in pairs)
    mine, other = (statistics.median(side) for side in list(zip(*pairs, strict=True))[::-1])
    line = f"neuralforecast's {model}, {STEPS} steps of {WINDOWS} windows ({other:.1f} / {mine:.2f} s)"
    request.config.stash.setdefault(RATIOS, []).append((line, ratio, "at least 10"))
    assert ratio >= 10
