"""Where a process works."""

from pathlib import Path

import pytest

from steepest.runs.process import FOLDER, enter_folder


def test_a_cluster_s_process_goes_where_the_sweep_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    enter_folder()
    assert Path.cwd() == tmp_path


def test_a_machine_that_does_not_have_the_folder_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "not here"))
    before = Path.cwd()
    with pytest.raises(FileNotFoundError, match="not here, where the sweep was started.*share one file system"):
        enter_folder()
    assert Path.cwd() == before
