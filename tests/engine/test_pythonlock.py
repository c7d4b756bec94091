"""One thread at a time runs Python code."""

import subprocess
import sys
import threading

import pytest
from conftest import ROOT

from steepest.engine.pythonlock import hold, released


def test_another_thread_runs_only_while_the_lock_is_released():
    lock, order = threading.Lock(), []

    def other():
        with hold(lock):
            order.append("other")

    with hold(lock):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.05)
        order.append("mine")
        with released():
            thread.join(5)
        order.append("mine again")
    assert order == ["mine", "other", "mine again"]


def test_after_an_error_in_released_code_the_lock_is_held_again():
    lock = threading.Lock()
    with hold(lock):
        with pytest.raises(KeyError), released():
            raise KeyError
        assert lock.locked()
    assert not lock.locked()


def test_without_the_lock_released_does_nothing():
    with released():
        pass


CODE = """
import sys
from pathlib import Path
from hydra import compose, initialize_config_dir
from steepest.engine.descent import without_dynamo
from steepest.runs.config import check
from steepest.runs.drive import SharedData, drive

with initialize_config_dir(sys.argv[2], version_base=None):
    config = compose("train", ["model=mlp_manual", "stop.epochs=2", "optimizer=adam", "scheduler=cosine"])
without_dynamo()
print(drive(check(config), Path(sys.argv[1]), [], SharedData())["status"], "torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_a_job_in_a_thread_does_not_import_pytorchs_compiler(tmp_path):
    # It takes more than a second to import, and nothing here is compiled by it.
    said = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path), str(ROOT / "conf")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    assert said.split() == ["finished", "False"]
