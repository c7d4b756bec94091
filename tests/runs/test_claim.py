"""Only one process at a time uses the folder of a run or a sweep. The lock file of a killed process is ignored."""

import os
import platform
import signal
import subprocess
import sys

import pytest

from steepest.runs.claim import Claim, claim_run

HOLD = """
import sys, time
from pathlib import Path
from steepest.runs.claim import Claim
claim = Claim(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("kind", "doing"), [("run", "is training this run"), ("sweep", "is running this sweep")])
def test_a_second_process_is_refused_until_the_first_one_has_ended(tmp_path, kind, doing):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), kind], stdout=subprocess.PIPE, text=True)
    lock = tmp_path / f"{kind}.lock"
    try:
        assert holder.stdout.readline() == "held\n"
        said = f"process {holder.pid} on {platform.node()} .* {doing}: wait until it has ended"
        for _ in range(2):
            with pytest.raises(ValueError, match=said):
                Claim(tmp_path, kind)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert str(holder.pid) in lock.read_text(), "the killed process has left its file"
        with Claim(tmp_path, kind):
            assert lock.read_text().startswith(f"process {os.getpid()} on ")
        assert not lock.exists()
    finally:
        holder.kill()
        holder.communicate()


def test_a_file_system_without_locks_does_not_stop_a_run(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with Claim(tmp_path) as claim:
        assert claim.path.exists()


def test_two_threads_of_one_process_cannot_use_one_folder(tmp_path):
    with Claim(tmp_path), pytest.raises(ValueError, match=f"process {os.getpid()} .* is training this run"):
        Claim(tmp_path)


def test_a_folder_with_a_run_is_refused_unless_it_is_resumed(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(ValueError, match="already contains a run. To continue it: python train.py resume="):
        claim_run(tmp_path)
    with claim_run(tmp_path, resume=True):
        pass


def test_a_run_without_its_config_is_not_overwritten(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match="contains checkpoints of a run, but no config.yaml: restore it"):
        claim_run(tmp_path)


def test_a_refused_run_removes_only_folders_that_it_created(tmp_path):
    (tmp_path / "mine").mkdir()
    Claim(tmp_path / "mine").remove()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    Claim(tmp_path / "mine" / "runs" / "new").remove()
    assert not list((tmp_path / "mine").iterdir())
    (tmp_path / "runs").mkdir()
    first, second = Claim(tmp_path / "runs" / "a"), Claim(tmp_path / "runs" / "b")
    first.remove()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["b"]
    second.release()


def test_a_lock_file_that_is_a_link_is_not_written_through(tmp_path):
    target = tmp_path / "other"
    target.write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").symlink_to(target)
    with pytest.raises(ValueError, match="is a link"):
        Claim(tmp_path / "run")
    assert target.read_text() == "kept"
