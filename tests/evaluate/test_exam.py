"""Scores of many runs at once against each run's own, of held parts against walked ones, and against torchmetrics."""

import pytest
import torch
import torchmetrics.functional as tm
from hypothesis import given
from hypothesis import strategies as st

from steepest.data import windows as windows_module
from steepest.lightning.datamodule import WindowDataModule
from steepest.data.sources import RandomWalk
from steepest.evaluate.evaluation import Evaluator
from steepest.evaluate.exam import exams
from steepest.evaluate.metrics import class_scores, numbers, value_scores
from steepest.nets.networks import MLP


def prepared(**options):
    data = WindowDataModule(RandomWalk(rows=300, seed=3, **options))
    data.setup()
    return data.placed("cpu", torch.float32)


def definite(scores):
    """None is no number to be near to."""
    return {name: -99 if score is None else score for name, score in scores.items()}


def all_same(scores_R, scores, run):
    mine = numbers({name: score[run] for name, score in scores_R.items()})
    assert definite(mine) == pytest.approx(definite(numbers(scores)), rel=1e-12)


@given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 3), st.integers(0, 99))
def test_scores_of_many_runs_are_each_runs_own(runs, samples, horizon, seed):
    random = torch.Generator().manual_seed(seed)
    made, actual, reference = (
        torch.rand(s, generator=random) for s in [(runs, samples, horizon)] + 2 * [(samples, horizon)]
    )
    column = torch.rand(samples, 1, generator=random) + 0.1
    together = value_scores(made, actual, reference, column, column, column)
    logits, ups = torch.rand(runs, samples, 2 * horizon, generator=random), torch.randint(2, (samples, horizon))
    of_directions = class_scores(logits, ups, torch.full((horizon,), 0.6))
    for run in range(runs):
        all_same(together, value_scores(made[run], actual, reference, column, column, column), run)
        all_same(of_directions, class_scores(logits[run], ups, torch.full((horizon,), 0.6)), run)


def test_scores_equal_torchmetrics():
    random = torch.Generator().manual_seed(0)
    made, actual = (torch.rand(30, 2, generator=random, dtype=torch.float64) + 0.1 for _ in range(2))
    scores = numbers(value_scores(made, actual, actual + 1))
    theirs = (made.flatten(), actual.flatten())
    assert scores["mse"] == pytest.approx(tm.mean_squared_error(*theirs).item(), rel=1e-12)
    assert scores["mae"] == pytest.approx(tm.mean_absolute_error(*theirs).item(), rel=1e-12)
    assert scores["rmse"] == pytest.approx(tm.mean_squared_error(*theirs, squared=False).item(), rel=1e-12)
    assert scores["mape"] == pytest.approx(tm.mean_absolute_percentage_error(*theirs).item(), rel=1e-12)


@pytest.mark.parametrize("target", ["value", "direction"])
def test_a_part_too_large_to_hold_is_walked_with_the_same_scores(monkeypatch, target):
    windows = prepared(window=5, horizon=2, target=target)
    network = MLP(windows.inputs, [4], windows.outputs)

    def scored():
        evaluation = Evaluator(windows).evaluate(network)
        held = {part: exam._held is not None for part, exam in exams(windows).items()}
        return held, evaluation.model, evaluation.baselines

    held, scores, others = scored()
    monkeypatch.setattr(windows_module, "CHUNK", 64 * 7)
    walked, again, others_again = scored()
    assert all(held.values())
    assert not any(walked.values())
    for part in scores:
        assert definite(again[part]) == pytest.approx(definite(scores[part]), rel=1e-6)
        for name in others:
            assert definite(others_again[name][part]) == pytest.approx(definite(others[name][part]), rel=1e-6)


def test_many_runs_outputs_are_gathered_into_one_tensor(monkeypatch):
    windows = prepared(window=3)
    monkeypatch.setattr(windows_module, "CHUNK", 64 * 7)
    exam = exams(windows)["val"]
    outputs = exam.outputs(lambda batch: torch.stack([batch.y_NH, 2 * batch.y_NH]))
    assert torch.equal(outputs, torch.stack([exam.target_NH, 2 * exam.target_NH]))
