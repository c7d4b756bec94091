"""The lines that a run prints below its table."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console
from test_baselines import steps
from test_evaluation import evaluation

from steepest.data.sources import RandomWalk
from steepest.evaluate.evaluation import evaluate
from steepest.evaluate.table import print_results, print_scores


@pytest.fixture
def printed(tmp_path):
    """`printed(rows, epoch)`: the lines of a run of 10 epochs whose best one is `epoch`."""

    def start(rows=300, epoch=10):
        found = evaluation(RandomWalk(rows=rows), lambda x_ND: torch.zeros(len(x_ND), 1, dtype=x_ND.dtype))
        metrics = {
            "updates": 40, "epochs": 10, "seconds": 1.0, "stop_reason": "epochs: 10 epochs done", "line": None,
            "hint": None, "objective": {"name": "val/mse_scaled", "value": 1.0, "epoch": epoch},
        }  # fmt: skip
        text = io.StringIO()
        print_results(found, metrics, tmp_path, Console(file=text, width=1000))
        return text.getvalue().splitlines()

    return start


def test_the_epoch_of_the_kept_model_is_named_unless_it_is_the_last(printed):
    (ending,) = [line for line in printed(epoch=3) if line.startswith("40 updates")]
    assert ending.endswith("epochs done. The run keeps the model of epoch 3, the best by val/mse_scaled.")
    (ending,) = [line for line in printed(epoch=10) if line.startswith("40 updates")]
    assert ending == "40 updates, 10 epochs, 1.0 s; ended by epochs: 10 epochs done."


def test_a_short_test_part_is_named(printed):
    rows = (evaluation(RandomWalk(rows=100), lambda x_ND: x_ND).predictions["part"] == "test").sum()
    assert 0 < rows < 30
    assert f"The test part has only {rows} predictions, too few for reliable scores." in printed(rows=100)
    assert not any("has only" in line for line in printed(rows=300))


@pytest.mark.parametrize(("smallest", "marked"), [(1e-6, True), (0.0, True), (1.0, False)])
def test_mape_is_marked_if_a_few_values_close_to_0_make_most_of_it(smallest, marked):
    values = np.exp(np.linspace(0, 5, 200))  # grows a hundredfold, but no error is large next to its price
    values[180] *= smallest
    found = evaluate(torch.nn.Linear(1, 1).double(), steps(values, window=1))
    text = io.StringIO()
    print_scores(found, "Scores", Console(file=text, width=120))
    assert ("mape*" in text.getvalue()) is marked
    assert ("* mape is unreliable here" in text.getvalue()) is marked
