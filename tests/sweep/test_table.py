"""The table that a sweep prints at its end."""

import math
from itertools import product
from pathlib import Path

import pytest
from test_results import row

from steepest.sweep.results import Results
from steepest.sweep.table import print_table


@pytest.fixture
def printed(capsys, monkeypatch):
    """`printed(rows, objective)` prints the table and returns its lines."""
    monkeypatch.setenv("COLUMNS", "120")

    def start(rows, objective="val/mse", command=None):
        print_table(Results(rows, objective), Path("x"), command)
        return capsys.readouterr().out.splitlines()

    return start


def test_over_seeds_the_table_has_a_row_per_setting_and_the_best_on_top(printed):
    scores = {"test/rmse": 4.0, "test/skill": 0.1}
    rows = [row(0, ["lr=1", "seed=0"], 3.0, **scores), row(1, ["lr=1", "seed=1"], 1.0, **scores)]
    rows += [row(2, ["lr=2", "seed=0"], 1.5, **scores), row(3, ["lr=2", "seed=1"], None, "failed")]
    lines = printed(rows)
    assert "mean ± std over seed" in lines[0]
    table = [line.split() for line in lines if " of 2" in line]
    assert table[0] == ["1", "2", "of", "2", *["2.0", "±", "1.4"], *["4", "±", "0"], *["0.1", "±", "0"]]
    assert table[1] == ["2", "1", "of", "2", "1.5", "4", "0.1"]
    assert "Settings that have a job without an objective come after all others." in lines
    assert (
        "The best single job is 1 (lr=1, seed=1): val/mse 1. Its setting has a mean of 2.0 ± 1.4: "
        "the job's lead is luck of the seed."
    ) in lines
    assert "To run a job of the best setting again (its first seed): python train.py lr=1 seed=0" in lines
    assert "job 3 failed: said" in lines


