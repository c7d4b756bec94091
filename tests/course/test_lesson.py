"""A lesson at the end of its sweep."""

import json
import subprocess
import sys

from conftest import ROOT


def test_a_lesson_that_cannot_be_taught_fails_its_sweep_whose_record_is_whole(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "-m", "experiment=course/stopping", "stop=course/epochs"]
    answer = subprocess.run(
        [*command, "stop.epochs=2", "logger=none", "hydra.sweep.dir=s"], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert answer.returncode == 2, answer.stderr
    assert "lesson stopping: " in answer.stderr
    assert "the lesson needs callbacks=default and logger=tensorboard" in answer.stderr
    record = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert record["status"] == "finished"
    assert [job["status"] for job in record["jobs"]] == ["finished"]
