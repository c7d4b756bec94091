"""Resuming or reporting another person's sweep starts no program of its record and changes no file outside it."""

import json
import pickle
import sys

import pytest
from conftest import ROOT
from made import make_sweep

from steepest.runs.files import check_links
from steepest.sweep.manifest import JobState, Manifest, begin_job, remove_attempt
from steepest.sweep.results import Results, results_csv
from steepest.sweep.studies import guard_pickles


@pytest.fixture
def resumed(tmp_path, monkeypatch):
    """`resumed(*typed, **command)` resumes a sweep with this command in its record, and returns the arguments."""
    from typer.testing import CliRunner

    from steepest import cli

    started = []
    sweep = make_sweep(tmp_path / "s", [(["a=1"], {"value": 1.0}), (["a=2"], {"status": "failed"})])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "subprocess.run", lambda words, **how: started.append((words, how)) or type("Done", (), {"returncode": 0})
    )

    def start(*typed, **command):
        state = json.loads((sweep / "sweep.json").read_text())
        state["command"] |= {"folder": str(tmp_path)} | command
        (sweep / "sweep.json").write_text(json.dumps(state))
        started.clear()
        answer = CliRunner().invoke(cli.app, ["resume", "s", *typed])
        if isinstance(answer.exception, ValueError):
            raise answer.exception
        return started[0]

    return start


def test_resume_runs_the_installed_program_even_if_the_record_names_another(resumed):
    words, how = resumed(program="/elsewhere/evil.py", task=["seed=1,2"])
    assert words[:3] == [sys.executable, str(ROOT / "train.py"), "-m"]
    assert "cwd" not in how
    assert words[3:] == ["seed=1,2", "hydra.mode=MULTIRUN", words[-1]]


@pytest.mark.parametrize("override", ["trust=[os]", "hydra.job.env_set.PATH=/x", "--config-dir=/x", "data.cache=/x"])
def test_a_refused_override_must_be_typed_again(resumed, override):
    with pytest.raises(ValueError, match="a file must not set for you. If you want them, type them: steepest resume s"):
        resumed(task=["seed=1,2", override])
    if not override.startswith("-"):
        assert override in resumed(override, task=["seed=1,2", override])[0]


def test_only_overrides_of_the_sweep_can_be_typed(resumed):
    with pytest.raises(ValueError, match="the sweep was not started with seed=3"):
        resumed("seed=3")


def test_a_sweep_is_resumed_in_the_folder_where_it_was_started(resumed, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="the sweep was started in .*other: run this command there"):
        resumed(folder=str(tmp_path / "other"))
    assert resumed(folder=str(tmp_path / "gone"))


@pytest.mark.parametrize("folder", ["../victim", "/victim", ".", "", "..", "0/../../victim", "link/victim"])
def test_a_jobs_folder_that_is_not_below_the_sweep_is_refused(tmp_path, folder):
    sweep = make_sweep(tmp_path / "s", [(["a=1"], {"value": 1.0})])
    (tmp_path / "victim").mkdir()
    (sweep / "link").symlink_to(tmp_path)
    state = json.loads((sweep / "sweep.json").read_text())
    state["jobs"][0]["folder"] = folder
    (sweep / "sweep.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="is not below|points outside"):
        Manifest.read(sweep)


def test_links_that_point_outside_are_refused_and_other_links_are_accepted(tmp_path):
    sweep = make_sweep(tmp_path / "s", [(["a=1"], {"value": 1.0})])
    (sweep / "inside").symlink_to(sweep / "0")
    (sweep / "study.journal.lock").symlink_to(sweep / "study.journal")
    (sweep / "itself").symlink_to(sweep / "itself")
    check_links(sweep)
    (sweep / "0" / "train.log").symlink_to(tmp_path / "victim")
    with pytest.raises(ValueError, match=r"0/train.log is a link that points outside"):
        Manifest.read(sweep)


def test_only_a_folder_in_which_the_sweep_started_the_job_is_removed(tmp_path):
    job = JobState(0, "x", ["a=1"], folder="0")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "mine").write_text("x")
    remove_attempt(tmp_path, job)
    assert (tmp_path / "0" / "mine").exists(), "no sweep began a job here"
    begin_job(tmp_path / "0", 0, ["a=2"])
    remove_attempt(tmp_path, job)
    assert (tmp_path / "0" / "mine").exists(), "another job began here"
    begin_job(tmp_path / "0", 0, ["a=1"])
    remove_attempt(tmp_path, job)
    assert not (tmp_path / "0").exists()


def test_no_cell_of_results_csv_is_a_formula():
    row = {
        "job": 0,
        "overrides": ["+x==cmd|' /C calc'!A0", "lr=-1e-3"],
        "status": "failed",
        "stop_reason": "@SUM(A1)",
        "folder": "-",
    }
    header, cells = results_csv(Results([row], "val/mse")).strip().splitlines()
    assert header == "job,'+x,lr,status,stop_reason,folder"
    assert cells == "0,'=cmd|' /C calc'!A0,-1e-3,failed,'@SUM(A1),-"


class Payload:
    def __reduce__(self):
        return print, ("ran",)


def test_a_study_loads_the_state_of_cma_es_and_no_other_pickle(capsys):
    import numpy as np
    from cmaes import CMA
    from optuna.samplers import _cmaes

    guard_pickles()
    optimizer = CMA(mean=np.zeros(2), sigma=1.0, seed=1)
    optimizer.tell([(optimizer.ask(), 1.0) for _ in range(optimizer.population_size)])
    copy = _cmaes.pickle.loads(_cmaes.pickle.dumps(optimizer))
    np.testing.assert_array_equal(copy._mean, optimizer._mean)
    with pytest.raises(ValueError, match=r"names builtins.print, which is not part of a CMA-ES state"):
        _cmaes.pickle.loads(pickle.dumps(Payload()))
    assert capsys.readouterr().out == ""
