"""Only one process at a time trains a run. The lock file of a killed process is ignored."""

import os
import platform
import signal
import subprocess
import sys

import pytest

from steepest.runs.lock import NAME, locked

HOLD = """
import sys, time
from pathlib import Path
from steepest.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_one_has_ended(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        said = f"process {holder.pid} on {platform.node()} .* is training this run: wait until it has ended"
        for _ in range(2):
            with pytest.raises(ValueError, match=said), locked(tmp_path):
                pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert str(holder.pid) in (tmp_path / NAME).read_text(), "the killed process has left its file"
        with locked(tmp_path):
            assert (tmp_path / NAME).read_text().startswith(f"process {os.getpid()} on ")
        assert not (tmp_path / NAME).exists()
    finally:
        holder.kill()
        holder.communicate()


def test_a_file_system_without_locks_does_not_stop_a_run(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with locked(tmp_path):
        assert (tmp_path / NAME).exists()
