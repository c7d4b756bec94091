"""`steepest.runs`, `steepest list`, `steepest compare` and `steepest clean` on made-up, damaged and hostile folders."""

import html
import json
import os
import re
import shutil
import time

import pytest
from typer.testing import CliRunner

import steepest
from steepest.cli import app
from steepest.runs.claim import Claim

MLP = {"_target_": "steepest.lightning.predictors.MLPPredictor", "hidden": [8]}
LINE = {"_target_": "steepest.lightning.predictors.LinearPredictor"}
DATA = {"_target_": "steepest.data.sources.ShippedPrices", "file": "stocks.csv.gz", "window": 28}


def made(folder, status="finished", model=MLP, skill=0.1, started="2026-01-01T00:00:00+00:00", days=0, **config):
    """Write a run's records."""
    (folder / "checkpoints").mkdir(parents=True)
    facts = {
        "status": status,
        "started": started,
        "seed": 3,
        "objective": "val/mse",
        "overrides": [],
        "stop_reason": "x",
    }
    (folder / "run.json").write_text(json.dumps(facts))
    metrics = {"status": status, "objective": {"name": "val/mse", "value": 2.5}, "test": {"skill": skill, "rmse": 1.0}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    content = {
        "seed": 3,
        "model": model,
        "data": DATA,
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.001},
    } | config
    (folder / "config.yaml").write_text(json.dumps(content))  # JSON is YAML
    then = time.time() - 86400 * days
    os.utime(folder / "run.json", (then, then))
    return folder


def command(*words):
    """Run a `steepest` command in this process; return its lines, or raise its error."""
    answer = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "80"}, catch_exceptions=False)
    return answer.stdout.splitlines()


@pytest.fixture
def home(tmp_path):
    made(tmp_path / "runs" / "a", skill=0.3, started="2026-01-03T00:00:00+00:00")
    made(tmp_path / "runs" / "b", model=LINE, skill=-0.2)
    made(tmp_path / "sweeps" / "s" / "0", status="failed", skill=0.2, started="2026-01-02T00:00:00+00:00")
    return tmp_path


def names(table, home):
    return [os.path.relpath(folder, home) for folder in table["folder"]]


def test_runs_are_a_frame_with_a_row_per_run_and_the_oldest_is_first(home):
    table = steepest.runs(home)
    assert names(table, home) == ["runs/b", "sweeps/s/0", "runs/a"]
    assert table["model"].tolist() == ["linear", "mlp", "mlp"]
    assert table["data"].tolist() == ["stocks"] * 3
    assert table["test/skill"].tolist() == [-0.2, 0.2, 0.3]
    assert table["best"].tolist() == [2.5] * 3
    assert table["problem"].isna().all()


@pytest.mark.parametrize(
    ("filters", "sort", "found"),
    [
        ((), "-test/skill", ["runs/a", "sweeps/s/0", "runs/b"]),
        ((), "test/skill", ["runs/b", "sweeps/s/0", "runs/a"]),
        (("model=mlp",), None, ["sweeps/s/0", "runs/a"]),
        (("model=mlp", "status=finished"), None, ["runs/a"]),
        (("model.hidden=[8]", "optimizer.lr=1e-3"), "folder", ["runs/a", "sweeps/s/0"]),
        (("data=stocks", "seed=3", "data.window=28"), "folder", ["runs/a", "runs/b", "sweeps/s/0"]),
        (("seed=4",), None, []),
    ],
)
def test_runs_are_filtered_and_sorted(home, filters, sort, found):
    assert names(steepest.runs(home, filters, sort), home) == found
    words = [word for condition in filters for word in ("--filter", condition)] + (["--sort", sort] if sort else [])
    printed = "\n".join(command("list", home, *words))
    places = [printed.index(name) for name in found]
    assert places == sorted(places)
    assert f"{len(found)} run" in printed
    assert [json.loads(line)["folder"] for line in command("list", home, "--json", *words)] == [
        str(home / f) for f in found
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sort", "test/skil"], "no run has the column 'test/skil'; did you mean 'test/skill'?"),
        (["--filter", "modl=mlp"], "no run has the key 'modl'; did you mean 'model'?"),
        (["--filter", "model"], "model: write KEY=VALUE"),
    ],
)
def test_a_mistake_in_a_condition_gives_one_message(home, words, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        command("list", home, *words)
    with pytest.raises(ValueError, match="there is no such folder"):
        command("list", home / "nothing")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("run.json", "{"), ("run.json", "[]"), ("run.json", '{"status": 3}'), ("metrics.json", '{"test": 3}'),
        ("config.yaml", "a: [" * 500), ("config.yaml", "!!python/object/apply:os.mkdir [owned]"), ("config.yaml", "- 1"),
        ("config.yaml", "model: 3\ndata: [1]\nseed: {a: 1}\n"), ("metrics.json", '{"objective": {"value": "high"}}'),
    ],
)  # fmt: skip
def test_a_damaged_run_does_not_hide_the_others(home, file, text, monkeypatch):
    monkeypatch.chdir(home)
    (home / "runs" / "a" / file).write_text(text)
    for sort in ("started", "best", "model", "seed"):
        assert sorted(names(steepest.runs(home, sort=sort), home)) == ["runs/a", "runs/b", "sweeps/s/0"]
    assert "3 runs" in "\n".join(command("list", home))
    assert not (home / "owned").exists()
    assert command("clean", home, "--older-than", "0h")  # says something, and raises nothing


