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
from steepest.runs import checkpoints


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


@pytest.mark.slow
def test_runs_killed_at_random_points_end_as_uninterrupted_ones():
    command = [sys.executable, "-m", "tests.campaign.kills", "--count", "22", "--commands", "0.04", "--configs", "6"]
    answer = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout
    assert "differences: 0" in answer.stdout
