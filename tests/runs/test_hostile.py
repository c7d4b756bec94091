"""Harmful files start no program and change no other file. Runs a small part of `python -m tests.campaign.hostile`."""

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.slow
def test_no_attack_of_the_campaign_succeeds():
    command = [sys.executable, "-m", "tests.campaign.hostile", "--every", "25", "--real", "1", "--names", "20"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
