"""A slice of `python -m tests.campaign.hostile`: files from elsewhere run nothing and change nothing outside."""

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.slow
def test_no_attempt_of_the_campaign_acts():
    command = [sys.executable, "-m", "tests.campaign.hostile", "--every", "25", "--real", "1", "--names", "20"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
