"""Varied keys, ranking, and settings over their seeds; pandas is the oracle."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from made import make_sweep
from statsmodels.stats.multitest import multipletests

from steepest.sweep.results import Results, again, legible, number, read_results, results_csv
from steepest.sweep.settings import Spread, spread


def row(job, overrides, value, status="finished", **scores):
    return {"job": job, "overrides": overrides, "objective": value, "status": status, "stop_reason": "said"} | scores


def grid(values):
    """A row for each of three widths x seeds."""
    pairs = [(width, seed) for width in (4, 8, 16) for seed in range(len(values) // 3)]
    return [
        row(n, [f"model.hidden=[{w}]", f"seed={s}"], v, "finished" if v is not None else "failed", **{"test/rmse": 2.0 * n})
        for n, ((w, s), v) in enumerate(zip(pairs, values, strict=True))
    ]  # fmt: skip


VALUES = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=3, max_size=24).map(lambda v: v[: len(v) // 3 * 3])


@settings(deadline=None)
@given(VALUES, st.sampled_from(["val/mse", "val/skill"]))
def test_settings_over_seeds_equal_the_groups_of_pandas(values, objective):
    results = Results(grid(values), objective)
    table = pd.DataFrame({"width": [r["overrides"][0] for r in results.rows], "value": pd.Series(values, dtype=float)})
    table["test"] = [r["test/rmse"] if v is not None else None for r, v in zip(results.rows, values, strict=True)]
    groups = table.groupby("width").agg(["mean", "std", "count"])
    assert len(results.settings) == len(groups)
    for setting in results.settings:
        (width,) = {r["overrides"][0] for r in setting.rows}
        for found, column in ((setting.objective, "value"), (setting.over_seeds("test/rmse"), "test")):
            mean, std, count = groups.loc[width, column]
            assert (found.n if found else 0) == count
            if found:
                assert found.mean == pytest.approx(mean, rel=1e-9, abs=1e-9)
                assert (found.std is None) == math.isnan(std)
                assert found.std is None or found.std == pytest.approx(std, rel=1e-9, abs=1e-9)
    means = [s.objective.mean if s.objective else np.nan for s in results.settings]
    ranking = groups["value"].assign(incomplete=groups["value"]["count"] < len(values) // 3)
    up = objective == "val/mse"
    expected = ranking.sort_values(["incomplete", "mean"], ascending=[True, up], na_position="last")["mean"]
    np.testing.assert_allclose(means, expected, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(st.lists(st.none() | st.sampled_from([1.0, 2.0, math.nan, math.inf, -math.inf]) | st.floats(-9, 9), max_size=12))
@pytest.mark.parametrize("objective", ["val/mse", "val/skill", "val/directional_accuracy", "anything"])
def test_rows_are_ranked_as_pandas_sorts_them(objective, values):
    rows = [row(n, [f"a={n}"], v, "failed" if v is None else "finished") for n, v in enumerate(values)]
    results = Results(rows, objective)
    known = pd.Series(values, dtype=float).replace([np.inf, -np.inf], np.nan).dropna()
    up = objective not in ("val/skill", "val/directional_accuracy")
    order = known.sort_values(ascending=up, kind="stable").index.tolist()
    assert [r["job"] for r in results.ranked][: len(order)] == order
    assert sorted(r["job"] for r in results.ranked) == list(range(len(values)))
    assert (results.best["job"] if results.best else None) == (order[0] if order else None)


def test_among_settings_with_equal_means_the_one_with_more_finished_seeds_is_first():
    rows = [row(0, ["a=1", "seed=0"], 0.5), row(1, ["a=1", "seed=1"], None, "failed")]
    rows += [row(2, ["a=2", "seed=0"], 0.5), row(3, ["a=2", "seed=1"], 0.5)]
    best, other = Results(rows, "val/mse").settings
    assert (best.asked, len(best.finished), len(best.rows)) == ({"a": "2"}, 2, 2)
    assert (other.asked, len(other.finished), len(other.rows)) == ({"a": "1"}, 1, 2)


def luckiest_in_the_wrong_setting(objective="val/mse"):
    """Job 0 is the best job; the other setting has the better mean."""
    values = [0.1, 0.9, 0.3, 0.4]
    if objective == "val/skill":
        values = [-v for v in values]
    pairs = [("1", 0), ("1", 1), ("2", 0), ("2", 1)]
    return [row(n, [f"lr={lr}", f"seed={s}"], v) for n, ((lr, s), v) in enumerate(zip(pairs, values, strict=True))]


@pytest.mark.parametrize("objective", ["val/mse", "val/skill"])
def test_over_seeds_the_winner_is_the_first_job_of_the_best_setting(objective):
    results = Results(luckiest_in_the_wrong_setting(objective), objective)
    assert (results.luckiest["job"], results.best["job"], results.best_setting.asked) == (0, 2, {"lr": "2"})
    sign = "-" if objective == "val/skill" else ""
    assert results.luck == (
        f"The best single job is 0 (lr=1, seed=0): {objective} {sign}0.1. "
        f"Its setting has a mean of {sign}0.50 ± 0.57: the job's lead is luck of the seed."
    )
    one_seed = Results([row for row in results.rows if "seed=0" in row["overrides"]], objective)
    assert (one_seed.best_setting, one_seed.luck, one_seed.best["job"]) == (None, None, 0)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_setting_with_a_job_without_an_objective_comes_after_all_complete_ones(value):
    rows = luckiest_in_the_wrong_setting()
    rows[3] |= {"objective": value, "status": "failed" if value is None else "finished"}
    results = Results(rows, "val/mse")
    assert [(s.asked["lr"], s.complete, s.rank) for s in results.settings] == [("1", True, 1), ("2", False, 2)]
    assert results.best["job"] == 0
    incomplete = Results([*rows[:1], rows[1] | {"objective": value}, *rows[2:]], "val/mse")
    assert [s.asked["lr"] for s in incomplete.settings] == ["1", "2"]
    assert incomplete.luck is None, "the only job of the best setting is no better than its mean"


@pytest.mark.parametrize("objective", ["val/mse", "val/skill"])
def test_results_csv_has_the_jobs_of_the_best_setting_first(objective):
    rows = [*luckiest_in_the_wrong_setting(objective), row(4, ["lr=3", "seed=0"], None, "failed")]
    table = pd.read_csv(io.StringIO(results_csv(Results(rows, objective))))
    assert table["job"].tolist() == [2, 3, 0, 1, 4]
    assert table["setting"].tolist() == [1, 1, 2, 2, 3]
    for name, column in (("mean", "objective_mean"), ("std", "objective_std")):
        np.testing.assert_allclose(table[column], table.groupby("setting")["objective"].transform(name))
    alone = pd.read_csv(io.StringIO(results_csv(Results(rows[:1] + rows[2:3], objective))))
    assert alone["job"].tolist() == [0, 2]
    assert "setting" not in alone


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.integers(1, 5))
def test_a_settings_lead_is_corrected_for_the_number_of_settings(p_values, tried):
    rows = [
        row(len(p_values) * lr + s, [f"lr={lr}", f"seed={s}"], 1.0 + lr, p_value=p, beat_reference=True)
        for lr in range(tried) for s, p in enumerate(p_values)
    ]  # fmt: skip
    said = Results(rows, "val/mse").winners_lead
    _, corrected, _, _ = multipletests([min(1.0, 2 * np.mean(p_values))] * tried, method="bonferroni")
    assert said.startswith(f"All {len(p_values)} jobs of the best setting beat the reference on the test part")
    assert ("is not statistically significant" in said) == (corrected[0] > 0.05)
    assert tried == 1 or f"after correction for {tried} settings" in said
    assert tried == 1 or f"corrected {corrected[0]:.2g}" in said


@pytest.mark.parametrize(("beat", "said"), [(0, "None of the 2"), (1, "1 of the 2")])
def test_a_setting_does_not_beat_the_reference_if_one_of_its_jobs_does_not(beat, said):
    rows = [row(s, [f"seed={s}"], 1.0, p_value=0.001, beat_reference=s < beat) for s in range(2)]
    assert (
        Results(rows, "val/mse").winners_lead == f"{said} jobs of the best setting beat the reference on the test part."
    )


def test_test_scores_choose_nothing():
    draws = np.random.default_rng(0)
    rows = [
        row(n, [f"a={n % 4}", f"seed={n // 4}"], float(v), **{"test/rmse": 1.0}) for n, v in enumerate(draws.random(16))
    ]
    other = [r | {"test/rmse": float(t), "test/skill": float(-t)} for r, t in zip(rows, draws.random(16), strict=True)]
    one, two = Results(rows, "val/mse"), Results(other, "val/mse")
    assert [r["job"] for r in one.ranked] == [r["job"] for r in two.ranked]
    assert [s.asked for s in one.settings] == [s.asked for s in two.settings]


@pytest.mark.parametrize("seed", ["seed", "model.seed", "data.seed"])
def test_seeds_do_not_make_settings(seed):
    results = Results([row(n, [f"{seed}={n}", "b=x"], 0.5) for n in range(3)], "val/mse")
    assert (results.varied, results.seeds, results.keys) == ([seed], [seed], [])
    assert results.over_seeds
    assert len(results.settings) == 1


def test_a_key_is_varied_if_its_values_differ_or_only_some_jobs_set_it():
    rows = [row(0, ["a=1", "b=x", "c=[1,2]"], 1.0), row(1, ["a=1", "b=y", "c=[1,2]", "+d=null"], 2.0)]
    results = Results(rows, "val/mse")
    assert results.varied == ["b", "d"]
    assert results.values("d") == ["-", "null"]
    assert not results.over_seeds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("1e-3", 1e-3),
        ("7", 7.0),
        ("-2", -2.0),
        ("inf", math.inf),
        ("[64]", 64.0),
        ("-", None),
        ("null", None),
    ]
    + [(text, None) for text in ("true", "[64,64]", "mlp", "'0.1'", "{a:1}", "")],
)
def test_a_typed_value_is_a_number_if_hydra_reads_one(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0.59844, 0.046, 8), "0.598 ± 0.046"),
        ((1494.7, 24.0, 8), "1495 ± 24"),
        ((0.0015936, 6.3e-6, 4), "0.0015936 ± 0.0000063"),
        ((0.0015936, 6.3e-8, 4), "0.001593600 ± 0.000000063"),
        ((1.5936e-5, 6.3e-6, 4), "(1.59 ± 0.63)e-5"),
        ((0.0015936, 6.3e-16, 4), "(1.59360000000000 ± 0.00000000000063)e-3"),
        ((3.878e6, 5.4e6, 2), "(3.9 ± 5.4)e6"),
        ((-0.0001, 0.0012, 4), "-0.0001 ± 0.0012"),
        ((0.80429226, None, 1), "0.80429"),
        ((5.0, 0.0, 3), "5 ± 0"),
    ],
)
def test_a_mean_is_rounded_to_the_digits_of_its_deviation(given, text):
    assert str(Spread(*given)) == text


def test_spread_ignores_values_that_are_not_finite():
    assert spread([None, math.nan, math.inf]) is None
    assert spread([1.0, None, 3.0]) == (2.0, pytest.approx(math.sqrt(2)), 2)


def test_the_command_for_one_job_is_a_single_run_even_if_a_config_made_it_a_sweep():
    assert again({"overrides": ["a=[1,2]"]}, {"hydra": ["hydra.mode=MULTIRUN"]}) == "python train.py 'a=[1,2]'"
    assert again({"overrides": ["experiment=x"]}, {"hydra": []}) == "python train.py experiment=x hydra.mode=RUN"


def test_results_are_read_from_a_running_sweep(tmp_path):
    jobs = [(["a=1"], {"value": 0.5}), (["a=2"], {"status": "running"}), (["a=3"], {"status": "waiting"})]
    manifest, results = read_results(make_sweep(tmp_path, jobs, status="running"))
    assert [r["status"] for r in results.rows] == ["finished", "running", "waiting"]
    assert (manifest.status, results.best["job"]) == ("running", 0)
    with pytest.raises(ValueError, match="holds no sweep"):
        read_results(tmp_path / "0")


def test_a_row_has_the_objective_of_persistence(tmp_path):
    folder = make_sweep(tmp_path, [(["a=1"], {"value": 0.5})])
    path = folder / "0" / "metrics.json"
    persistence = {"val": {"mse_scaled": 0.25}, "test": {"mse_scaled": 9.0}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"baselines": {"persistence": persistence}}))
    _, results = read_results(folder)
    assert results.rows[0]["persistence/objective"] == 0.25
    assert results.persistence() == "0.25"


def test_a_damaged_file_of_one_job_does_not_hide_the_other_results(tmp_path):
    folder = make_sweep(tmp_path, [(["a=1"], {"value": 0.5}), (["a=2"], {"value": 0.25})])
    (folder / "1" / "metrics.json").write_text('{"objective": {')
    _, results = read_results(folder)
    assert [r["status"] for r in results.rows] == ["finished", "finished"]
    assert results.rows[1]["stop_reason"].startswith(f"{folder / '1' / 'metrics.json'} cannot be read")
    assert results.rows[0]["train/rmse"] == 1.0


def test_a_command_shows_a_value_with_a_space_without_hydras_backslash():
    row = {"job": 0, "overrides": [r"data.value=Closing\ price", r"data.id=a\ \ b"]}
    assert again(row, {}) == r"python train.py 'data.value=Closing price' 'data.id=a\ \ b'"
    parse = OverridesParser.create().parse_override
    for override in row["overrides"]:
        assert parse(legible(override)).value() == parse(override).value()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.booleans())
def test_the_winners_lead_is_corrected_for_the_number_of_finished_jobs(p_values, beat):
    rows = [row(n, [f"lr={n}"], 1.0 + n, p_value=p, beat_reference=beat) for n, p in enumerate(p_values)]
    said = Results([*rows, row(99, ["lr=99"], None, "failed")], "val/mse").winners_lead
    _, corrected, _, _ = multipletests(p_values, alpha=0.05, method="bonferroni")
    if not beat:
        assert said == f"The best job did not beat the reference on the test part (p = {p_values[0]:.2g})."
    else:
        figures = f"(p = {p_values[0]:.2g}, corrected {corrected[0]:.2g}; Bonferroni)."
        assert ("is not statistically significant" if corrected[0] > 0.05 else "The best job beat") in said
        assert said.endswith(f"after correction for {len(p_values)} jobs {figures}")


def test_a_single_job_and_a_winner_without_a_test_have_no_correction():
    assert Results([row(0, [], 1.0, p_value=0.01, beat_reference=True)], "val/mse").winners_lead is None
    rows = [row(0, ["lr=0"], 1.0, p_value=None), row(1, ["lr=1"], 2.0, p_value=0.01, beat_reference=True)]
    assert Results(rows, "val/mse").winners_lead is None
