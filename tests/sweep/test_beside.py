"""The process that trains beside the sweep's own: what it returns, raises, and takes with it when it is killed."""

import os
import subprocess
import sys
import time

import pytest
from made import killed_in_job_1, planned, statuses
from omegaconf import OmegaConf

from steepest.sweep.batched.beside import Beside
from steepest.sweep.batched.pool import Pool
from steepest.training.files import read_json

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


def test_it_does_not_outlive_the_sweeps_own_process():
    code = f"""
import time
from omegaconf import OmegaConf
from steepest.sweep.batched.beside import Beside
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
