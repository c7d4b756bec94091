"""The worked example compared with a published one, and each line compared with its own formula."""

import math
import re

import pytest
import torch

from steepest.nets.worked import DEFAULT, Example, Worked, read_example

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


SYNTAX = [
    (r"sigmoid\([^()]*\) = ", ""), (r"identity\([^()]*\) = ", ""), (r"\^", "**"), (r"exp", "math.exp"),
    (r"\)? \(1 - ", lambda m: m.group().replace(" (", " * (")), (r"\b2 \(", "2 * ("),
]  # fmt: skip


@pytest.mark.parametrize(
    "example",
    [DEFAULT, DEFAULT.model_copy(update={"inputs": [[1.0, -2.0], [0.3, 0.8]], "targets": [[0.5, -1.0], [0.0, 1.0]]})],
)
def test_the_numbers_of_each_line_give_its_value(example):
    checked = 0
    for name, formula, value in Worked(example).lines():
        if not formula:
            continue
        numbers = formula.rsplit(" = ", 1)[-1]
        for pattern, by in SYNTAX:
            numbers = re.sub(pattern, by, numbers)
        numbers = numbers.replace("[", "(").replace("]", ")")
        assert eval(numbers, {"math": math}) == pytest.approx(float(value), rel=2e-8, abs=1e-9), (name, formula)
        checked += 1
    assert checked > 40


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
