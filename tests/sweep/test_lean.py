"""A batched sweep without what takes seconds to import."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

WITHOUT = ("lightning", "pytorch_lightning", "torchmetrics", "torch._dynamo", "scipy", "matplotlib")
PROGRAM = f"""
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if any(f"{{name}}.".startswith(f"{{each}}.") for each in {WITHOUT}):
            raise RuntimeError(f"{{name}} is imported")

sys.meta_path.insert(0, Refusing())
sys.path.insert(0, {str(ROOT)!r})
sys.argv[0] = {str(ROOT / "train.py")!r}
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SMALL = ["data=random_walk", "data.rows=120", "data.window=2", "stop.epochs=2", "hydra.launcher.workers=1"]


@pytest.fixture
def sweep(tmp_path):
    def start(*overrides):
        words = [sys.executable, "-c", PROGRAM, "-m", "hydra/launcher=batched", "hydra.sweep.dir=out", *SMALL]
        answer = subprocess.run(
            [*words, *overrides], cwd=tmp_path, env=os.environ | {"HYDRA_FULL_ERROR": "1"}, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        record = json.loads((tmp_path / "out" / "sweep.json").read_text())
        return answer, [job["status"] for job in record["jobs"]]

    return start


def test_a_sweep_of_shipped_parts_imports_none_of_it(sweep, tmp_path):
    # Small models, whose curvature is looked at; larger ones; every optimizer; schedules.
    answer, statuses = sweep(
        "model=linear,mlp_manual", "optimizer=sgd,momentum,adam,adamw", "scheduler=none,exponential"
    )
    assert answer.returncode == 0, answer.stderr
    assert statuses == ["finished"] * 16
    metrics = json.loads((tmp_path / "out" / "0" / "metrics.json").read_text())
    assert "critical" in metrics
    assert (tmp_path / "out" / "0" / "checkpoints" / "last.ckpt").exists()
    assert list((tmp_path / "out" / "0").glob("events*"))


def test_neither_do_other_rules_and_precisions(sweep):
    answer, statuses = sweep(
        "stop=threshold", "stop.loss=0.5,0.001", "trainer.precision=64-true", "logger=none",
        "trainer.gradient_clip_val=null,0.1", "callbacks.vitals.looks=3",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert statuses == ["finished"] * 4
