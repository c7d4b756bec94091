"""The sweep's record from the folders of its jobs: what is done, what is left, and the tables."""

import csv
import json
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import OmegaConf

from steepest.sweep.manifest import Manifest, begin_job, changed_keys, job_id, of_task
from steepest.sweep.record import RESUMED, SweepRecord
from steepest.sweep.results import results_csv
from steepest.sweep.table import print_table


class Launcher:
    """Runs jobs as `ends` says: folder's name -> (status, value); a job that is not there is killed."""

    def __init__(self, folder, ends):
        self.folder, self.ends, self.asked = folder, ends, []

    def launch(self, job_overrides, initial_job_idx):
        returned = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            named = [o.split("=")[1] for o in overrides if o.startswith("hydra.sweep.subdir=")]
            folder = self.folder / (named[0] if named else str(number))
            self.asked.append(folder.name)
            begin_job(folder, int(folder.name), list(overrides))
            status, value = self.ends.get(folder.name, ("killed", None))
            if status != "killed":
                run = {"status": status, "seed": 7, "stop_reason": "said", "started": "2999", "ended": "2999"}
                (folder / "run.json").write_text(json.dumps(run))
            if status == "finished":
                metrics = {"objective": {"value": value}, "updates": 5, "train": {"rmse": 2.5}, "test": {"rmse": 3.5}}
                (folder / "metrics.json").write_text(json.dumps(metrics))
            returned.append(JobReturn(overrides=list(overrides), _return_value=value, status=JobStatus.COMPLETED))
        return returned


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """`sweep(jobs, ends, ...)` runs a sweep of these overrides; returns (launcher, results, record)."""

    def start(jobs, ends, objective="val/mse", resume=False, **config):
        if resume:
            monkeypatch.setenv(RESUMED, "1")
        overrides = {"task": ["a=1,2"], "hydra": []}
        hydra = {
            "sweep": {"dir": str(tmp_path / "s"), "subdir": "${hydra.job.num}"},
            "overrides": overrides,
            "mode": None,
        }
        plain = OmegaConf.create({"objective": objective, "hydra": hydra} | config)
        launcher, record = Launcher(tmp_path / "s", ends), SweepRecord()
        monkeypatch.setattr(Plugins.instance(), "instantiate_launcher", lambda **_: launcher)
        record.on_multirun_start(plain)
        context = HydraContext(config_loader=None, callbacks=None)
        results = Plugins.instance().instantiate_launcher(hydra_context=context).launch(jobs, 0)
        code = 0
        try:
            record.on_multirun_end(plain)
        except SystemExit as end:
            code = end.code
        return launcher, results, code

    return start


def states(tmp_path):
    return [job.status for job in Manifest.read(tmp_path / "s").jobs.values()]


def test_results_have_a_row_a_job_with_what_was_varied(sweep, tmp_path):
    _, _, code = sweep([["a=1", "b=x"], ["a=2", "b=x"]], {"0": ("finished", 0.5), "1": ("failed", None)})
    assert code == 1
    first, second = csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines())
    shown = [first[k] for k in ("job", "a", "b", "seed", "status", "objective", "train/rmse")]
    assert shown == ["0", "1", "x", "7", "finished", "0.5", "2.5"]
    assert (second["a"], second["status"], second["objective"], second["stop_reason"]) == ("2", "failed", "", "said")
    assert states(tmp_path) == ["finished", "failed"]
    assert Manifest.read(tmp_path / "s").ended


def test_a_job_that_left_no_record_of_its_end_is_failed_when_the_sweep_ends(sweep, capsys):
    _, _, code = sweep([["a=1"]], {})
    assert code == 1
    assert "the job left no record of its end" in capsys.readouterr().out


def test_all_jobs_are_written_down_before_the_first_one_starts(sweep, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        Launcher, "launch", lambda self, jobs, first: seen.extend(states(tmp_path)) or [JobReturn()] * 3
    )
    sweep([["a=1"], ["a=2"], ["a=3"]], {})
    assert seen == ["waiting"] * 3


def test_a_sweep_that_is_gone_on_with_skips_what_is_finished_and_keeps_the_numbers(sweep, tmp_path):
    jobs = [["a=1"], ["a=2"], ["a=3"], ["a=4"]]
    sweep(jobs, {"0": ("finished", 0.5), "1": ("failed", None), "2": ("finished", 0.25)})
    (tmp_path / "s" / "1" / "left.txt").write_text("from the first try")
    ends = {"1": ("finished", 0.125), "3": ("finished", 1.0)}
    launcher, results, code = sweep(jobs, ends, resume=True)
    assert launcher.asked == ["1", "3"]
    assert [r.return_value for r in results] == [0.5, 0.125, 0.25, 1.0]
    assert states(tmp_path) == ["finished"] * 4
    assert not (tmp_path / "s" / "1" / "left.txt").exists()
    assert code == 0


def test_a_sweeps_folder_is_not_begun_twice_nor_gone_on_with_by_another_config(sweep, capsys):
    sweep([["a=1"]], {"0": ("finished", 0.5)}, lr=0.1)
    with pytest.raises(SystemExit) as end:
        sweep([["a=1"]], {}, lr=0.1)
    assert end.value.code == 2
    assert "steepest resume" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        sweep([["a=1"]], {}, lr=0.2, resume=True)
    assert end.value.code == 2
    assert "the config has changed since the sweep began (lr)" in capsys.readouterr().err


def test_jobs_are_known_by_what_is_asked_of_them():
    assert job_id(["a=1", "b=2"]) == job_id(["a=1", "b=2"]) != job_id(["a=1", "b=3"])
    asked = ["a=1", "hydra.sweep.dir=x", "hydra/launcher=basic", "sweep.on_error=stop", "+c=1", "~d"]
    assert of_task(asked) == ["a=1", "+c=1", "~d"]


def test_a_job_that_is_asked_for_twice_is_two_jobs(sweep, tmp_path):
    _, results, _ = sweep([["a=1"], ["a=1"]], {"0": ("finished", 0.5), "1": ("finished", 0.25)})
    assert [r.return_value for r in results] == [0.5, 0.25]
    assert len(states(tmp_path)) == 2


def test_changed_keys_are_named():
    assert changed_keys({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 3}) == ["a.c", "d", "e"]


@pytest.mark.parametrize(("objective", "winner"), [("val/mse_scaled", "1"), ("val/skill", "2")])
def test_the_winner_is_on_top_whichever_way_the_objective_is_better(sweep, capsys, objective, winner):
    ends = {str(n): ("finished", v) for n, v in enumerate([0.3, -0.2, 0.9])}
    sweep([[f"a={n}"] for n in range(3)], ends, objective=objective)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "finished" in line]
    assert lines[0][0] == winner
    assert len(lines) == 3


def test_a_failed_job_never_wins(capsys):
    rows = [
        {"job": 0, "overrides": ["a=0"], "status": "failed", "objective": None, "stop_reason": "broke"},
        {"job": 1, "overrides": ["a=1"], "status": "finished", "objective": 5.0, "stop_reason": ""},
    ]
    print_table(rows, "val/mse", Path("x"))
    said = capsys.readouterr().out
    assert said.index("finished") < said.index("failed")
    assert "The best again: python train.py a=1" in said


def test_results_of_no_job_are_an_empty_table():
    assert results_csv([]).strip() == ""
