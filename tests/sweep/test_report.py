"""The report's text and charts. tests/test_report_page.py opens it in a browser."""

import base64
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pandas as pd
import pytest
from made import make_sweep

from steepest.sweep.report import charts, descents
from steepest.sweep.report.page import write_report
from steepest.sweep.report.scales import KeyAxis, ObjectiveScale
from steepest.sweep.results import read_results, value


class Page(HTMLParser):
    """Text, attributes and tags of a page, without scripts and styles."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.links, self.texts, self.inside, self.ids = [], [], [], None, set()
        self.json = {}
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append(tag)
        self.ids.add(named.get("id"))
        self.links += [named[key] for key in ("href", "src") if key in named]
        self.inside = (tag, named.get("id")) if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside is None:
            self.texts.append(data)
        elif self.inside[1]:
            self.json[self.inside[1]] = json.loads(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def figure(self, name, which=0):
        return self.json["figures"][self.json["names"].index(name)][which]


def numbers(given):
    """An array of a figure, however Plotly wrote it."""
    if isinstance(given, dict):
        flat = np.frombuffer(base64.b64decode(given["bdata"]), np.dtype(given["dtype"]))
        return flat.reshape([int(n) for n in str(given["shape"]).split(",")]) if "shape" in given else flat
    return np.array([math.nan if v is None else v for v in given], float)


@pytest.fixture
def report(tmp_path):
    """`report(jobs, ...)` makes a sweep and returns its parsed page."""

    def start(jobs, **how):
        return Page(write_report(make_sweep(tmp_path / "s", jobs, **how)).read_text())

    return start


def grid(value=lambda lr, seed: lr + seed / 100):
    return [
        (
            [f"optimizer.lr={lr}", f"seed={seed}"],
            {"value": value(lr, seed), "curve": [3 * lr + seed, 2 * lr + seed, lr]},
        )
        for lr, seed in product([0.001, 0.01, 0.1, 1.0], range(3))
    ]


def test_the_page_links_only_to_the_jobs_folders(report, tmp_path):
    page = report(grid())
    outside = [link for link in page.links if not link.startswith(("#", "data:"))]
    assert set(outside) == {f"{n}/" for n in range(12)}
    assert all((tmp_path / "s" / link).is_dir() for link in outside)
    assert not [link for link in page.links if link.startswith(("http", "//"))]


def test_links_are_relative_to_the_pages_folder(tmp_path):
    jobs = [(["a=1"], {"value": 1.0}), (["a=2"], {"status": "failed", "reason": "broke"})]
    folder = make_sweep(tmp_path / "some sweeps" / "a=1,b#2", jobs)
    path = write_report(folder, tmp_path / "pages" / "one.html")
    links = [link for link in Page(path.read_text()).links if not link.startswith(("#", "data:"))]
    assert sorted(set(links)) == sorted(f"../some%20sweeps/a%3D1%2Cb%232/{end}" for end in ("0/", "1/", "1/error.txt"))


def test_the_page_shows_the_winner_its_command_and_its_scores(report):
    page = report(
        [(["a=1", "b=[1,2]"], {"value": 0.5, "test": 9.0}), (["a=2", "b=[1,2]"], {"value": 0.75, "test": 1.0})]
    )
    assert "The winner: job 0" in page.text
    assert "python train.py a=1 'b=[1,2]'" in page.text
    assert "on the validation part alone: 0.5, the best of 2" in page.text
    assert "It did not beat persistence." in page.text
    assert "rmse skill the winner 9 0.1 tomorrow = today 4 0 drift 4.5 -" in page.text


def test_over_seeds_the_winner_is_the_best_setting_by_its_mean(report):
    values = {("1", 0): 0.1, ("1", 1): 0.9, ("2", 0): 0.3, ("2", 1): 0.4}  # the luckiest job is in the other setting
    tests = {key: 10 * value for key, value in values.items()}
    jobs = [
        ([f"lr={lr}", f"seed={s}"], {"value": v, "test": tests[lr, s], "curve": [v]}) for (lr, s), v in values.items()
    ]
    page = report(jobs)
    assert "The winner: the best setting over its seeds lr 2 val/mse_scaled 0.350 ± 0.071 finished 2 of 2" in page.text
    assert "python train.py lr=2 seed=0" in page.text
    assert "on the validation part alone: 0.350 ± 0.071, the best of 2 settings" in page.text
    assert (
        "The best single job is 0 (lr=1, seed=0): val/mse_scaled 0.1. Its setting has a mean of 0.50 ± 0.57"
        in page.text
    )
    assert "the winner 3.50 ± 0.71 0.1 ± 0 tomorrow = today 4 0 drift 4.5 -" in page.text
    star = page.figure("against-lr")["data"][-1]
    assert (star["marker"]["symbol"], star["x"]) == ("star", [2.0])
    assert numbers(star["y"]) == pytest.approx([0.35])


@pytest.mark.parametrize(("level", "drawn", "said"), [(0.55, 0.55, "0.55"), (99.0, 0.9, "99, beyond the axis")])
def test_tomorrow_equals_today_has_a_row_and_a_line(report, level, drawn, said):
    values = [0.5, 0.6, 0.7, 0.9]
    page = report([([f"lr={n + 1}"], {"value": v, "persistence": level, "curve": [v]}) for n, v in enumerate(values)])
    assert f"tomorrow = today {level:g} - - 4 0" in page.text
    for name in ("against-lr", "curves"):
        (line,) = [trace for trace in page.figure(name)["data"] if trace.get("name") == "tomorrow = today"]
        end = drawn if name == "against-lr" else min(drawn, *page.figure(name)["layout"]["meta"]["ends"][1:])
        assert numbers(line["y"]) == pytest.approx([end] * 2)
        assert line["hovertext"][-1] == f"tomorrow = today: {said}"
    assert numbers(page.figure("against-lr")["data"][-2]["x"]).tolist() == [1, 4]


def test_tomorrow_equals_today_follows_the_days_that_the_jobs_predict(report):
    jobs = [([f"lr={n}"], {"value": 1.0 + n, "persistence": 2.0 + n / 2}) for n in range(3)]
    (line,) = [t for t in report(jobs).figure("against-lr")["data"] if t.get("name") == "tomorrow = today"]
    assert (numbers(line["x"]).tolist(), numbers(line["y"]).tolist()) == ([0, 1, 2], [2, 2.5, 3])


def test_typed_text_is_escaped(report):
    plain = report([(["a=1"], {"value": 0.5, "curve": [1.0]}), (["a=2"], {"status": "failed", "reason": "b"})])
    nasty = "</script><img src=x onerror=alert(1)>&amp;"
    page = report([
        ([f"a={nasty}"], {"value": 0.5, "curve": [1.0]}), (["a=2"], {"status": "failed", "reason": nasty}),
    ])  # fmt: skip
    assert page.tags == plain.tags
    assert page.text.count(nasty) >= 4
    labels = page.figure("parallel")["data"][0]["dimensions"][0]["ticktext"]
    assert "&lt;/script&gt;" in "".join(labels), "Plotly reads HTML in labels"


@pytest.mark.parametrize(
    ("jobs", "status", "says"),
    [
        (
            [(["a=1"], {"status": "running"}), (["a=2"], {"status": "waiting"})],
            "running",
            "No job has an objective yet",
        ),
        ([(["a=1"], {"status": "running", "curve": [2.0, 1.0]})], "running", "This sweep has not ended. 0 of 1 jobs"),
        ([(["a=1"], {"value": 1.0}), (["a=2"], {"status": "waiting"})], "running", "The winner: job 0"),
        ([(["a=1"], {"status": "failed", "reason": "broke"})] * 2, "finished", "No job has an objective, so nothing"),
        ([(["a=1"], {"status": "failed", "reason": "broke"})], "finished", "1 of 1 jobs failed ("),
        ([(["a=1"], {"value": 1.0})], "finished", "Nothing was varied."),
        ([([], {"value": 1.0})], "finished", "1 job: nothing varied"),
        ([(["a=1"], {"value": None}), (["a=2"], {"value": math.inf})], "finished", "No job has an objective"),
        ([(["a=1"], {"value": 1.0})] * 3, "finished", "3 jobs: nothing varied"),
        ([], "running", "0 jobs: nothing varied"),
    ],
)
def test_any_sweep_has_a_page(report, jobs, status, says):
    page = report(jobs, status=status)
    assert says in page.text
    assert {"jobs", "descents"} <= page.ids
    assert len(page.json["names"]) == len(page.json["figures"])


@pytest.mark.parametrize(
    "values",
    [
        ["linear", "mlp"], ["[64]", "[64,64]"], ["null", "32", "64"], ["true", "false"], ["0", "1e-4", "1e-2"],
        ["-1", "0", "1"], [f"{n / 7}" for n in range(40)], ["0.001", "1000"], ["inf", "1"], ["-1000", "1"],
    ],
)  # fmt: skip
def test_keys_of_any_kind_have_an_axis(report, values):
    jobs = [([f"key={v}", f"b={n % 2}"], {"value": 1.0 + n}) for n, v in enumerate(values)]
    page = report(jobs)
    assert set(page.json["names"]) >= {"parallel", "against-key", "against-b", "pairs", "predictions"}
    for dimension in page.figure("parallel")["data"][0]["dimensions"]:
        assert np.isfinite(numbers(dimension["values"])).all()
        assert np.isfinite(dimension["range"]).all()


def test_values_that_span_decades_have_a_logarithmic_axis_and_seeds_are_names():
    assert KeyAxis("lr", ["0.001", "0.01", "0.1"]).kind == "log"
    assert KeyAxis("window", ["7", "28", "56"]).kind == "linear"
    assert KeyAxis("seed", ["1", "100"]).kind == "category"
    assert KeyAxis("decay", ["0", "1e-4", "1e-2"]).kind == "category"
    assert KeyAxis("decay", ["0", "1e-4", "1e-2"]).labels == ["0", "1e-4", "1e-2"]
    assert KeyAxis("model", ["mlp", "linear"]).kind == "category"
    dimension = KeyAxis("lr", ["0.001", "0.01", "0.1"]).dimension([2, 0])
    np.testing.assert_allclose(dimension["values"], [-1, -3])
    assert dimension["ticktext"] == ["0.001", "0.01", "0.1"]


@pytest.mark.parametrize(("objective", "sign"), [("val/mse", 1), ("val/skill", -1)])
def test_objectives_that_nearly_diverged_do_not_stretch_the_scale(tmp_path, objective, sign):
    values = [sign * v for v in (1.0, 1.1, 1.2, 1.3, 1e6)]
    jobs = [([f"a={n}"], {"value": v}) for n, v in enumerate(values)]
    scale = ObjectiveScale(read_results(make_sweep(tmp_path, jobs, objective=objective))[1])
    assert scale.is_cut(values).tolist() == [False] * 4 + [True]
    assert abs(scale.worst) < 2
    assert scale.best == sign * 1.0
    text = scale.ticks()["ticktext"]
    assert text[-1 if sign > 0 else 0].startswith("≥" if sign > 0 else "≤")


@pytest.mark.parametrize("size", [1.0, 1e-4])
def test_a_heat_map_averages_over_seeds_and_then_over_other_keys(tmp_path, size):
    values = size * np.random.default_rng(1).uniform(1, 9, 48)
    jobs = [
        ([f"a={a}", f"b={b}", f"c={c}", f"seed={s}"], {"value": float(v)} if v < 8 * size else {"status": "failed"})
        for (a, b, c, s), v in zip(product((1, 2, 3), "xy", (5, 6), range(4)), values, strict=True)
    ]
    _, results = read_results(make_sweep(tmp_path, jobs))
    table = pd.DataFrame(
        [{key: value(r, key) for key in results.varied} | {"value": r["objective"]} for r in results.rows]
    )
    chart = charts.pairs(results, charts.axes_of(results), ObjectiveScale(results))
    assert len(chart.figures) == 6
    assert not any("seed" in label for label in chart.figures)
    settings = table.groupby(["a", "b", "c"], as_index=False)["value"].mean()
    for (label, figure), how in zip(list(chart.figures.items())[:2], ("mean", "min"), strict=True):
        assert label == f"a x b, {'best' if how == 'min' else 'mean'} over the other keys"
        expected = settings.pivot_table(index="b", columns="a", values="value", aggfunc=how)
        written = [[float(text) for text in row] for row in figure.data[0].text]
        np.testing.assert_allclose(written, expected * (1e4 if size < 1 else 1), rtol=1e-3)
        finding = figure.layout.meta["finding"]
        assert finding.startswith("Best: a ")
        assert f"{expected.to_numpy().min():.4g}" in finding
        assert ("(the cells show val/mse_scaled × 10,000)" in finding) == (size < 1)


def test_seeds_are_an_axis_only_if_nothing_else_varies(report):
    both = report(grid())
    assert {name for name in both.json["names"] if name.startswith("against")} == {"against-optimizer.lr"}
    assert "pairs" not in both.json["names"], "one key without its seeds is not a pair"
    assert [d["label"] for d in both.figure("parallel")["data"][0]["dimensions"]] == ["optimizer.lr", "val/mse_scaled"]
    alone = report([([f"seed={s}"], {"value": 1.0 + s}) for s in range(3)])
    assert {name for name in alone.json["names"] if name in ("parallel", "pairs", "against-seed")} == {"against-seed"}
    assert alone.figure("against-seed")["layout"]["meta"]["finding"] == "val/mse_scaled is 2.0 ± 1.0 over 3 seeds"


def test_charts_are_titled_with_their_findings(report):
    page = report(grid())
    found = {name: page.figure(name)["layout"]["meta"]["finding"] for name in page.json["names"]}
    assert found["parallel"] == "The best setting has optimizer.lr 0.001"
    mean = (0.001 * 0.011 * 0.021) ** (1 / 3)  # the axis is logarithmic, and so is the mean
    last = (1.0 * 1.01 * 1.02) ** (1 / 3)
    assert found["against-optimizer.lr"] == (
        f"optimizer.lr 0.001 is best on average: {mean:.4g}, against {last:.4g} with 1.0"
    )
    assert found["curves"] == "Job 0, the first of the best setting, has its best val/mse_scaled, 0.001, at update 30"
    assert found["bands"] == (
        "The best setting has val/mse_scaled 0.011 ± 0.010 over 3 seeds; "
        "1 of the other 3 settings is within one standard deviation"
    )
    assert found["predictions"] == (
        "Over the 28 days of the test part, the absolute errors sum to 14 less than with tomorrow = today"
    )
    assert found["losses"] == "The validation loss is lowest, 0.003, at update 30"
    for finding in found.values():
        assert finding in page.text


def finding(report, jobs, name):
    return report(jobs).figure(name)["layout"]["meta"]["finding"]


def test_the_title_of_the_seeds_compares_with_a_single_other_setting(report):
    curve = [3.0, 2.0, 1.0]
    jobs = [([f"lr={lr}", f"seed={s}"], {"value": lr + s, "curve": curve}) for lr in (1, 9) for s in range(2)]
    assert finding(report, jobs, "bands") == (
        "The best setting has val/mse_scaled 1.50 ± 0.71 over 2 seeds; "
        "the other setting is not within one standard deviation"
    )


def test_jobs_that_differ_in_two_kinds_of_seeds_are_not_counted_as_seeds(report):
    jobs = [([f"seed={s}", f"data.seed={d}"], {"value": 1.0 + s + d}) for s in range(2) for d in range(2)]
    assert finding(report, jobs, "against-seed") == "val/mse_scaled is 2.00 ± 0.82 over 4 jobs"


def test_the_title_of_a_key_says_that_all_its_values_are_equally_good(report):
    jobs = [([f"lr={lr}"], {"value": 2.0}) for lr in (1, 2, 3)]
    assert finding(report, jobs, "against-lr") == "lr makes no difference: 2"


def test_the_title_of_all_keys_names_no_key_that_the_best_jobs_do_not_set(report):
    jobs = [([f"lr={lr}", *more], {"value": lr}) for lr, more in [(1, []), (2, ["momentum=0"]), (3, ["momentum=0.9"])]]
    assert finding(report, jobs, "parallel") == "The best job has lr 1"


def test_the_title_of_a_key_names_values_without_a_finished_job(report):
    jobs = [(["lr=1"], {"value": 2.0}), (["lr=2"], {"value": 1.0}), (["lr=3"], {"status": "failed", "reason": "broke"})]
    finding = report(jobs).figure("against-lr")["layout"]["meta"]["finding"]
    assert finding == "lr 2 is best: 1, against 2 with 1; no job with 3 finished"


def test_all_runs_are_drawn_with_their_values_and_the_winner_on_top(report):
    jobs = grid()
    page = report(jobs)
    figure = page.figure("curves")
    drawn = {}
    for trace in figure["data"][:-1]:
        x, y, number = (numbers(trace[key]) for key in ("x", "y", "customdata"))
        for job in np.unique(number):
            own = (number == job) & np.isfinite(y)
            drawn[int(job)] = (x[own].tolist(), y[own])
    for number, (_, came) in enumerate(jobs):
        assert drawn[number][0] == [10, 20, 30]
        np.testing.assert_allclose(drawn[number][1], came["curve"], rtol=1e-6)
    assert figure["data"][-1]["name"] == "job 0, the first of the best setting"
    assert [trace["name"] for trace in figure["data"][:-1]] == ["0.001", "0.01", "0.1", "1.0"]


def test_bands_are_mean_minimum_and_maximum_over_the_seeds_that_reach_an_update(report):
    jobs = [
        (["lr=0.1", f"seed={s}"], {"value": s + 1.0, "curve": [4.0 + s, 2.0 + s, 1.0 + s][: 3 - s // 2]})
        for s in range(3)
    ]
    high, low, mean = page_traces = report([*jobs, (["lr=1", "seed=0"], {"status": "failed"})]).figure("bands")["data"]
    assert len(page_traces) == 3
    np.testing.assert_allclose(numbers(high["y"]), [6, 4, 2])
    np.testing.assert_allclose(numbers(low["y"]), [4, 2, 1])
    np.testing.assert_allclose(numbers(mean["y"]), [5, 3, 1.5])
    assert mean["name"] == "0.1"


def test_if_there_are_too_many_runs_the_best_and_some_of_the_rest_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(descents, "MAX_CURVES", 4)
    jobs = [([f"a={n}"], {"value": float(n), "curve": np.full(1000, n)}) for n in range(10)]
    _, results = read_results(make_sweep(tmp_path, jobs))
    found = descents.read_descents(results, tmp_path)
    assert found.left_out == 6
    assert set(found.curves["val/mse_scaled"]) == {0, 1, 2, 9}
    assert all(len(c.steps) <= 201 for c in found.curves["train/full_loss"].values())


def test_the_winners_own_pictures_are_on_the_page(tmp_path):
    folder = make_sweep(tmp_path, [(["a=1"], {"value": 2.0}), (["a=2"], {"value": 1.0})])
    picture = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    (folder / "1" / "figures").mkdir()
    (folder / "1" / "figures" / "loss_surface.png").write_bytes(picture)
    source = write_report(folder).read_text()
    assert "predictions" not in Page(source).json["names"]
    assert "loss surface" in Page(source).text
    (data,) = re.findall(r'<img src="data:image/png;base64,([^"]*)"', source)
    assert base64.b64decode(data) == picture


def test_without_pictures_price_and_prediction_are_drawn(report):
    price, prediction, saved = report([(["a=1"], {"value": 1.0}), (["a=2"], {"value": 2.0})]).figure("predictions")[
        "data"
    ]
    np.testing.assert_allclose(numbers(price["y"]), np.arange(2, 30))
    np.testing.assert_allclose(numbers(prediction["y"]), np.arange(1, 29) + 0.5)
    np.testing.assert_allclose(numbers(saved["y"]), 0.5 * np.arange(1, 29))  # 1 less 1/2, a day


def test_the_report_refuses_a_folder_without_a_sweep_and_a_folder_as_output(tmp_path):
    with pytest.raises(ValueError, match=r"holds no sweep: there is no sweep\.json in it; give the folder of a sweep"):
        write_report(tmp_path)
    with pytest.raises(ValueError, match="is a folder: use a file name, such as"):
        write_report(make_sweep(tmp_path, [(["a=1"], {"value": 1.0})]), tmp_path)


@pytest.mark.slow
def test_the_command_writes_the_page_or_prints_one_line_of_error(tmp_path):
    make_sweep(tmp_path / "s", [(["a=1"], {"value": 1.0})])
    command = [sys.executable, "-c", "from steepest.cli import main; main()", "report"]
    done = subprocess.run([*command, "s"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Report: s/report.html\n"
    assert "The winner: job 0" in (tmp_path / "s" / "report.html").read_text()
    done = subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(". is not the folder of a run or a sweep")
    assert len(done.stderr.splitlines()) == 1
