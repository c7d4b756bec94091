"""What is said of a model: by which score, against which reference, and when being ahead is no more than chance."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from steepest.lightning.datamodule import WindowDataModule
from steepest.data.formulas import Rings
from steepest.data.sources import PriceFile, RandomWalk, Table
from steepest.evaluate.evaluation import Evaluator


class Model(nn.Module):
    """Outputs by a function of the inputs."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x_ND):
        return self.outputs(x_ND)


def evaluation(source, outputs):
    data = WindowDataModule(source)
    data.setup()
    return Evaluator(data.placed("cpu", torch.float64)).evaluate(Model(outputs))


@pytest.fixture
def swinging(tmp_path):
    """A price that is above 100 on one day and below it on the next, by a hair more or less."""
    random = np.random.default_rng(0)
    price = 100 + (-1.0) ** np.arange(400) + random.normal(0, 0.1, 400)
    path = tmp_path / "swinging.csv"
    pd.DataFrame({"date": pd.bdate_range("2020-01-01", periods=400), "price": price}).to_csv(path, index=False)
    return lambda **options: PriceFile(path=str(path), **options)


def mse(evaluation, name="prediction"):
    rows = evaluation.predictions.query("part == 'test'")
    return ((rows[name] - rows["actual"]) ** 2).mean()


def figures(sentence):
    return [float(number) for number in re.findall(r"(?:is|against) (\d[\d.e+-]*\b)", sentence)]


def test_prices_are_judged_by_the_mean_squared_error(swinging):
    verdict = (found := evaluation(swinging(), lambda x_ND: -x_ND)).verdict()
    assert (
        "The model beat persistence (tomorrow = today) on the test part: its mean squared error is" in verdict.sentence
    )
    assert figures(verdict.sentence) == pytest.approx([mse(found), mse(found, "last")], rel=1e-5)
    assert mse(found) < mse(found, "last") / 50
    assert verdict.beat is True
    assert verdict.p_value == pytest.approx(0, abs=1e-6)


def test_a_worse_model_has_not_beaten_even_with_more_directions_right(swinging):
    found = evaluation(swinging(), lambda x_ND: -9 * x_ND)  # the right way, and much too far
    verdict = found.verdict()
    assert found.model["test"]["directional_accuracy"] == 1
    assert mse(found) > mse(found, "last")
    assert verdict.beat is False
    assert verdict.sentence.startswith(
        "The model did not beat persistence (tomorrow = today) on the test part: its mean"
    )
    assert figures(verdict.sentence) == pytest.approx([mse(found), mse(found, "last")], rel=1e-5)


def test_a_model_that_is_ahead_by_chance_has_not_beaten():
    walk = RandomWalk(rows=400, seed=3, transform="log_return")
    tries = [evaluation(walk, lambda x_ND, a=a: a * x_ND).verdict() for a in (0.05, -0.05)]
    (ahead,) = [verdict for verdict in tries if "no more than chance" in verdict.sentence]
    assert ahead.beat is False
    assert ahead.p_value > 0.05
    assert f"Diebold-Mariano p = {ahead.p_value:.2g}" in ahead.sentence


def test_numbers_that_are_none_are_said_to_be_none(swinging):
    verdict = evaluation(swinging(), lambda x_ND: x_ND * float("nan")).verdict()
    assert verdict.beat is False
    assert verdict.sentence.endswith("on the test part: its mean squared error is no finite number.")


def test_plain_rows_are_judged_against_the_training_mean(tmp_path):
    x = np.random.default_rng(1).normal(size=300)
    pd.DataFrame({"x": x, "y": 3 * x + 1}).to_csv(tmp_path / "rows.csv", index=False)
    table = Table(path=str(tmp_path / "rows.csv"), inputs=["x"], target="y")
    verdict = (found := evaluation(table, lambda x_ND: x_ND)).verdict()
    assert "The model beat the training mean on the test part: its mean squared error is" in verdict.sentence
    assert figures(verdict.sentence)[0] == pytest.approx(mse(found), rel=1e-5, abs=1e-12)
    assert verdict.beat is True


def test_directions_are_judged_by_their_right_share_against_the_majority(swinging):
    def other_way(x_ND):
        return torch.cat([x_ND, -x_ND], dim=1)

    verdict = (found := evaluation(swinging(target="direction"), other_way)).verdict()
    assert "The model beat the majority class on the test part: its share of right directions is 1" in verdict.sentence
    assert found.model["test"]["directional_accuracy"] == 1


def test_classes_are_judged_by_their_right_share_against_the_majority():
    def disc(x_ND):  # rows are scaled each by each: a circle stays about one
        return torch.stack([torch.zeros(len(x_ND)), x_ND.square().sum(1) - 1.2], dim=1)

    verdict = (found := evaluation(Rings(), disc)).verdict()
    rows = found.predictions.query("part == 'test'")
    share = ((rows["probability"] > 0.5) == rows["class"]).mean()
    assert "the majority class on the test part: its share of right classes is" in verdict.sentence
    assert figures(verdict.sentence)[0] == pytest.approx(share, rel=1e-5)


def test_without_a_test_part_nothing_is_said():
    verdict = evaluation(RandomWalk(rows=300, split=[0.8, 0.2, 0]), lambda x_ND: x_ND).verdict()
    assert verdict.beat is None
    assert "nothing is said" in verdict.sentence
