"""The sweep's record: finished and remaining jobs, the tables, and the sweeps that it refuses."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steepest.runs.claim import Claim
from steepest.runs.errors import exit_code, explain
from steepest.runs.hydra_internals import raise_errors_of_callbacks
from steepest.runs.jobs import SWEEP
from steepest.runs.process import processes
from steepest.runs.resume import changed_keys
from steepest.sweep import record as module
from steepest.sweep.compose import Preview, pinned_subfolder
from steepest.sweep.manifest import JobState, Manifest, begin_job, job_id, job_number, of_task
from steepest.sweep.record import RESUMED, SweepRecord
from steepest.sweep.requirements import check_folders
from steepest.sweep.results import Results, results_csv
from steepest.sweep.table import print_table


class Launcher:
    """Ends jobs according to `ends`: folder's name -> (status, value); a job that is not in it is killed."""

    def __init__(self, folder, ends, composer):
        self.folder, self.ends, self.asked, self.composer = folder, ends, [], composer

    def launch(self, job_overrides, initial_job_idx):
        returned = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            folder = self.folder / (pinned_subfolder(overrides) or str(number))
            self.asked.append(folder.name)
            begin_job(folder, number, list(overrides))
            status, value = self.ends.get(folder.name, ("killed", None))
            if status != "killed":
                run = {"status": status, "seed": 7, "stop_reason": "said", "started": "2999", "ended": "2999"}
                (folder / "run.json").write_text(json.dumps(run))
            if status == "finished":
                metrics = {"objective": {"value": value}, "updates": 5, "train": {"rmse": 2.5}, "test": {"rmse": 3.5}}
                (folder / "metrics.json").write_text(json.dumps(metrics))
            returned.append(JobReturn(overrides=list(overrides), _return_value=value, status=JobStatus.COMPLETED))
        return returned


class Composer:
    """Names folders by a pattern of the job's number and overrides; every job has the same trainer."""

    def __init__(self, sweep, pattern, trainer):
        self.sweep, self.pattern, self.trainer = str(sweep), pattern, trainer

    def preview(self, overrides, number):
        return Preview(
            self.sweep, self.pattern.format(number=number, overrides=",".join(overrides)), {"trainer": self.trainer}
        )


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """`sweep(jobs, ends, ...)` runs a sweep of these overrides; returns (launcher, results, record)."""

    def start(jobs, ends, objective="val/mse", resume=False, pattern=None, trainer=(), target="Basic", **config):
        if resume:
            monkeypatch.setenv(RESUMED, "1")
        overrides = {"task": ["a=1,2"], "hydra": []}
        hydra = {
            "sweep": {"dir": str(tmp_path / "s"), "subdir": "${hydra.job.num}" if pattern is None else "${any}"},
            "overrides": overrides,
            "mode": None,
            "launcher": {"_target_": f"x.{target}Launcher"},
        }
        plain = OmegaConf.create({"objective": objective, "hydra": hydra} | config)
        composer = Composer(tmp_path / "s", pattern or "{number}", dict(trainer))
        launcher, record = Launcher(tmp_path / "s", ends, composer), SweepRecord()
        monkeypatch.setattr(Plugins.instance(), "instantiate_launcher", lambda **_: launcher)
        monkeypatch.setenv(SWEEP, "0")  # which the record changes
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


def test_results_have_a_row_per_job_with_its_varied_keys(sweep, tmp_path):
    _, _, code = sweep([["a=1", "b=x"], ["a=2", "b=x"]], {"0": ("finished", 0.5), "1": ("failed", None)})
    assert code == 1
    first, second = csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines())
    shown = [first[k] for k in ("job", "a", "b", "seed", "status", "objective", "train/rmse")]
    assert shown == ["0", "1", "x", "7", "finished", "0.5", "2.5"]
    assert (second["a"], second["status"], second["objective"], second["stop_reason"]) == ("2", "failed", "", "said")
    assert states(tmp_path) == ["finished", "failed"]
    assert Manifest.read(tmp_path / "s").ended


def test_a_job_without_a_record_of_its_end_has_failed_when_the_sweep_ends(sweep, capsys):
    _, _, code = sweep([["a=1"]], {})
    assert code == 1
    assert "the job has no record of its end" in capsys.readouterr().out


def test_all_jobs_are_recorded_before_the_first_one_starts(sweep, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        Launcher, "launch", lambda self, jobs, first: seen.extend(states(tmp_path)) or [JobReturn()] * 3
    )
    sweep([["a=1"], ["a=2"], ["a=3"]], {})
    assert seen == ["waiting"] * 3


def test_a_resumed_sweep_skips_finished_jobs_and_keeps_the_numbers(sweep, tmp_path):
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


