"""The tests of gradients and kernel catch classic mistakes: each test puts one into a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

# Name of a mistake: (file of nets/, the correct text, the wrong text).
TEXTBOOK = {
    "a layer is updated before its error is propagated": (
        "networks.py",
        "slope = found[-1] @ layers[k + 1][0]",
        "slope = found[-1] @ (layers[k + 1][0] - 0.01 * found[-1].mT @ trace.a[k + 1])",
    ),
    "square weights are transposed": (
        "networks.py",
        "slope = found[-1] @ layers[k + 1][0]",
        "slope = found[-1] @ (lambda W: W.mT if W.shape[-1] == W.shape[-2] else W)(layers[k + 1][0])",
    ),
    "an activation's slope is missing": (
        "networks.py",
        "found.append(activations[k].backward(slope, trace.z[k], trace.a[k + 1]))",
        "found.append(slope)",
    ),
    "the bias's gradient is a mean": (
        "networks.py",
        "g_NO.sum(-2)) for g_NO, a_NI",
        "g_NO.mean(-2)) for g_NO, a_NI",
    ),
    "the slope of the sigmoid is taken at z": (
        "activations.py",
        "return slope_a * (a * (1 - a))",
        "return slope_a * (z * (1 - z))",
    ),
    "the square is missing in the slope of the tanh": (
        "activations.py",
        "return slope_a * (1 - a * a)",
        "return slope_a * (1 - a)",
    ),
    "the slope of the relu is 1 at 0": ("activations.py", "return slope_a * (z > 0)", "return slope_a * (z >= 0)"),
    "the slope of the hard sigmoid is 0 at 3": ("activations.py", "(z > -3) & (z <= 3)", "(z > -3) & (z < 3)"),
    "the 2/N of the squared error is missing": (
        "losses.py",
        "return _residual(p_NH, y_NH) * (2 / _count(p_NH))",
        "return _residual(p_NH, y_NH)",
    ),
    "the slope of the absolute error is 1 at 0": (
        "losses.py",
        "return _residual(p_NH, y_NH).sign() / _count(p_NH)",
        "return ((p_NH >= y_NH) * 2.0 - 1).to(p_NH) / _count(p_NH)",
    ),
    "the slope of a quantile has the wrong sign": (
        "losses.py",
        "torch.where(e_NQH > 0, -q_Q1, torch.where(e_NQH < 0, 1 - q_Q1, e_NQH))",
        "torch.where(e_NQH < 0, -q_Q1, torch.where(e_NQH > 0, 1 - q_Q1, e_NQH))",
    ),
    "the slope of the Huber loss grows without bound": (
        "losses.py",
        "_residual(p_NH, y_NH).clamp(-1, 1)",
        "_residual(p_NH, y_NH)",
    ),
    "the cross-entropy is divided by its classes too": (
        "losses.py",
        "/ _count(share_NHC[..., 0])).flatten(-2)",
        "/ share_NHC[..., 0, :, :].numel()).flatten(-2)",
    ),
}
TEXTBOOK_SELECTION = "kinks or line_by_line or square or (every_depth and (tanh-huber or identity-cross_entropy))"

# The same for the engine: (the correct text, the wrong text).
KERNEL = {
    "the 1/N is missing": ("p_NO.dtype.type(1.0 / count), 0.0", "p_NO.dtype.type(1.0), 0.0"),
    "the slope of the sigmoid is taken at z": (
        "g_M[i] *= a_M[i] * (one - a_M[i])",
        "g_M[i] *= z_M[i] * (one - z_M[i])",
    ),
    "the slope of the hard sigmoid is 1/6 at -3": (
        "(sixth if z_M[i] > -edge else zero)",
        "(sixth if z_M[i] >= -edge else zero)",
    ),
    "the bias's gradient is left out": ("db_O[o] += g_NO[n, o]", "db_O[o] += 0 * g_NO[n, o]"),
    "the weights are transposed on the way down": (
        "_dot(g_NO, W_OI, slope_NI)",
        "_dot(g_NO, W_OI.reshape(inputs, outputs).T, slope_NI)",
    ),
    "dampening is ignored": ("momentum * mean_P[i] + fresh * g", "momentum * mean_P[i] + g"),
    "Adam's first moment is not corrected for its start": ("kind(rate / (1.0 - b1 ** (done + 1)))", "kind(rate)"),
    "Adam's second moment is not corrected for its start": ("kind(math.sqrt(1.0 - b2 ** (done + 1)))", "kind(1)"),
    "clipping lengthens short gradients": (
        "min(1.0, bound / (norm + CLIP_EPSILON))",
        "bound / (norm + CLIP_EPSILON)",
    ),
    "a short last batch is filled up from the one before it": (
        "order_N[k * batch : (k + 1) * batch]",
        "order_N[min((k + 1) * batch, order_N.size) - batch : min((k + 1) * batch, order_N.size)]",
    ),
    "the slope of a quantile is that of the quantile on the other side": (
        "g_NO[n, o] = -q * scale if e > zero else (one - q) * scale",
        "g_NO[n, o] = (q - one) * scale if e > zero else q * scale",
    ),
    "the last value is not subtracted from a relative window": (
        "x_ND[n, day * width] -= last",
        "x_ND[n, day * width] -= 0 * last",
    ),
}
# Only double precision, so that each mutant is compiled once: every optimizer, exact kinks, and nets with several
# layers, sigmoids, clipped norms and relative windows.
KERNEL_SELECTION = "state_dicts or (exact_kinks and dtype1 and hard) or several_layers"

# Each copy is tested in a fork, so torch and pytest are imported only once; their imports take longer than the tests.
DRIVER = """
import os, sys
import beartype, hydra, hypothesis, jaxtyping, numba, pytest, torch, torch.utils.flop_counter

