"""The process that trains beside the sweep's own: what it returns, raises, and takes with it when it is killed."""

import os
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from made import killed_in_job_1, planned, statuses
from omegaconf import OmegaConf

from steepest.sweep.batched import beside as beside_module
from steepest.sweep.batched.beside import Beside, begin
from steepest.sweep.batched.pool import Pool
from steepest.runs.files import read_json

LOGGING = {
    "hydra_logging": {"version": 1, "root": {"level": "INFO"}, "disable_existing_loggers": False},
    "verbose": False,
}


@pytest.fixture
def jobs(tmp_path):
    """Four jobs, planned."""
    return planned([[f"seed={number}"] for number in range(4)], tmp_path)


@pytest.fixture
def beside(tmp_path):
    """A process that trains one job at a time."""
    config = {"sweep": {"on_error": "continue"}, "hydra": {"sweep": {"dir": str(tmp_path)}, **LOGGING}}
    process = Beside(OmegaConf.create(config), 1, 1)
    yield process
    process.end()


def test_it_trains_what_it_is_given_again_and_again(beside, jobs):
    assert statuses(beside.train([jobs[:2]])) == {0: "finished", 1: "finished"}
    first = beside.running[0].pid
    assert statuses(beside.train([jobs[2:3], jobs[3:]])) == {2: "finished", 3: "finished"}
    assert beside.running[0].pid == first != os.getpid()
    assert all(read_json(job.folder / "metrics.json")["status"] == "finished" for job in jobs)


def test_when_it_is_killed_another_one_trains_the_jobs_that_it_had_not_begun(beside, jobs, monkeypatch):
    killed_in_job_1(monkeypatch)
    assert statuses(beside.train([jobs[:3], jobs[3:]])) == {0: "finished", 1: "running", 2: "finished", 3: "finished"}


def test_an_error_there_is_raised_here_with_its_own_words_and_place(beside, jobs, monkeypatch):
    def refuse(pool, kinds):
        raise ValueError("trainer.devices=7: there are 2")

    monkeypatch.setattr(Pool, "train", refuse)
    with pytest.raises(ValueError, match="devices=7") as raised:
        beside.train([jobs])
    assert str(raised.value) == "trainer.devices=7: there are 2"
    assert "in refuse" in raised.value.__notes__[0]


def test_the_process_begins_before_the_launcher_is_made_and_is_its_own(beside, jobs):
    begin(["train.py", "-m", "hydra/launcher=batched"])
    process, _ = beside_module._begun
    beside.start()
    assert beside.running[0] is process
    assert beside_module._begun is None
    assert statuses(beside.train([jobs[:1]])) == {0: "finished"}


@pytest.mark.parametrize(
    "words", [["hydra/launcher=batched"], ["-m", "seed=1,2"], ["-m", "hydra/launcher=batched", "sweep.dry_run=true"]]
)
def test_nothing_begins_where_nothing_is_trained_together(words):
    begin(["train.py", *words])
    assert beside_module._begun is None


def test_a_process_that_nobody_takes_ends_with_the_command(tmp_path):
    words = ["-m", "hydra/launcher=batched", "seed=1,2", "no_such_key=1", f"hydra.sweep.dir={tmp_path}"]
    answer = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert "no_such_key" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_it_does_not_outlive_the_sweeps_own_process():
    code = f"""
import time
from omegaconf import OmegaConf
from steepest.sweep.batched import beside as beside_module
from steepest.sweep.batched.beside import Beside, begin
beside = Beside(OmegaConf.create({{"hydra": {LOGGING!r}}}), 1, None)
beside.start()
print(beside.running[0].pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    waited = time.monotonic() + 20
    while _is_there(child) and time.monotonic() < waited:
        time.sleep(0.05)
    assert not _is_there(child)


def _is_there(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