def test_a_sweeps_folder_is_not_used_twice_and_not_resumed_with_another_config(sweep):
    sweep([["a=1"]], {"0": ("finished", 0.5)}, lr=0.1)
    with pytest.raises(ValueError, match="steepest resume"):
        sweep([["a=1"]], {}, lr=0.1)
    with pytest.raises(ValueError, match=r"the config has changed since the sweep started \(lr\)"):
        sweep([["a=1"]], {}, lr=0.2, resume=True)


def test_a_running_sweep_cannot_be_resumed_or_started_again(sweep, tmp_path, monkeypatch):
    refused = []

    def launch(self, jobs, first):
        before = files(tmp_path / "s")
        for resume in (True, False):
            with pytest.raises(ValueError, match=rf"process {os.getpid()} .* is running this sweep: wait") as error:
                sweep([["a=1"], ["a=2"]], {}, resume=resume)
            refused.append(str(error.value))
        assert files(tmp_path / "s") == before
        return [JobReturn()] * len(jobs)

    with monkeypatch.context() as patch:
        patch.setattr(Launcher, "launch", launch)
        sweep([["a=1"], ["a=2"]], {})
    assert len(refused) == 2
    sweep([["a=1"], ["a=2"]], {"0": ("finished", 0.5), "1": ("finished", 0.5)}, resume=True)
    assert states(tmp_path) == ["finished"] * 2


def test_a_resumed_sweep_removes_the_incomplete_files_of_a_killed_process(sweep, tmp_path):
    sweep([["a=1"], ["a=2"]], {"0": ("finished", 0.5)})
    shutil.rmtree(tmp_path / "s" / "1")  # killed while it wrote its first file
    parts = [tmp_path / "s" / name for name in ("sweep.json.7.part", "results.csv.7.part", "1/job.json.7.part")]
    parts[2].parent.mkdir()
    for part in parts:
        part.write_text("{")
    sweep([["a=1"], ["a=2"]], {"1": ("finished", 0.5)}, resume=True)
    assert [part for part in parts if part.exists()] == []
    assert states(tmp_path) == ["finished"] * 2


def test_a_resumed_sweep_does_not_remove_a_job_that_another_process_trains(sweep, tmp_path):
    sweep([["a=1"], ["a=2"]], {"0": ("finished", 0.5)})
    with Claim(tmp_path / "s" / "1"):
        before = files(tmp_path / "s" / "1")
        with pytest.raises(ValueError, match=r"s/1: process .* is training this run"):
            sweep([["a=1"], ["a=2"]], {}, resume=True)
        assert files(tmp_path / "s" / "1") == before
    sweep([["a=1"], ["a=2"]], {"1": ("finished", 0.5)}, resume=True)
    assert states(tmp_path) == ["finished"] * 2


@pytest.mark.parametrize("content", [None, '{"job": 1, "overrides": ["a=3"]}'])
def test_a_resumed_sweep_keeps_a_run_that_it_did_not_start(sweep, tmp_path, content):
    sweep([["a=1"], ["a=2"]], {"0": ("finished", 0.5), "1": ("failed", None)})
    folder = tmp_path / "s" / "1"
    (folder / "config.yaml").write_text("{}")
    (folder / "job.json").unlink()
    if content:
        (folder / "job.json").write_text(content)
    before = files(folder)
    with pytest.raises(ValueError, match=r"s/1 contains a run, but its job.json is missing, or is that of another job"):
        sweep([["a=1"], ["a=2"]], {}, resume=True)
    assert files(folder) == before


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["config.yaml", "job.json"])
def test_a_new_sweep_does_not_use_the_folder_of_another_run(sweep, tmp_path, name):
    (tmp_path / "s" / "1").mkdir(parents=True)
    (tmp_path / "s" / "1" / name).write_text("{}")
    with pytest.raises(ValueError, match=r"s/1 already contains a run that does not belong to this sweep \(job 1\)"):
        sweep([["a=1"], ["a=2"]], {})
    assert list(files(tmp_path / "s")) == [tmp_path / "s" / "1" / name]


def test_a_job_that_failed_before_its_record_reports_its_error(tmp_path):
    (tmp_path / "0").mkdir()
    manifest = Manifest(tmp_path, {}, "val/loss", {})
    manifest.register([["a=1"]], 0, "{}")
    begin_job(tmp_path / "0", 0, ["a=1"])
    (tmp_path / "0" / "error.txt").write_text("optimizer.lr=-1 must be above 0\n\nTo run this job alone:\n")
    manifest.look(over=True)
    assert [job.error for job in manifest.jobs.values()] == ["optimizer.lr=-1 must be above 0"]