@jaxtyping.jaxtyped(typechecker=beartype.beartype)  # imports JAX where it is installed
def checked(x: jaxtyping.Float[torch.Tensor, "N"]): pass

suite, selection, *packages = sys.argv[1:]
for package in packages:
    if (child := os.fork()) == 0:
        log = os.open(os.path.join(package, "log"), os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.path.insert(0, package)
        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb", "short", "-W", "ignore:Module already imported"]
        code = pytest.main([suite, "-k", selection, *options])
        sys.stdout.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    open(os.path.join(package, "code"), "w").write(str(code))
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants are tested in forks")


def copied(place: Path, file: str = "", right: str = "", wrong: str = "") -> Path:
    """Copy the package into `place`, with one piece of text replaced."""
    shutil.copytree(ROOT / "src" / "steepest", place / "steepest", ignore=shutil.ignore_patterns("__pycache__"))
    if file:
        path = place / "steepest" / file
        text = path.read_text()
        assert text.count(right) == 1, f"{file} contains {right!r} {text.count(right)} times, expected once"
        path.write_text(text.replace(right, wrong))
    return place


def run_suite(suite: str, selection: str, packages: list[Path]) -> list[tuple[int, str]]:
    """Run pytest on each copy of the package; return its exit code and output."""
    subprocess.run(
        [sys.executable, "-c", DRIVER, str(ROOT / "tests" / suite), selection, *map(str, packages)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=500,
        check=True,
    )
    return [(int((package / "code").read_text()), (package / "log").read_text()) for package in packages]


def is_caught(code: int, output: str) -> bool:
    """Whether a test's assertion failed. (A copy that does not run at all does not count.)"""
    return code == 1 and re.search(r"^E +(AssertionError|assert )", output, re.MULTILINE) is not None


@pytest.mark.slow
def test_the_tests_of_the_gradients_catch_every_mistake_in_the_textbook(tmp_path):
    packages = [copied(tmp_path / "right")]
    packages += [
        copied(tmp_path / str(n), f"nets/{file}", right, wrong)
        for n, (file, right, wrong) in enumerate(TEXTBOOK.values())
    ]
    (code, output), *others = run_suite("nets/test_gradients.py", TEXTBOOK_SELECTION, packages)
    assert code == 0, output
    missed = [f"{name}:\n{found[1]}" for name, found in zip(TEXTBOOK, others, strict=True) if not is_caught(*found)]
    assert not missed, "\n".join(missed)


@pytest.mark.slow
def test_the_tests_of_the_kernel_pass_on_a_copy_without_mistakes(tmp_path):
    ((code, output),) = run_suite("engine/test_descent.py", KERNEL_SELECTION, [copied(tmp_path)])
    assert code == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("mistake", KERNEL)
def test_the_tests_of_the_kernel_catch(mistake, tmp_path):
    right, wrong = KERNEL[mistake]
    engine = ROOT / "src" / "steepest" / "engine"
    (file,) = (name for name in ("kernels.py", "functions.py") if right in (engine / name).read_text())
    package = copied(tmp_path, f"engine/{file}", right, wrong)
    ((code, output),) = run_suite("engine/test_descent.py", KERNEL_SELECTION, [package])
    assert is_caught(code, output), output
