"""Tests the fuzz campaign and runs a small part of it. `python -m tests.campaign.fuzz` runs all of it."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from campaign import forked, fuzz


@pytest.mark.slow
def test_random_commands_and_damaged_records_end_with_a_message():
    command = [sys.executable, "-m", "tests.campaign.fuzz", "--overrides", "40", "--records", "20", "--seed", "1"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "command lines: 40 commands, 0 with a fault" in answer.stdout
    assert "records: 20 commands, 0 with a fault" in answer.stdout


def ended(code=0, text="", **more):
    return forked.Ended(code, text, **({"seconds": 0.1, "wall": 0.1, "bytes": 1} | more))


@pytest.mark.parametrize(
    ("how", "left", "fault"),
    [
        (ended(-11), [], "exit code -11"),
        (ended(1, "Traceback (most recent call last)"), [], "its output has"),
        (ended(2), [], "without a message"),
        (ended(2, "no"), ["outputs"], "it was refused, and left outputs"),
        (ended(2, "no", seconds=6.0), [], "6.0 s"),
        (ended(0, "", bytes=3 << 30), [], "3.0 GiB"),
        (ended(0, "", outside=["open /etc/x"]), [], "it changed open /etc/x"),
        (ended(1, "killed", interrupted=True), [], "Ctrl-C ended it with 1"),
        (ended(0, "\x1b[31m"), [], "control characters"),
    ],
)
def test_the_campaign_detects_each_kind_of_fault(how, left, fault):
    case = fuzz.Case("x", lambda: None, refused_leaves_nothing=True)
    assert any(fault in found for found in fuzz.faults(case, how, left))


def test_the_campaign_detects_a_refusal_that_does_not_name_the_damaged_file():
    case = fuzz.Case("x", lambda: None, names=("run.json",))
    assert fuzz.faults(case, ended(2, "Expecting value"), []) == ["it does not name the file"]
    assert not fuzz.faults(case, ended(2, "r/run.json cannot be read"), [])


def test_damage_changes_a_file_and_is_the_same_for_the_same_seed(tmp_path):
    found = []
    for _ in range(2):
        path = Path(tmp_path / "run.json")
        path.write_text('{"status": "finished", "data": {"sha256": "x"}}')
        fuzz._damage(random.Random(3), path)
        found.append(path.read_bytes() if path.is_file() else None)
    assert found[0] == found[1] != b'{"status": "finished", "data": {"sha256": "x"}}'
