"""The folder of a cluster's process, and processes that end with their parent."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from steepest.runs.process import FOLDER, PARENT, enter_folder


def test_a_clusters_process_changes_to_the_folder_of_the_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    enter_folder()
    assert Path.cwd() == tmp_path


def test_a_machine_without_that_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "not here"))
    before = Path.cwd()
    with pytest.raises(FileNotFoundError, match="not here, where the sweep was started.*share one file system"):
        enter_folder()
    assert Path.cwd() == before


def test_a_program_whose_parent_was_killed_while_it_started_does_not_train(tmp_path):
    words = [sys.executable, str(ROOT / "train.py"), "data=random_walk", "hydra.run.dir=run"]
    starts = f"import os, subprocess; os.environ[{PARENT!r}] = str(os.getpid()); print(subprocess.Popen({words}, stdout=2).pid)"
    parent = subprocess.run(
        [sys.executable, "-c", starts],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    child, deadline = Path(f"/proc/{int(parent.stdout.splitlines()[0])}"), time.monotonic() + 60
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists()
    assert not (tmp_path / "run" / "run.json").exists()
    assert PARENT not in os.environ