def test_a_narrow_table_does_not_break_numbers_and_jobs(printed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    scores = {"test/rmse": 45.23412, "test/skill": -0.0123456}
    rows = [
        row(
            10 + n,
            [f"model=linear_manual{n % 2}", "data.window=28", f"optimizer.lr=0.0{n % 2}1", f"seed={n}"],
            v,
            **scores,
        )
        for n, v in enumerate([0.002478152, 0.0024781634, 0.0024781644, 0.0024781654])
    ]
    words = " ".join(printed(rows)).split()
    assert {"0.0024781582", "0.0000000088", "45.234", "-0.012346", "10"} <= set(words)
    assert {"linear_manual0", "linear_manual1"} <= set(words)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_table_leaves_out_scores_before_it_cuts_numbers(printed, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    scores = {"test/rmse": 45.23412, "test/skill": -0.0123456}
    rows = [
        row(n, [f"model={model}", f"optimizer.lr={rate}", f"seed={seed}"], 1.5e-3 + 1e-7 * n + 1e-8 * n * n, **scores)
        for n, (model, rate, seed) in enumerate(product(("linear", "linear_manual"), (0.003, 0.01, 0.03), (0, 1)))
    ]
    lines = printed(rows)
    table = lines[: next(n for n, line in enumerate(lines) if line.startswith("The best single job"))]
    assert sum(" 2 of 2 " in line for line in table) == len(rows) / 2
    assert all(len(line.rstrip()) <= width for line in table)
    assert {"0.00150215", "0.00000022"} <= {word for line in table for word in line.split()}


def test_if_only_seeds_vary_the_table_lists_jobs_and_their_spread(printed):
    lines = printed([row(n, [f"seed={n}"], v) for n, v in enumerate([3.0, 1.0, 2.0])])
    finished = [line.split()[0] for line in lines if " finished " in line]
    assert finished == ["1", "2", "0"]
    first = next(n for n, line in enumerate(lines) if "mean ± std" in line and "3 of 3" in line)
    assert "2.0 ± 1.0" in lines[first]
    assert first < next(n for n, line in enumerate(lines) if " finished " in line)
    assert "To run the first job again: python train.py seed=0" in lines


def test_the_table_of_a_long_sweep_shows_the_best_24(printed):
    lines = printed([row(n, [f"a={n}"], float(n)) for n in range(256)])
    assert [line.split()[0] for line in lines if " finished " in line] == [str(n) for n in range(24)]
    assert "The best 24 of 256 jobs; all jobs are in results.csv." in lines


def test_all_failed_jobs_are_named_and_the_first_ones_have_reasons(printed):
    lines = printed([row(n, [f"a={n}"], None, "failed") | {"stop_reason": f"said {n}"} for n in range(30)])
    assert [line for line in lines if " failed: " in line] == [f"job {n} failed: said {n}" for n in range(8)]
    (rest,) = [line for line in lines if line.startswith("These jobs did not finish either")]
    assert rest.endswith(": " + ", ".join(str(n) for n in range(8, 30)))
    assert not any("To run the best job again" in line for line in lines)


def test_jobs_that_failed_for_one_reason_share_a_line(printed):
    lines = printed([row(n, [f"a={n}"], None, "failed") for n in range(3)])
    assert [line for line in lines if " failed: " in line] == ["jobs 0, 1, 2 failed: said"]


def test_a_job_that_did_not_start_is_named_with_the_command_to_resume(printed):
    lines = printed([row(0, ["a=1"], None, "waiting") | {"stop_reason": None}])
    assert "job 0 waiting: not started; steepest resume runs it" in lines


def test_if_higher_is_better_the_highest_objective_is_on_top(printed):
    rows = [row(n, [f"a={n}"], v) for n, v in enumerate([-0.5, 0.25, float("nan")])]
    lines = printed(rows, "val/skill", {"hydra": []})
    assert [line.split()[0] for line in lines if " finished " in line] == ["1", "0", "2"]
    assert "To run the best job again: python train.py a=1 hydra.mode=RUN" in lines


def test_headings_too_long_for_the_screen_wrap_at_their_dots(printed, monkeypatch):
    rows = [
        row(n, [f"data.relative_to_last={n}", f"model.updates_per_step={n}"], 1.0, **{"test/rmse": 1.0}) for n in (0, 1)
    ]
    assert "data.relative_to_last  model.updates_per_step" in "\n".join(printed(rows))
    monkeypatch.setenv("COLUMNS", "80")
    folded = "\n".join(printed(rows)).split("To run the best")[0]
    assert "relative_to_last" in folded
    assert "updates_per_step" in folded
    assert "data.relative" not in folded


def test_a_short_typed_value_is_not_broken_on_a_narrow_screen(printed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    scores = {"test/rmse": 45.10932, "test/skill": 0.00020123}
    rows = [
        row(n, [f"model={model}", f"data.window={days}", f"seed={seed}"], 1.5e-3 + 1e-5 * n, **scores)
        for n, (model, days, seed) in enumerate(product(("linear_manual", "mlp_manual"), (1, 7), (0, 1)))
    ]
    lines = printed(rows)
    assert sum(line.split()[:2] == ["linear_manual", "1"] for line in lines) == 1
    assert max(len(line) for line in lines if line.startswith(" ")) <= 80


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.5, 0.5000000001, None], "0.5"),
        ([0.5, 0.25, math.nan], "0.25 to 0.5"),
        ([None, None, None], None),
    ],
)
@pytest.mark.parametrize("seeds", [1, 2])
def test_tomorrow_equals_today_is_the_last_row_of_the_table(printed, values, said, seeds):
    rows = [
        row(
            seeds * n + s,
            [f"lr={n}", f"seed={s}"],
            1.0,
            **{"test/rmse": 2.0, "persistence/objective": v, "persistence/test/rmse": 3.0},
        )
        for n, v in enumerate(values)
        for s in range(seeds)
    ]
    rows.append(row(90, ["lr=3", "seed=0"], None, "failed", **{"persistence/objective": 9.0}))
    lines = printed(rows)
    found = [number for number, line in enumerate(lines) if "tomorrow = today" in line]
    if said is None:
        assert found == []
    else:
        (last,) = found
        assert lines[last].split() == ["tomorrow", "=", "today", *said.split(), "3"]
        assert last > max(n for n, line in enumerate(lines) if " finished " in line or " of 2 " in line)


def test_if_only_seeds_vary_tomorrow_equals_today_fits_at_80_columns(printed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    scores = {"train/rmse": 12.34567, "test/rmse": 45.23412, "test/skill": -0.0123456, "persistence/objective": 0.0025}
    lines = printed([row(n, [f"seed={n}"], 0.002478152 + 1e-6 * n, **scores) for n in range(8)])
    assert any("tomorrow" in line and "0.0025" in line for line in lines)
    assert all(len(line.rstrip()) <= 80 for line in lines if line.startswith(" "))
