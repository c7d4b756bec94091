"""The page of a run shows the numbers of the run's files. tests/test_run_page.py opens it in a browser."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest

from steepest.runs.report import html
from steepest.runs.report.page import write_report

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;{{ 7*7 }}"
FAST = ("data=random_walk", "data.rows=300", "stop.epochs=1")


class Page(HTMLParser):
    """Text, tags, links and tables of a page, without scripts and styles."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.links, self.texts, self.skipped = [], [], [], False
        self.tables: dict[str, list[list[str]]] = {}
        self.feed(source)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append(tag)
        self.links += [named[key] for key in ("href", "src") if key in named]
        self.skipped = tag in ("script", "style")
        if named.get("role") == "region":
            self.rows = self.tables[named["aria-label"]] = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.skipped = False

    def handle_data(self, data):
        if self.skipped:
            return
        self.texts.append(data)
        if self.tags[-1:] in (["td"], ["th"]) and data.strip():
            self.rows[-1][-1] += data

    def table(self, label):
        """A table as a frame of text, indexed by its first column."""
        heading, *rows = self.tables[label]
        return pd.DataFrame(rows, columns=heading).set_index(heading[0])


def opened(folder):
    return Page(write_report(folder).read_text())


def number(cell):
    return float(cell[:-1]) / 100 if cell.endswith("%") else float(cell)


def assert_shows(row, scores):
    """Assert that a row of a table shows these scores, to the digits it has."""
    names = {"direction": "directional_accuracy", "cross-entropy": "cross_entropy"}
    shown = {names.get(heading, heading): cell for heading, cell in row.items()}
    assert list(shown) == list(scores)
    for name, value in scores.items():
        if value is None:
            assert shown[name] == "-"
        else:
            assert number(shown[name]) == pytest.approx(value, rel=1e-4, abs=1e-4), name


@pytest.fixture
def made(tmp_path):
    """`made(run=..., metrics=..., ...)` writes a run's files without training. A value of None writes no file."""
    run = {"status": "finished", "stop_reason": "epochs: 2 epochs done", "overrides": ["a=1"], "seed": 0}
    metrics = {
        "status": "finished", "updates": 8, "epochs": 2, "seconds": 0.5, "verdict": "The model did not beat it.",
        "objective": {"name": "val/mse_scaled", "value": 0.25, "epoch": 1},
        "test": {"mse": 2.0}, "baselines": {"persistence": {"test": {"mse": 1.0}}},
    }  # fmt: skip

    def start(run_changes=None, metrics_changes=None, **files):
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        contents = {
            "run.json": json.dumps(run | (run_changes or {})), "metrics.json": json.dumps(metrics | (metrics_changes or {})),
            "config.yaml": "seed: 0\n",
        }  # fmt: skip
        for name, text in (contents | files).items():
            if text is not None:
                (folder / name).write_text(text)
        return folder

    return start


KINDS = {
    "prices": (*FAST, "model=linear_manual", "data.window=3", "evaluation.predictions=all", "data.horizon=2"),
    "folds": (*FAST, "model=linear_manual", "evaluation=walk_forward", "evaluation.folds=3", "data.window=1"),
    "directions": (*FAST, "experiment=direction"),
    "classes": ("data=rings", "model=mlp", "model.loss=cross_entropy", "objective=val/cross_entropy", "stop.epochs=1"),
    "series": ("data=stocks", "model=mlp_manual", "stop.epochs=1"),
}