def test_a_run_without_an_end_is_running_while_its_folder_is_locked_and_killed_afterwards(tmp_path):
    folder = made(tmp_path / "a", status="running")
    with Claim(folder):
        assert steepest.runs(tmp_path)["status"].tolist() == ["running"]
        assert "0 folders" in command("clean", tmp_path, "--older-than", "0h", "--yes")[-1]
    assert steepest.runs(tmp_path)["status"].tolist() == ["killed"]
    command("clean", tmp_path, "--failed", "--yes")
    assert not folder.exists()


def test_clean_keeps_a_failed_run_that_a_process_resumes(tmp_path):
    folder = made(tmp_path / "a", status="failed")
    with Claim(folder):
        command("clean", tmp_path, "--failed", "--yes")
        assert (folder / "run.json").exists()
    command("clean", tmp_path, "--failed", "--yes")
    assert not folder.exists()


def test_clean_deletes_nothing_without_yes_and_only_what_meets_all_conditions(home):
    made(home / "runs" / "old", days=40)
    made(home / "runs" / "old_failed", status="failed", days=40)
    every = set(home.rglob("*"))
    with pytest.raises(ValueError, match="give a condition: --failed, --older-than 30d, or both"):
        command("clean", home, "--yes")
    with pytest.raises(ValueError, match="--older-than soon: write a number and a unit"):
        command("clean", home, "--older-than", "soon")
    assert command("clean", home, "--failed", "--older-than", "30d")[-1].startswith("Nothing is deleted. With --yes")
    assert set(home.rglob("*")) == every
    command("clean", home, "--failed", "--older-than", "30d", "--yes")
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["a", "b", "old"]
    command("clean", home, "--older-than", "30d", "--yes")
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["a", "b"]
    assert (home / "sweeps" / "s" / "0" / "run.json").exists(), "it is new"


def test_clean_keeps_whatever_does_not_belong_to_a_run(home, tmp_path_factory):
    outside = made(tmp_path_factory.mktemp("outside") / "run", status="failed")
    (home / "runs" / "linked").symlink_to(outside)
    own = made(home / "project", status="failed")
    (own / "thesis.tex").write_text("years of work")
    (home / "notes").mkdir()
    (home / "notes" / "note.txt").write_text("mine")
    inner = made(home / "runs" / "inner", status="failed")
    (inner / "figures").symlink_to(outside)
    lines = command("clean", home, "--failed", "--yes")
    assert any(line.startswith("kept:") and "thesis.tex" in line for line in lines)
    assert (own / "thesis.tex").exists()
    assert (home / "notes" / "note.txt").exists()
    assert (outside / "run.json").exists()
    assert not inner.exists()


def test_a_sweep_is_deleted_as_a_whole_or_not_at_all(home):
    sweep = home / "sweeps" / "s"
    (sweep / "sweep.json").write_text("{}")
    (sweep / "0" / "job.json").write_text("{}")
    shutil.copytree(sweep / "0", sweep / "1")
    finished = made(sweep / "2")
    command("clean", home, "--failed", "--yes")
    assert (sweep / "0").exists()
    shutil.rmtree(finished)
    with Claim(sweep, "sweep"):
        command("clean", home, "--failed", "--yes")
        assert (sweep / "0").exists()
    command("clean", home, "--failed", "--yes")
    assert not sweep.exists()


def test_the_comparison_has_the_differences_the_scores_and_escaped_names(home):
    other = made(home / "runs" / "<b>x", model=LINE, skill=-0.123)
    command("compare", home / "runs" / "a", other)
    text = (home / "runs" / "compare.html").read_text()
    rows = [
        list(map(html.unescape, re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row)))
        for row in re.findall("<tr>.*?</tr>", text)
    ]
    assert [row for row in rows if row[0].startswith(("model", "data", "seed", "optimizer"))] == [
        ["model", "mlp", "linear"], ["model.hidden", "[8]", "-"],
    ]  # fmt: skip
    assert ["", "a", "<b>x"] in rows
    assert ["test", "skill", "0.3000", "-0.1230"] in rows
    assert "<b>x" not in text


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (["runs/a"], "1 run: give the folders of 2 to 8 runs"),
        (["runs/a", "runs/a"], "is given twice"),
        (["runs/a", "runs"], "no run.json"),
    ],
)
def test_a_comparison_of_other_folders_is_refused(home, chosen, said):
    with pytest.raises(ValueError, match=said):
        command("compare", *(home / name for name in chosen))


@pytest.mark.parametrize("logger", ["csv", "wandb"])
def test_the_files_of_a_logger_belong_to_a_run(tmp_path, logger):
    folder = made(tmp_path / "a", status="failed")
    (folder / logger / "version_0").mkdir(parents=True)
    command("clean", tmp_path, "--failed", "--yes")
    assert not folder.exists()
