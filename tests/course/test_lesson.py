"""A lesson at the end of its sweep."""

import json
import subprocess
import sys

import pytest
from conftest import NO_PICTURES, ROOT

from steepest.course.diagram import BACKWARD, FORWARD
from steepest.observe.figures import BLUE, ORANGE


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_winner_of_a_lesson_that_is_a_sweep_runs_alone_without_the_lesson(command):
    answer = command(
        "experiment=course/windows", "data.window=2", "seed=0", "hydra.mode=RUN", "stop.epochs=1", NO_PICTURES
    )
    assert answer.returncode == 0, answer.stderr
    assert "lesson windows: no lesson, because it compares the jobs of a sweep" in answer.stdout


def test_the_diagram_has_the_colours_that_its_title_and_the_lesson_name():
    assert (FORWARD, BACKWARD) == (BLUE, ORANGE)
    text = (ROOT / "src/steepest/course/lessons/backprop.html.j2").read_text()
    assert "<b>Backward</b> (orange" in text
