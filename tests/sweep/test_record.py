"""The sweep's tables from the folders of its jobs."""

import csv
import json

import pytest
from omegaconf import OmegaConf

from steepest.sweep.record import SweepRecord, print_table, results_csv


@pytest.fixture
def sweep(tmp_path):
    """`sweep(objective, job, ...)`: a sweep's config over folders written as jobs would: (overrides, status, value)."""

    def start(objective, *jobs):
        for number, (overrides, status, value) in enumerate(jobs):
            folder = tmp_path / str(number)
            folder.mkdir(exist_ok=True)
            (folder / "job.json").write_text(json.dumps({"job": number, "overrides": overrides}))
            if status != "killed":
                (folder / "run.json").write_text(json.dumps({"status": status, "seed": 7, "stop_reason": "said"}))
            if status == "finished":
                metrics = {"objective": {"value": value}, "updates": 5, "train": {"rmse": 2.5}, "test": {"rmse": 3.5}}
                (folder / "metrics.json").write_text(json.dumps(metrics))
        return OmegaConf.create(
            {
                "objective": objective,
                "hydra": {"sweep": {"dir": str(tmp_path)}, "overrides": {"task": ["a=1,2"]}, "mode": None},
            }
        )

    return start


def test_results_have_a_row_a_job_with_what_was_varied(sweep, tmp_path):
    record, config = (
        SweepRecord(),
        sweep("val/mse", (["a=1", "b=x"], "finished", 0.5), (["a=2", "b=x"], "failed", None)),
    )
    record.on_multirun_start(config)
    with pytest.raises(SystemExit):
        record.on_multirun_end(config)
    first, second = csv.DictReader((tmp_path / "results.csv").read_text().splitlines())
    assert (first["job"], first["a"], first["b"], first["seed"], first["status"], first["objective"]) == (
        "0",
        "1",
        "x",
        "7",
        "finished",
        "0.5",
    )
    assert first["train/rmse"] == "2.5"
    assert (second["a"], second["status"], second["objective"], second["stop_reason"]) == ("2", "failed", "", "said")
    manifest = json.loads((tmp_path / "sweep.json").read_text())
    assert [j["status"] for j in manifest["jobs"]] == ["finished", "failed"]
    assert manifest["ended"]


def test_a_job_that_left_no_record_of_its_end_is_failed_when_the_sweep_ends_and_not_before(sweep, tmp_path, capsys):
    record, config = SweepRecord(), sweep("val/mse", (["a=1"], "killed", None))
    record.on_multirun_start(config)
    assert json.loads((tmp_path / "sweep.json").read_text())["jobs"][0]["status"] == "running"
    with pytest.raises(SystemExit) as end:
        record.on_multirun_end(config)
    assert end.value.code == 1
    assert "the job left no record of its end" in capsys.readouterr().out


@pytest.mark.parametrize(("objective", "winner"), [("val/mse_scaled", "1"), ("val/skill", "2")])
def test_the_winner_is_on_top_whichever_way_the_objective_is_better(sweep, tmp_path, capsys, objective, winner):
    config = sweep(objective, *((["a=" + str(n)], "finished", v) for n, v in enumerate([0.3, -0.2, 0.9])))
    SweepRecord().on_multirun_end(config)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "finished" in line]
    assert lines[0][0] == winner
    assert len(lines) == 3


def test_a_failed_job_never_wins(sweep, capsys):
    rows = [
        {"job": 0, "overrides": ["a=0"], "status": "failed", "objective": None, "stop_reason": "broke"},
        {"job": 1, "overrides": ["a=1"], "status": "finished", "objective": 5.0, "stop_reason": ""},
    ]
    from pathlib import Path

    print_table(rows, "val/mse", Path("x"))
    said = capsys.readouterr().out
    assert said.index("finished") < said.index("failed")
    assert "The best again: python train.py a=1" in said


def test_results_of_no_job_are_an_empty_table():
    assert results_csv([]).strip() == ""
