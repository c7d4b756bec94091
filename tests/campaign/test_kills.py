"""The campaign detects runs that differ, and a small part of it finds no difference."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from campaign.runs import differences
from campaign.sweeps import sweep_differences
from steepest.runs import checkpoints


@pytest.mark.slow
def test_every_kind_of_difference_is_found(train, tmp_path):
    _, whole = train("model=linear_manual", "data=random_walk", "data.rows=200", "data.window=3", "stop.epochs=2")
    assert differences(whole, whole) == []

    def changed(change):
        folder = tmp_path / "other"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        change(folder)
        return " ".join(differences(whole, folder))

    def metrics(folder):
        content = json.loads((folder / "metrics.json").read_text())
        content["objective"]["value"] *= 1 + 1e-15
        (folder / "metrics.json").write_text(json.dumps(content))

    def weights(folder):
        path = folder / "checkpoints" / "last.ckpt"
        content = checkpoints.load(path)
        content["state_dict"]["network.W1"].view(torch.int32)[0, 0] ^= 1
        checkpoints.save(content, path)

    def doubled(folder):
        (path,) = folder.glob("events.*")
        path.write_bytes(path.read_bytes() * 2)

    def missing(folder):
        (path,) = folder.glob("events.*")
        path.write_bytes(path.read_bytes()[:-2000])

    def predictions(folder):
        path = folder / "predictions.csv"
        path.write_text(path.read_text()[:-2])

    assert "metrics.json/objective/value" in changed(metrics)
    assert "last.ckpt/state_dict/network.W1: the tensors differ" in changed(weights)
    assert "occurs 2 times, not 1" in changed(doubled)
    assert "occurs 0 times, not 1" in changed(missing)
    assert "predictions.csv differs" in changed(predictions)
    assert "files: config.yaml is missing" in changed(lambda folder: (folder / "config.yaml").unlink())
    assert "files: x.part should not exist" in changed(lambda folder: (folder / "x.part").touch())


def test_every_kind_of_difference_between_sweeps_is_found(tmp_path):
    job = {
        "job": 0,
        "id": "a",
        "folder": "0",
        "status": "failed",
        "objective": None,
        "error": "diverged",
        "started": "1",
    }
    sweep = {"status": "finished", "objective": "val/mse", "config": {}, "jobs": [job]}

    def found(folder="other", rows="job,objective,seconds\n0,1.5,3\n", extra=(), **changes):
        for name, content, table in (
            ("one", sweep, "job,objective,seconds\n0,1.5,2\n"),
            (folder, sweep | changes, rows),
        ):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            (tmp_path / name).mkdir()
            (tmp_path / name / "sweep.json").write_text(json.dumps(content))
            (tmp_path / name / "results.csv").write_text(table)
        for name in extra:
            (tmp_path / folder / name).mkdir()
        return " ".join(sweep_differences(tmp_path / "one", tmp_path / folder))

    assert found() == ""
    assert found(jobs=[job | {"started": "2"}]) == ""
    assert found(status="running").startswith("sweep.json: ")
    assert found(jobs=[job, job | {"job": 1}]).startswith("jobs: ")
    assert found(rows="job,objective,seconds\n0,1.50001,3\n").startswith("results.csv: ")
    assert found(extra=["1"]) == "1 is in one of the sweeps"


def campaign(*words):
    """Run a campaign as a command, with one thread for BLAS. Return its output."""
    command = [sys.executable, "-m", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


@pytest.mark.slow
def test_runs_killed_at_random_points_end_as_uninterrupted_ones():
    out = campaign("tests.campaign.kills", "--count", "30", "--commands", "0.04", "--configs", "6")
    assert "differences: 0" in out


@pytest.mark.slow
def test_sweeps_killed_at_random_times_end_as_uninterrupted_ones():
    out = campaign("tests.campaign.sweeps", "--count", "4", "--commands", "0", "--launchers", "basic", "threads")
    assert "differences: 0" in out
