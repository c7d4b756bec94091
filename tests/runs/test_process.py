"""The folder of a cluster's process."""

from pathlib import Path

import pytest

from steepest.runs.process import FOLDER, enter_folder


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
