"""Processes that train groups: what is done at once, and what a failure or a killed process takes with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import killed_in_job_1, planned, statuses
from omegaconf import OmegaConf

from steepest.sweep.batched import pool as pools
from steepest.sweep.batched.engine import Ground, Group
from steepest.sweep.batched.pool import Pool, cut
from steepest.sweep.batched.sizes import PADDING, fastest, padded, pieces
from steepest.runs.files import read_json


@pytest.fixture
def jobs(tmp_path):
    """`jobs([overrides, ...])`: planned jobs."""

    return lambda asked: planned(asked, tmp_path)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """`pool(workers, at_once, on_error)`."""
    monkeypatch.setattr(pools, "_last", None)

    def make(workers=2, at_once=1, on_error="continue"):
        config = {"sweep": {"on_error": on_error}, "hydra": {"sweep": {"dir": str(tmp_path)}}}
        return Pool(OmegaConf.create(config), workers, at_once)

    return make


def test_a_killed_process_takes_only_the_jobs_it_had_begun(jobs, pool, monkeypatch):
    killed_in_job_1(monkeypatch)
    asked = jobs([[f"seed={n}"] for n in range(6)])
    found = statuses(pool().train([asked]))
    assert found == {n: "running" if n == 1 else "finished" for n in range(6)}
    assert all(read_json(job.folder / "metrics.json")["status"] == "finished" for job in asked if job.number != 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_group_is_begun_after_a_failure_where_that_is_asked(jobs, pool, tmp_path, workers):
    asked = jobs([["optimizer.lr=1e30", "seed=0"], ["seed=1"], ["seed=2"], ["seed=3"]])
    found = statuses(pool(workers, 1, "stop").train([asked[:2], asked[2:]] if workers == 1 else [asked]))
    assert found[0] == "failed"
    assert 1 not in found
    error = (tmp_path / "0" / "error.txt").read_text()
    assert "diverged" in error
    assert "python train.py" in error


def test_jobs_whose_training_fails_are_left_to_themselves_with_the_reason(jobs, pool):
    asked = jobs([["data.window=400", "seed=0"], ["data.window=400", "seed=1"]])
    (outcome,) = pool(1).train([asked])
    assert outcome.left == [0, 1]
    assert "data.window" in outcome.fault


def test_jobs_of_like_widths_are_one_task(jobs):
    asked = jobs([[f"model.hidden=[{units}]"] for units in (2, 9, 2, 9, 2, 9, 2, 9)])
    tasks = cut(asked, 1)
    assert sorted(job.number for task in tasks for job in task) == list(range(8))
    widths = [[job.checked.groups["model"].arguments["hidden"][0] for job in task] for task in tasks]
    assert widths == [[9, 9], [9, 9], [2, 2], [2, 2]]


@given(
    widths=st.lists(st.lists(st.integers(1, 2000), min_size=2, max_size=2), min_size=1, max_size=30),
    at_once=st.integers(1, 8),
)
def test_every_run_is_in_one_group_and_padding_costs_no_more_than_another_group(widths, at_once):
    groups = pieces(widths, 5, 64, at_once)
    assert sorted(run for group in groups for run in group) == list(range(len(widths)))
    for group in groups:
        assert len(group) <= at_once
        whole = padded(5, [max(units) for units in zip(*(widths[i] for i in group), strict=True)])
        assert 64 * sum(whole - padded(5, widths[i]) for i in group) <= PADDING


def test_runs_of_one_width_are_all_trained_at_once():
    assert pieces([[64]] * 5 + [[63]], 28, 64, 10) == [[0, 1, 2, 3, 4, 5]]


def test_how_many_at_once_is_within_what_is_wanted(jobs):
    asked = jobs([["seed=0"], ["seed=1"]])
    group = Group(asked, Ground(asked[0].checked))
    batch = group.windows.gather(group.ground.batches(0).order()[:32])
    assert [fastest(group.member(asked[0]), batch, most) for most in (1, 3)] == [1, 3]
    assert 8 <= fastest(group.member(asked[0]), batch, 64) <= 64