@pytest.mark.parametrize("kind", ["prices", *(pytest.param(k, marks=pytest.mark.slow) for k in list(KINDS)[1:])])
def test_the_tables_have_the_numbers_of_the_files(train, kind):
    _, folder = train(*KINDS[kind], "logger=none")
    metrics = json.loads((folder / "metrics.json").read_text())
    page = opened(folder)
    assert metrics["verdict"] in page.text
    for part in ("train", "val", "test"):
        table = page.table(f"Scores on the {part} part")
        assert list(table.index) == ["model", *metrics["baselines"]]
        assert_shows(table.loc["model"], metrics[part])
        for name, parts in metrics["baselines"].items():
            assert_shows(table.loc[name], parts[part])
    for interval, row in zip(metrics["intervals"], page.tables.get("Intervals", [[]])[1:], strict=True):
        expected = [interval["level"], interval["coverage"], interval["mean_width"]]
        assert [number(cell) for cell in row] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    coefficients = page.table("Coefficients")["coefficient"] if "Coefficients" in page.tables else {}
    assert {name: number(cell) for name, cell in coefficients.items()} == pytest.approx(
        metrics["coefficients"] or {}, rel=1e-4
    )
    assert ("critical" in metrics) == (metrics.get("critical", {}).get("sentence", "-no-") in page.text)
    for name, scores in metrics["series"].items():
        assert_shows(page.table("Scores per series").loc[name], scores)
    assert ("Folds" in page.tables) == (kind == "folds")
    if kind == "folds":
        folds = pd.read_csv(folder / "folds.csv")
        table = page.table("Folds")
        assert list(table["trained to"]) == list(folds["trained_to"])
        assert [number(cell) for cell in table["mse"]] == pytest.approx(list(folds["mse"]), rel=1e-4)
    assert [link for link in page.links if not link.startswith(("#", "data:"))] == []
    _assert_days(folder, page, kind)


def _assert_days(folder, page, kind):
    """Compare the days of the record with those of the table of predictions, and with the prices themselves."""
    data = json.loads((folder / "run.json").read_text())["data"]
    if kind == "classes":
        assert data["targets"] == {"train": None, "val": None, "test": None}
        assert data["fitted_to"] is None
        assert "Plain rows have no days." in page.text
        return
    table = pd.read_csv(folder / "predictions.csv")
    for part, rows in table.groupby("part"):
        assert [day.removesuffix(" 00:00:00") for day in data["targets"][part]] == [
            rows["date"].min(),
            rows["date"].max(),
        ]
        assert f"targets from {rows['date'].min()} to {rows['date'].max()}" in page.text
    assert f"the last validation target is known on {data['targets']['val'][1].removesuffix(' 00:00:00')}" in page.text
    if kind == "prices":
        assert set(table["part"]) == {"train", "val", "test"}
        train = table[table["part"] == "train"]
        assert data["fitted_to"].removesuffix(" 00:00:00") == train["date"].max()
        assert data["gap"] == 2
        between = (pd.Timestamp(data["targets"]["val"][0]) - pd.Timestamp(data["fitted_to"])) / pd.Timedelta(days=1)
        assert between > 2


def test_text_of_files_is_escaped(made):
    def changed(text):
        run = {
            "stop_reason": text, "overrides": [text], "again": [text], "command": text, "notes": [text], "device": text,
            "data": {"source": text, "samples": {"train": 1}, "recognised": {"notes": [text]}},
        }  # fmt: skip
        metrics = {
            "verdict": text, "hint": text, "series": {text: {text: 1.0}}, "beaten_on": [text],
            "coefficients": {text: 1.0}, "line": text, "critical": {"sentence": text}, "test": {text: 2.0},
            "baselines": {text: {"test": {text: 1.0}}},
        }  # fmt: skip
        return opened(made(run, metrics, **{"config.yaml": text, "error.txt": text}))

    plain, nasty = changed("plain"), changed(NASTY)
    assert nasty.tags == plain.tags
    assert nasty.links == plain.links
    assert nasty.text.count(NASTY) == plain.text.count("plain") == 20


@pytest.mark.parametrize(
    ("status", "reason", "says", "commands"),
    [
        ("failed", "diverged: loss is inf", "The run failed: diverged: loss is inf.", []),
        ("stopped", "interrupted", "The run was stopped: interrupted.", ["python train.py resume="]),
        ("running", None, "This run has not recorded its end.", ["python train.py resume="]),
    ],
)
def test_a_run_without_scores_says_how_it_ended(made, status, reason, says, commands):
    page = opened(made({"status": status, "stop_reason": reason}, **{"metrics.json": None}))
    assert says in page.text
    assert "The run has no scores." in page.text
    assert "The run has no pictures in figures/." in page.text
    assert "Missing from the folder: metrics.json." in page.text
    for command in ("python train.py resume=", "steepest predict", "steepest export"):
        assert (command in page.text) == (command in commands)