def test_a_jobs_id_depends_only_on_its_own_overrides():
    assert job_id(["a=1", "b=2"]) == job_id(["a=1", "b=2"]) != job_id(["a=1", "b=3"])
    asked = ["a=1", "hydra.sweep.dir=x", "hydra/launcher=basic", "sweep.on_error=stop", "+c=1", "~d"]
    assert of_task(asked) == ["a=1", "+c=1", "~d"]


def test_the_same_overrides_twice_are_two_jobs(sweep, tmp_path):
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
    print_table(Results(rows, "val/mse"), Path("x"))
    said = capsys.readouterr().out
    assert said.index("finished") < said.index("failed")
    assert "To run the best job again: python train.py a=1" in said


def test_results_without_jobs_are_an_empty_table():
    assert results_csv(Results([], "val/mse")).strip() == ""


def test_jobs_in_named_folders_are_recorded_and_resumed_there(sweep, tmp_path):
    jobs, pattern = [["a='x y'"], ["a=2"], ["a=3"]], "{overrides}"
    _, _, code = sweep(jobs, {"a='x y'": ("finished", 0.5), "a=3": ("failed", None)}, pattern=pattern)
    assert code == 1
    assert [job.folder for job in Manifest.read(tmp_path / "s").jobs.values()] == ["a='x y'", "a=2", "a=3"]
    ends = {"a=2": ("finished", 0.25), "a=3": ("finished", 1.0)}
    launcher, results, code = sweep(jobs, ends, resume=True, pattern=pattern)
    assert launcher.asked == ["a=2", "a=3"]
    assert [r.return_value for r in results] == [0.5, 0.25, 1.0]
    assert code == 0


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("same", "the same folder to jobs 0, 1, 2 ("),
        ("x/../same", "the same folder to jobs 0, 1, 2 ("),
        (".", "puts jobs 0, 1, 2 into"),
        ("../{number}", "puts job 0 into"),
        ("y" * 256 + "{number}", "gives the folder of job 0 a name of 257 bytes, but the limit is 255"),
    ],
)
def test_folders_that_jobs_cannot_have_are_refused_before_any_job(sweep, tmp_path, pattern, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        sweep([["a=1"], ["a=2"], ["a=3"]], {}, pattern=pattern)
    assert "hydra.sweep.subdir" in str(error.value)
    assert not (tmp_path / "s").exists(), "a sweep that is refused leaves no folder"


def test_a_jobs_folder_inside_another_jobs_is_refused(sweep):
    with pytest.raises(ValueError, match=r"puts the folder of job 1 inside that of job 0 .*x"):
        sweep([["x"], ["x/y"]], {}, pattern="{overrides}")


def test_a_refused_sweep_keeps_a_folder_that_was_there_before(sweep, tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(ValueError, match="the same folder"):
        sweep([["a=1"], ["a=2"]], {}, pattern="same")
    assert list((tmp_path / "s").iterdir()) == []


def test_a_sweeps_folder_that_differs_between_jobs_is_refused(sweep, tmp_path):
    with pytest.raises(ValueError, match=r"hydra\.sweep\.dir differs between jobs .*hydra\.sweep\.subdir"):
        check_folders(Manifest(tmp_path / "s", {}, "val/mse", {}), {0: str(tmp_path / "s"), 1: str(tmp_path / "t")})


DDP = {"devices": 2, "strategy": "ddp", "accelerator": "cpu"}


def test_only_the_processes_launcher_accepts_jobs_of_several_processes(sweep, tmp_path):
    for strategy in ("ddp", "ddp_spawn", "auto"):
        with pytest.raises(ValueError, match=r"jobs 0, 1: trainer\.devices=2 .*add hydra/launcher=processes"):
            sweep([["a=1"], ["a=2"]], {}, trainer=DDP | {"strategy": strategy})
        assert not (tmp_path / "s").exists()
    _, _, code = sweep([["a=1"]], {"0": ("finished", 1.0)}, trainer=DDP, target="Processes")
    assert code == 0


@pytest.mark.parametrize(
    ("trainer", "number"),
    [
        ({}, 1),
        ({"devices": 1, "strategy": "ddp"}, 1),
        ({"devices": 2}, 2),
        ({"devices": "3"}, 3),
        ({"devices": [0, 1]}, 2),
        ({"devices": "0,1"}, 2),
        ({"devices": "0,"}, 1),
        ({"devices": 2, "num_nodes": 3}, 6),
        ({"devices": "auto", "accelerator": "cpu"}, 1),
    ],
)
def test_the_processes_of_a_trainer_are_counted(trainer, number):
    assert processes(trainer) == number


def broken(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("hook", ["on_multirun_start", "on_job_start", "on_job_end", "on_multirun_end"])
def test_an_error_in_any_hook_ends_the_sweep(tmp_path, monkeypatch, hook):
    config = OmegaConf.create(
        {
            "objective": "val/mse",
            "hydra": {
                "mode": None, "job": {"num": 0}, "overrides": {"task": [], "hydra": []},
                "runtime": {"cwd": str(tmp_path), "output_dir": str(tmp_path / "s" / "0")},
                "sweep": {"dir": "s", "subdir": "0"},
            },
        }
    )  # fmt: skip
    for name in ("plain_task", "begin_job", "results_csv"):
        monkeypatch.setattr(module, name, broken)
    monkeypatch.setattr(module, "is_sweep", lambda config: True)
    sweeps_record = SweepRecord()
    sweeps_record.manifest = Manifest(tmp_path / "s", {}, "val/mse", {})
    monkeypatch.setattr(Manifest, "look", lambda self, over=False: True)
    raise_errors_of_callbacks()
    callbacks = Callbacks()
    callbacks.callbacks = [sweeps_record]  # as Hydra calls them
    more = {"on_job_start": {"task_function": None}, "on_job_end": {"job_return": JobReturn()}}
    with pytest.raises(OSError, match="No space left on device") as caught:
        getattr(callbacks, hook)(config=config, **more.get(hook, {}))
    assert explain(caught.value).startswith("No space left on device: free some space")
    assert exit_code(caught.value) == 1


def test_a_users_error_in_a_hook_gives_one_message_and_exit_code_2(sweep):
    with pytest.raises(OmegaConfBaseException) as caught:
        sweep([["a=1"]], {}, objective="${nosuch}")
    assert "nosuch" in explain(caught.value)
    assert exit_code(caught.value) == 2


def test_an_error_while_jobs_are_watched_is_raised(sweep, monkeypatch):
    monkeypatch.setattr(module, "results_csv", broken)
    with pytest.raises(OSError, match="No space left"):
        sweep([["a=1"]], {"0": ("finished", 0.5)})


def test_a_job_that_exits_with_0_does_not_end_the_sweep_with_0(sweep, monkeypatch, capsys):
    monkeypatch.setattr(Launcher, "launch", lambda self, jobs, first: sys.exit(0))
    with pytest.raises(SystemExit) as end:
        sweep([["a=1"], ["a=2"]], {})
    assert end.value.code == 1
    assert "A job called sys.exit()" in capsys.readouterr().err


def test_overrides_are_recorded_as_typed(tmp_path, monkeypatch):
    monkeypatch.setenv(SWEEP, "0")  # which the record changes
    config = OmegaConf.create(
        {
            "objective": "val/mse",
            "hydra": {
                "sweep": {"dir": str(tmp_path / "s"), "subdir": "x"},
                "overrides": {"task": ["b=${nosuch}"], "hydra": ["hydra.sweep.subdir=${hydra.job.num}_x"]},
            },
        }
    )
    sweeps_record = SweepRecord()
    launcher = Plugins.instance().instantiate_launcher
    try:
        sweeps_record.on_multirun_start(config)
    finally:
        Plugins.instance().instantiate_launcher = launcher
    command = sweeps_record.manifest.command
    assert (command["task"], command["hydra"]) == (["b=${nosuch}"], ["hydra.sweep.subdir=${hydra.job.num}_x"])


DAMAGED = {
    "no JSON": "{",
    "no object": "[]",
    "no jobs": "{}",
    "a job without a number": '{"command": {}, "objective": "o", "config": {}, "jobs": [{"id": "x", "overrides": []}]}',
    "jobs of another type": '{"command": {}, "objective": "o", "config": {}, "jobs": 3}',
    "a status of another kind": '{"command": {}, "objective": "o", "config": {}, "jobs": [{"job": 0, "id": "x", "overrides": [], "status": "?"}]}',
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_sweep_json_gives_one_message_with_the_file_and_the_fix(tmp_path, content):
    path = tmp_path / "sweep.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(
        ValueError, match=r"sweep\.json cannot be read \(.+\): restore it from a copy, or remove it; or start"
    ) as error:
        Manifest.read(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_sweep_json_that_is_a_folder_gives_one_message(tmp_path):
    (tmp_path / "sweep.json").mkdir()
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory\)"):
        Manifest.read(tmp_path)


def test_a_jobs_number_is_that_of_its_folder(tmp_path):
    jobs = {"x": JobState(3, "x", [], folder="lr=1/a"), "y": JobState(4, "y", [], folder="64")}
    Manifest(tmp_path, {}, "val/mse", {}, jobs=jobs).write()
    assert [job_number(tmp_path, tmp_path / name, 9) for name in ("lr=1/a", "64", "65")] == [3, 4, 9]
