"""The tests of the gradients catch the classic mistakes: each is planted in a copy of the source, and they must fail."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

MUTANTS = {
    "a layer is updated before its error is propagated": (
        "networks.py",
        "slope = _down(found[-1], layers[k + 1][0], once)",
        "slope = _down(found[-1], layers[k + 1][0] - 0.01 * found[-1].mT @ trace.a[k + 1], once)",
    ),
    "the 2/N of the squared error is missing": (
        "losses.py",
        "return (prediction_NH - target_NH).mul_(2 / _count(prediction_NH))",
        "return prediction_NH - target_NH",
    ),
    "an activation's derivative is missing": (
        "networks.py",
        "found.append(activations[k].backward(slope, trace.z[k], trace.a[k + 1]))",
        "found.append(slope)",
    ),
    "a weight is transposed": (
        "networks.py",
        "slope = _down(found[-1], layers[k + 1][0], once)",
        "slope = _down(found[-1], (lambda W: W.mT if W.shape[-1] == W.shape[-2] else W)(layers[k + 1][0]), once)",
    ),
    "the slope of the sigmoid is taken at z": (
        "activations.py",
        "return _sigmoid_backward(slope_a, a)",
        "return _sigmoid_backward(slope_a, z)",
    ),
    "a slope that takes its place is missing": (
        "networks.py",
        "found.append(in_place(slope, trace.a[k + 1]))",
        "found.append(slope)",
    ),
    "the slope of the tanh that takes its place is the sigmoid's": (
        "activations.py",
        "_tanh_backward_(slope, a, grad_input=slope)",
        "_sigmoid_backward_(slope, a, grad_input=slope)",
    ),
    "the 2/N is missing where loss and slope are one computation": (
        "losses.py",
        "slope_NH = residual_NH * (2 / _count(residual_NH))",
        "slope_NH = residual_NH * 2",
    ),
    "the hard sigmoid's slope is open at 3": (
        "activations.py",
        "_relu_backward(sixth, z / 6 - 0.5, 0)",
        "_relu_backward(sixth, z / 6 - 0.5 + 1e-12, 0)",
    ),
}


def run_suite(package, tests: str) -> subprocess.CompletedProcess[str]:
    suite = str(ROOT / "tests" / "models" / "test_gradients.py")
    return subprocess.run(
        [sys.executable, "-m", "pytest", suite, "-x", "-q", "-n", "0", "-k", tests, "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


QUICK = "(equals_autograd and 64) or kinks or line_by_line or square"


@pytest.mark.parametrize("mistake", MUTANTS)
def test_the_suite_catches(mistake, tmp_path):
    file, right, wrong = MUTANTS[mistake]
    shutil.copytree(ROOT / "src" / "steepest", tmp_path / "steepest", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "steepest" / "models" / file
    text = path.read_text()
    assert text.count(right) == 1, "the line that is to be spoilt is there once"
    path.write_text(text.replace(right, wrong))
    answer = run_suite(tmp_path, QUICK)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "AssertionError" in answer.stdout


def test_the_suite_passes_on_the_copy_that_is_not_spoilt(tmp_path):
    shutil.copytree(ROOT / "src" / "steepest", tmp_path / "steepest", ignore=shutil.ignore_patterns("__pycache__"))
    answer = run_suite(tmp_path, QUICK)
    assert answer.returncode == 0, answer.stdout + answer.stderr