def test_scores_from_before_a_resumed_run_failed_are_marked(made):
    page = opened(made({"status": "failed", "stop_reason": "disk full"}))
    assert "The scores are from before this run was resumed. The run failed: disk full." in page.text
    assert "The scores are those" not in opened(made()).text


def test_a_job_that_failed_before_its_record_shows_its_error(made):
    page = opened(
        made(**{"run.json": None, "metrics.json": None, "config.yaml": None, "error.txt": "no rows\n\nrun it"})
    )
    assert "The run failed: no rows." in page.text
    assert "Missing from the folder: run.json, metrics.json, config.yaml." in page.text


def test_commands_are_quoted_for_the_shell(made, tmp_path, monkeypatch):
    folder = made().rename(tmp_path / "-my run; touch x")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").touch()
    monkeypatch.chdir(tmp_path)
    page = opened(folder)
    assert "steepest export './-my run; touch x'" in page.text
    command = page.text[page.text.index("python train.py 'resume=") :].split(" Copy")[0]
    words = subprocess.run(f"printf '%s\\n' {command}", shell=True, capture_output=True, text=True, check=True).stdout
    assert words.splitlines() == ["python", "train.py", "resume='-my run; touch x'", "stop.epochs=4"]


def test_the_prediction_is_the_first_picture_and_large_pictures_are_left_out(made, monkeypatch):
    folder = made()
    (folder / "figures").mkdir()
    sizes = {"fit": 10, "loss": 20, "prediction": 30, "surface": 50}
    for name, size in sizes.items():
        (folder / "figures" / f"{name}.png").write_bytes(bytes(size))
    monkeypatch.setattr(html, "BYTES", 100)
    found = html.read_images(folder)
    assert [name for name, _ in found.shown] == ["prediction", "loss", "fit"]
    assert found.left_out == ["surface.png"]
    assert "Left out to limit the page size: surface.png." in opened(folder).text


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("run.json", "{", "run.json cannot be read"),
        ("run.json", '{"data": {"targets": {"train": ["x", "y"]}}}', "data.targets.train.0: Input should be a valid"),
        ("metrics.json", '{"series": {"A": 1}}', "series.A: Input should be a valid dictionary"),
        ("metrics.json", '{"critical": {}}', "critical.sentence: Field required"),
        ("folds.csv", "fold,first_day\n0,2000-01-01\n", "folds.csv cannot be read"),
        ("metrics.json", '{"test": {"mse": 1' + "0" * 400 + "}}", "test.mse: Input should be a valid number"),
        ("folds.csv", '"', "folds.csv cannot be read"),
    ],
)
def test_a_damaged_file_gives_one_message_with_its_name(made, name, text, says):
    folder = made(**{name: text})
    with pytest.raises(ValueError, match=name) as error:
        write_report(folder)
    assert says in str(error.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(("number", "shown"), [("NaN", "nan"), ("1e999", "inf"), ("1" + "0" * 300, "1e+300")])
def test_unusual_numbers_are_shown(made, number, shown):
    text = json.dumps({"updates": 1, "test": {"mse": "N"}, "series": {"A": {"skill": "N"}}})
    page = opened(made(**{"metrics.json": text.replace('"N"', number)}))
    assert list(page.table("Scores on the test part").loc["model"]) == [shown]


def test_half_a_surrogate_pair_is_replaced(made):
    assert "The ? ends" in opened(made({}, {"verdict": "The \ud800 ends"})).text


def test_days_with_and_without_time_zones_are_compared(made):
    targets = {"train": ["2000-01-01", "2001-01-01"], "test": ["2001-01-02 10:00:00+01:00", "2002-01-01 00:00:00"]}
    page = opened(made({"data": {"targets": targets, "samples": {"train": 1, "test": 2000}}}))
    assert "2,000 samples, targets from 2001-01-02 10:00:00 to 2002-01-01" in page.text


def test_the_command_writes_the_page_or_prints_one_line_of_error(made, tmp_path):
    made()
    command = [sys.executable, "-c", "from steepest.cli import main; main()", "report"]
    done = subprocess.run([*command, "run"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Report: run/report.html\n"
    (tmp_path / "run" / "metrics.json").write_text("[]")
    done = subprocess.run(
        [*command, "run", "--out", "x.html"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("run/metrics.json cannot be read (it is not a JSON object)")
