"""The worked example compared with a published one, and each side of each printed line compared with its value."""

import ast
import math
import re
from itertools import product

import pytest
import torch
from conftest import ROOT

from steepest import cli
from steepest.nets.worked import DEFAULT, Example, ExampleLayer, Worked, read_example

# The 2-2-2 net of Matt Mazur's "A Step by Step Backpropagation Example" (2015), with the numbers he prints. Its loss,
# the sum of half squares, is the mean square over two outputs.
MAZUR = """
inputs: [0.05, 0.10]
targets: [0.01, 0.99]
step: 0.5
layers:
  - {W: [[0.15, 0.20], [0.25, 0.30]], b: 0.35, activation: sigmoid, fixed_bias: true}
  - {W: [[0.40, 0.45], [0.50, 0.55]], b: 0.60, activation: sigmoid, fixed_bias: true}
"""


@pytest.fixture
def mazur(tmp_path):
    (tmp_path / "net.yaml").write_text(MAZUR)
    return Worked(read_example(tmp_path / "net.yaml"))


def values(worked: Worked) -> dict[str, float]:
    return {name: float(value) for name, formula, value in worked.lines() if formula}


def test_a_published_example_is_reproduced_digit_by_digit(mazur):
    printed = {
        "z1_1": 0.3775, "a1_1": 0.593269992, "a1_2": 0.596884378, "z2_1": 1.105905967, "a2_1": 0.75136507,
        "a2_2": 0.772928465, "L": 0.298371109, "dL/da2_1": 0.74136507, "dL/dW2_11": 0.082167041,
        "dL/dz2_1": 0.138498562, "dL/da1_1": 0.036350306, "dL/dW1_11": 0.000438568,
        "W2_11 new": 0.35891648, "W2_12 new": 0.408666186, "W2_21 new": 0.511301270, "W2_22 new": 0.561370121,
        "W1_11 new": 0.149780716, "W1_12 new": 0.19956143, "W1_21 new": 0.24975114, "W1_22 new": 0.29950229,
        "b1 new": 0.35, "b2 new": 0.60,
    }  # fmt: skip
    ours = values(mazur)
    for name, value in printed.items():
        assert ours[name] == pytest.approx(value, rel=1e-8, abs=6e-9), name
    assert mazur.loss_after.item() == pytest.approx(0.291027924, abs=2e-7)  # he continues with rounded weights


# What a formula may contain besides numbers.
ALLOWED = (ast.Expression, ast.Constant, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Compare, ast.Call, ast.Name, ast.Load)
ALLOWED += (ast.operator, ast.unaryop, ast.cmpop)
FUNCTIONS = {
    "exp": math.exp, "tanh": math.tanh, "max": max, "min": min, "abs": abs, "sign": lambda e: (e > 0) - (e < 0),
    "huber": lambda e: e**2 / 2 if abs(e) <= 1 else abs(e) - 1 / 2,
}  # fmt: skip


def rounding(printed: float) -> float:
    """The largest rounding error of a number that is printed with nine digits."""
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(printed))) - 8) if printed else 0.0


def evaluated(side: str, known: dict[str, str]) -> tuple[float, float]:
    """Return the value of one side of an equation, and the possible effect of rounding its printed numbers.

    Args:
        side: a formula of names, numbers or both.
        known: the printed number of each name.
    """
    names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    side = re.sub(rf"(?<![\w/])(?:{names})(?![\w,])", lambda found: f"({known[found.group()]})", side)
    tree = ast.parse(side.replace("^", "**"), mode="eval")
    assert all(isinstance(node, ALLOWED) for node in ast.walk(tree)), side
    numbers = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]

    def value() -> float:
        return eval(compile(tree, "side", "eval"), {"__builtins__": {}}, FUNCTIONS)

    result, change = float(value()), 0.0
    for node in numbers:
        before = node.value
        node.value = before + rounding(before)
        change += abs(value() - result)
        node.value = before
    return result, change


def check_lines(lines: list[tuple[str, str, str]], known: dict[str, str]) -> int:
    """Compare each side of each line with the line's value; return the number of sides that were compared."""
    known, checked = dict(known), 0
    for name, formula, value in lines:
        if not formula:
            continue
        for side in formula.split(" = "):
            result, change = evaluated(side, known)
            allowed = rounding(float(value)) + 1.1 * change + 1e-15
            assert abs(result - float(value)) <= allowed, f"{name} = {side} is {result}, not {value}"
            checked += 1
        known[name] = value
    return checked


def given(example: Example) -> dict[str, str]:
    """The names and printed numbers of an example's inputs, targets and parameters."""
    worked, known = Worked(example), {}
    for letter, rows in (("x", worked.x), ("y", worked.y)):
        for n, i in product(*map(range, rows.shape)):
            known[f"{letter}_{f'{n + 1},' if len(rows) > 1 else ''}{i + 1}"] = f"{rows[n, i]:.9g}"
    for k, (W, b) in enumerate(worked.own, start=1):
        known |= {f"W{k}_{i + 1}{j + 1}": f"{W[i, j]:.9g}" for i, j in product(*map(range, W.shape))}
        known |= {f"b{k}_{i + 1}": f"{b[i]:.9g}" for i in range(len(b))} if b.dim() else {f"b{k}": f"{b:.9g}"}
    return known


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "hard_sigmoid", "identity"])
def test_each_side_of_each_printed_line_has_the_printed_value(activation, loss):
    two = {"inputs": [[1.0, -2.0], [0.3, 0.8]], "targets": [[0.5, -3.0], [0.0, 1.0]]}
    for biases, fixed, samples in product([[-0.1, 0.2], -0.1], [False, True], [{}, two]):
        layers = [
            ExampleLayer(W=W, b=biases, activation=activation, fixed_bias=fixed)
            for W in ([[0.5, -0.25], [-1.0, 0.75]], [[1.0, -0.5], [0.25, 2.0]])
        ]
        example = DEFAULT.model_copy(update={"layers": layers, "loss": loss} | samples)
        assert check_lines(list(Worked(example).lines()), given(example)) > 60


@pytest.mark.parametrize("path", [None, "docs/two_layer_net.yaml"])
def test_the_command_prints_lines_whose_sides_are_equal(capsys, path):
    example = read_example(ROOT / path) if path else DEFAULT
    cli.gradcheck([], explain=True, example=ROOT / path if path else None)
    out = capsys.readouterr().out
    lines = [line.strip().split(" = ") for line in out.splitlines() if " = " in line]
    printed = [(name, " = ".join(sides), value) for name, *sides, value in lines]
    assert check_lines(printed, given(example)) > 60
    loss, after = re.search(r"L was (\S+); after the update it is (\S+)\.\n", out).groups()
    assert loss == {name: value for name, _, value in printed}["L"]
    assert float(after) < float(loss)


def test_missing_brackets_are_detected():
    known = {"a1_1": "0.66403677", "dL/da1_1": "-0.0423859464"}
    formula = "dL/da1_1 * {} = -0.0423859464 * {}"
    right = formula.format("(1 - a1_1^2)", "(1 - 0.66403677^2)")
    assert check_lines([("dL/dz1_1", right, "-0.0236960824")], known) == 2
    wrong = formula.format("1 - a1_1^2", "1 - 0.66403677^2")
    with pytest.raises(AssertionError, match="not -0.0236960824"):
        check_lines([("dL/dz1_1", wrong, "-0.0236960824")], known)


def test_the_update_lowers_the_loss_and_gradients_equal_autograds(mazur):
    for worked in (mazur, Worked(DEFAULT)):
        assert worked.loss_after < worked.loss
        assert worked.autograd_gap < 1e-15


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "hard_sigmoid", "identity"])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_every_activation_and_loss_has_a_worked_example(activation, loss):
    layers = [layer.model_copy(update={"activation": activation, "b": 0.1}) for layer in DEFAULT.layers]
    worked = Worked(DEFAULT.model_copy(update={"layers": layers, "loss": loss}))
    assert worked.autograd_gap < 1e-15
    assert "dL/db1" in values(worked), "a shared bias is one number"


def test_the_gradient_of_a_shared_bias_is_the_sum_over_its_units():
    shared = [layer.model_copy(update={"b": 0.1}) for layer in DEFAULT.layers]
    own = [layer.model_copy(update={"b": [0.1, 0.1]}) for layer in DEFAULT.layers]
    one, two = (values(Worked(DEFAULT.model_copy(update={"layers": layers}))) for layers in (shared, own))
    assert one["dL/db1"] == pytest.approx(two["dL/db1_1"] + two["dL/db1_2"])
    assert one["b1 new"] == pytest.approx(0.1 - 0.5 * one["dL/db1"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("W: [[0.15, 0.20, 0.1], [0.25, 0.30]]", r"layer 1: each row of W needs 2 numbers"),
        ("W: [[0.15, 0.20], [0.25, 0.30], [1, 1]]", r"layer 2: each row of W needs 3 numbers"),
        ("W: [[0.15, x], [0.25, 0.30]]", r"layers.0.W.0.1: .*valid number"),
        ("W: [[0.15, 0.20], [0.25, 0.30]], bb: 1", r"layers.0.bb: Extra inputs"),
        ("W: [[0.15, 0.20], [0.25, 0.30]]}, {activation: swish", r"activation"),
    ],
)
def test_a_faulty_file_is_refused_with_the_key(tmp_path, change, message):
    (tmp_path / "net.yaml").write_text(MAZUR.replace("W: [[0.15, 0.20], [0.25, 0.30]]", change, 1))
    with pytest.raises(ValueError, match=rf"(?s)net.yaml.*{message}|cannot be read"):
        read_example(tmp_path / "net.yaml")


def test_targets_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="targets needs 2 numbers per sample"):
        Example.model_validate(DEFAULT.model_dump() | {"targets": [1.0]})
    with pytest.raises(ValueError, match=r"inputs \(2 samples\) and targets \(1\)"):
        Example.model_validate(DEFAULT.model_dump() | {"inputs": [[1.0, 2.0], [3.0, 4.0]]})


def test_numbers_are_in_double_precision():
    assert Worked(DEFAULT).trace.a[-1].dtype == torch.float64
